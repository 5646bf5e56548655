//! Replaces workers made from an older template, a tenth of a fleet at a time. A replacement is ready before an old
//! worker is removed. Idle workers are replaced first. Busy workers are replaced once the template is
//! [`rollout_busy_after`] old; they finish what they hold.
//!
//! Workers that are not needed are not replaced: they are removed when they have idled for long enough.
//!
//! [`rollout_busy_after`]: crate::Scaling::rollout_busy_after
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Decision, HoldReason, Order, Phase, Template, Why, Worker,
    gap::{Gap, room_below_maximum},
    idleness::spare,
    situation::Situation,
    view::View,
};

/// The divisor of the fleet's size that gives the number of workers replaced at a time, at least one.
const DIVISOR: usize = 10;

/// The number of replacements to start now.
pub(crate) fn missing(situation: &Situation, capacity: Capacity, gap: &Gap) -> usize {
    let view = &situation.view;
    // Workers for the waiting work come first, and those that are coming up show whether the new template works.
    let under_way = gap.starts_now(capacity) > 0 || view.coming_up(capacity).next().is_some();
    let up = view.in_fleet(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
    let not_needed = spare(view, situation.demand, capacity).min(up.saturating_sub(view.min(capacity)));
    let wanted = outdated(view, capacity).count().saturating_sub(not_needed).min(tenth(view, capacity));
    if under_way { 0 } else { wanted.saturating_sub(unused_replacements(view, capacity)) }
}

/// The number of outdated workers that may be removed now.
pub(crate) fn due<'a>(situation: &Situation<'_, 'a>, capacity: Capacity, gap: &Gap) -> usize {
    let view = &situation.view;
    let coming = view.coming_up(capacity).count();
    let going = view.in_fleet(capacity).filter(|worker| is_leaving_as_outdated(view, worker)).count();
    let ready = unused_replacements(view, capacity).saturating_sub(coming);
    // A fleet at its maximum removes a worker first; the replacement starts when there is room.
    let no_room =
        room_below_maximum(situation, capacity, gap) == 0 && gap.requested(capacity) == 0 && coming == 0;
    let due = if ready == 0 && no_room { tenth(view, capacity) } else { ready };
    due.min(tenth(view, capacity).saturating_sub(going))
}

/// Workers that are up and made from an older template.
pub(crate) fn outdated<'a>(view: &View<'a>, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
    let up = view.in_fleet(capacity).filter(|worker| worker.claims() && worker.is_up());
    up.filter(|worker| worker.template == Template::Outdated)
}

/// The unused replacements after these decisions, by capacity.
pub(crate) fn replacements_after(view: &View, decisions: &[Decision]) -> BTreeMap<Capacity, u32> {
    let of = |capacity: Capacity| {
        let started = decisions.iter().map(|decision| match &decision.action {
            Action::Start { capacity: of, n, .. } if *of == capacity && decision.why == Why::Replacement => {
                *n
            }
            _ => 0,
        });
        let started = started.sum::<u32>() as usize;
        let is_removed = |worker: &&Worker| {
            decisions.iter().any(|decision| match &decision.action {
                Action::Retire { worker: id } | Action::Hold { worker: id } => *id == worker.id,
                _ => false,
            })
        };
        let removed = outdated(view, capacity).filter(is_removed).count();
        let left = outdated(view, capacity).count() - removed;
        let unused = (unused_replacements(view, capacity) + started).saturating_sub(removed);
        (left > 0 && unused > 0).then(|| (capacity, u32::try_from(unused).unwrap_or(u32::MAX)))
    };
    Capacity::ALL.into_iter().filter_map(of).collect()
}

/// The number of replacements that exist or come up, and for which no outdated worker has been removed yet.
pub(crate) fn unused_replacements(view: &View, capacity: Capacity) -> usize {
    let known = view.memory.replacements.get(&capacity).copied().unwrap_or_default() as usize;
    let current = view.in_fleet(capacity).filter(|w| w.claims() && w.template != Template::Outdated);
    known.min(current.count())
}

fn tenth(view: &View, capacity: Capacity) -> usize {
    let up = view.in_fleet(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
    (up / DIVISOR).max(1)
}

fn is_leaving_as_outdated(view: &View, worker: &Worker) -> bool {
    let held = worker.order == Order::Hold && view.memory.held.get(&worker.id) == Some(&HoldReason::Outdated);
    held || (worker.order == Order::Retire && worker.phase != Phase::Failed)
}
