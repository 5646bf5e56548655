//! Removes workers of a suspended pool that are not up yet.
use super::Leaving;
use crate::{Capacity, Order, Why};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let stays = |order| matches!(order, Order::Work | Order::Hold);
    let suspended = view.in_fleet(capacity).filter(|_| view.policy.suspended);
    for worker in suspended.filter(|worker| worker.is_coming_up() && stays(worker.order)) {
        leaving.retire(worker, Why::Suspended);
    }
}
