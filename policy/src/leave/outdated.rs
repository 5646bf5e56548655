//! Removes workers that are not up yet and not made from the pool's present template: they would run in the wrong
//! place, or be replaced as soon as they are up.
use super::Leaving;
use crate::{Capacity, Why, zones::must_be_recreated};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    for worker in view.in_fleet(capacity).filter(|worker| worker.claims() && must_be_recreated(view, worker))
    {
        leaving.retire(worker, Why::Outdated);
    }
}
