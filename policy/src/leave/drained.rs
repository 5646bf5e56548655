//! Removes workers that were held because they were not needed or made from an older template, and that have finished
//! what they held.
use super::Leaving;
use crate::{Capacity, Health, HoldReason, Order, Why, gap::is_resumable};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let held = view.in_fleet(capacity).filter(|w| w.order == Order::Hold && w.health == Health::Healthy);
    for worker in held {
        if view.memory.held.get(&worker.id) == Some(&HoldReason::Outdated) {
            leaving.retire(worker, Why::Outdated);
        } else if is_resumable(view, worker) {
            leaving.retire(worker, Why::OnDemandOver);
        }
    }
}
