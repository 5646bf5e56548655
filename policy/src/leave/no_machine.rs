//! It waits where there are no machines, while there may be some elsewhere.
use super::Leaving;
use crate::{
    Capacity, Phase, Why,
    zones::{waits_until, zone_of},
};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    for worker in view.placed(capacity).filter(|w| matches!(w.phase, Phase::Unscheduled { .. })) {
        if leaving.known.zones.abandons(view, worker) {
            let (zone, said) = (zone_of(view, worker).to_owned(), worker.no_machine.clone());
            leaving.retire(worker, Why::NoMachine { capacity, zone, said });
        } else {
            leaving.later(waits_until(view, worker));
        }
    }
}
