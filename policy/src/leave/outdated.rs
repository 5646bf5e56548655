//! Removes workers that are not made from the pool's present template and do no work: those that are not up yet would run
//! in the wrong place, or be replaced as soon as they are up; those that cannot work may do so when they are made anew.
//! A busy one that blames the pool waits to deliver what it made to where the older template says; what it holds is made
//! again by others.
use std::time::Duration;

use super::Leaving;
use crate::{
    Capacity, Fault, Phase, Template, Time, Why, Worker, failures::pool_at_fault, view::View,
    zones::must_be_recreated,
};

/// How long a busy worker may blame the pool after the template has changed: what it made is lost with it, and what
/// it waits for may be away for a moment only.
const BLAME_FOR: Duration = Duration::from_secs(60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let is_useless = |worker: &Worker| worker.trouble.is_some() && worker.template == Template::Outdated;
    let is_not_up = |worker: &Worker| worker.claims() && must_be_recreated(view, worker);
    for worker in view.in_fleet(capacity).filter(|worker| is_useless(worker) || is_not_up(worker)) {
        match stuck_from(view, worker) {
            Some(from) if view.now < from => leaving.look_again_at(from),
            Some(_) => leaving.evict(worker, Why::Outdated),
            None => leaving.retire(worker, Why::Outdated),
        }
    }
}

/// The time from which a busy worker counts as unable to deliver what it holds. Workers of the present template that
/// blame the pool as well would deliver it no sooner.
fn stuck_from(view: &View, worker: &Worker) -> Option<Time> {
    let blames = worker.phase == Phase::Busy && worker.blames(Fault::Pool) && pool_at_fault(view).is_none();
    let since = view.memory.blaming_since.get(&worker.id).filter(|_| blames)?;
    Some((*since).max(view.memory.template_since).plus(BLAME_FOR))
}
