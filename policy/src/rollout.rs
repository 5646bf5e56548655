//! Workers made from an older template are replaced bit by bit: a tenth of a fleet at a time, and the replacement is
//! ready before one goes. Those that idle go first; those that are busy all the time go too, some time after the
//! template changed: they finish what they hold.
//!
//! Workers that are not needed are not replaced; they go when they have idled for long enough.
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Decision, Held, Order, Phase, Template, Why, Worker,
    gap::{Gap, by_maximum},
    idleness::spare,
    known::Known,
    view::View,
};

/// This part of a fleet is replaced at a time, as a divisor; one worker at least.
const PART: usize = 10;

/// How many replacements are missing.
pub(crate) fn missing(known: &Known, capacity: Capacity, gap: &Gap) -> usize {
    let view = &known.view;
    // The work goes first, and what is under way shows whether the template does any good.
    let under_way = gap.starts(capacity) > 0 || view.coming(capacity).next().is_some();
    let up = view.placed(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
    let not_needed = spare(view, known.demand, capacity).min(up.saturating_sub(view.min(capacity)));
    let wanted = outdated(view, capacity).count().saturating_sub(not_needed).min(part(view, capacity));
    if under_way { 0 } else { wanted.saturating_sub(owed(view, capacity)) }
}

/// How many may go now.
pub(crate) fn due<'a>(known: &Known<'_, 'a>, capacity: Capacity, gap: &Gap) -> usize {
    let view = &known.view;
    let coming = view.coming(capacity).count();
    let going = view.placed(capacity).filter(|worker| goes_as_outdated(view, worker)).count();
    let ready = owed(view, capacity).saturating_sub(coming);
    // A fleet that may not be larger goes without: its replacements come once there is room.
    let no_room = by_maximum(known, capacity, gap) == 0 && gap.asks_for(capacity) == 0 && coming == 0;
    let due = if ready == 0 && no_room { part(view, capacity) } else { ready };
    due.min(part(view, capacity).saturating_sub(going))
}

/// Workers that are up and made from an older template.
pub(crate) fn outdated<'a>(view: &View<'a>, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
    let up = view.placed(capacity).filter(|worker| worker.claims() && worker.is_up());
    up.filter(|worker| worker.template == Template::Outdated)
}

/// The replacements there will be once these decisions are carried out.
pub(crate) fn settle(view: &View, decisions: &[Decision]) -> BTreeMap<Capacity, u32> {
    let of = |capacity: Capacity| {
        let started = decisions.iter().map(|decision| match &decision.action {
            Action::Start { capacity: of, n, .. } if *of == capacity && decision.why == Why::Replacement => {
                *n
            }
            _ => 0,
        });
        let started = started.sum::<u32>() as usize;
        let goes = |worker: &&Worker| {
            decisions.iter().any(|decision| match &decision.action {
                Action::Retire { worker: id } | Action::Hold { worker: id } => *id == worker.id,
                _ => false,
            })
        };
        let gone = outdated(view, capacity).filter(goes).count();
        let left = outdated(view, capacity).count() - gone;
        let owed = (owed(view, capacity) + started).saturating_sub(gone);
        (left > 0 && owed > 0).then(|| (capacity, u32::try_from(owed).unwrap_or(u32::MAX)))
    };
    Capacity::ALL.into_iter().filter_map(of).collect()
}

/// Replacements that are there or coming, for which none has gone yet.
pub(crate) fn owed(view: &View, capacity: Capacity) -> usize {
    let known = view.memory.replacements.get(&capacity).copied().unwrap_or_default() as usize;
    let current = view.placed(capacity).filter(|w| w.claims() && w.template != Template::Outdated);
    known.min(current.count())
}

fn part(view: &View, capacity: Capacity) -> usize {
    let up = view.placed(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
    (up / PART).max(1)
}

fn goes_as_outdated(view: &View, worker: &Worker) -> bool {
    let held = worker.order == Order::Hold && view.memory.held.get(&worker.id) == Some(&Held::Outdated);
    held || (worker.order == Order::Retire && worker.phase != Phase::Failed)
}
