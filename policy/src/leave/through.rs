//! It was held because it was not needed, or made from an older template, and is through with what it held.
use super::Leaving;
use crate::{Capacity, Health, Held, Order, Why, gap::resumable};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    let held = view.placed(capacity).filter(|w| w.order == Order::Hold && w.health == Health::Well);
    for worker in held {
        if view.memory.held.get(&worker.id) == Some(&Held::Outdated) {
            leaving.retire(worker, Why::Outdated);
        } else if resumable(view, worker) {
            leaving.retire(worker, Why::OnDemandOver);
        }
    }
}
