//! Removes workers of a fleet that is above its maximum.
use super::Leaving;
use crate::{Capacity, Phase, Why};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let over = leaving.staying(capacity).count().saturating_sub(leaving.situation.view.max(capacity));
    let free = leaving.by_phase(capacity).into_iter().filter(|worker| worker.phase != Phase::Busy);
    for worker in free.take(over).collect::<Vec<_>>() {
        leaving.retire(worker, Why::OverMaximum);
    }
}
