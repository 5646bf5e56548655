//! Removes workers that wait in a zone without machines while another zone may have some.
use super::Leaving;
use crate::{
    Capacity, Phase, Why,
    zones::{wait_deadline, zone_of},
};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    for worker in view.in_fleet(capacity).filter(|w| matches!(w.phase, Phase::Unscheduled { .. })) {
        if leaving.situation.zones.should_move(view, worker) {
            let (zone, message) = (zone_of(view, worker).to_owned(), worker.no_machine.clone());
            leaving.retire(worker, Why::NoMachine { capacity, zone, message });
        } else {
            leaving.look_again_at(wait_deadline(view, worker));
        }
    }
}
