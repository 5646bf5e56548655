//! Removes workers that are not made from the pool's present template and do no work: those that are not up yet would run
//! in the wrong place, or be replaced as soon as they are up; those that cannot work may do so when they are made anew.
use super::Leaving;
use crate::{Capacity, Template, Why, Worker, zones::must_be_recreated};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let is_useless = |worker: &Worker| worker.trouble.is_some() && worker.template == Template::Outdated;
    let is_not_up = |worker: &Worker| worker.claims() && must_be_recreated(view, worker);
    for worker in view.in_fleet(capacity).filter(|worker| is_useless(worker) || is_not_up(worker)) {
        leaving.retire(worker, Why::Outdated);
    }
}
