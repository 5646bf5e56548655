//! It is not up yet, and not made as the pool's spec says now: it would not get where it should, or be replaced at once.
use super::Leaving;
use crate::{Capacity, Why, zones::is_made_otherwise};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    for worker in view.placed(capacity).filter(|worker| worker.claims() && is_made_otherwise(view, worker)) {
        leaving.retire(worker, Why::Outdated);
    }
}
