//! The pool is paused, and it is not up yet.
use super::Leaving;
use crate::{Capacity, Order, Why};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    let ours = |order| matches!(order, Order::Work | Order::Hold);
    let paused = view.placed(capacity).filter(|_| view.policy.paused);
    for worker in paused.filter(|worker| worker.is_coming() && ours(worker.order)) {
        leaving.retire(worker, Why::Paused);
    }
}
