//! Learns from the snapshot before anything is decided.
use std::{collections::BTreeMap, time::Duration};

use crate::{
    CapacityRule, Estimates, Fault, Health, Memory, Order, Phase, Refused, Time, Worker, WorkerId, failures,
    view::View, zones::Zones,
};

/// A running task shows its pace once this fraction of it is done.
const PACE_SHOWS_AT: f64 = 0.1;
/// After the queue was unreadable for longer than this, workers have not reported yet that they are up.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);

/// The result of the learning step.
#[derive(Debug)]
pub(crate) struct Learned {
    /// The memory, updated with the snapshot.
    pub(crate) memory: Memory,
    /// The workers; those whose time to come up is over are in [`crate::Phase::Failed`].
    pub(crate) workers: Vec<Worker>,
    /// The zones and their shortages.
    pub(crate) zones: Zones,
    /// How long things take, from finished tasks and from those that run.
    pub(crate) pace: Estimates,
}

pub(crate) fn learn(observed: &View, refused: &[Refused]) -> Learned {
    let mut memory = observed.memory.clone();
    if memory.template != observed.policy.template {
        observed.policy.template.clone_into(&mut memory.template);
        memory.template_since = observed.now;
        memory.short.clear();
        memory.failures.clear();
        memory.replacements.clear();
    }
    memory.last_up = last_up(observed);
    memory.blaming_since = blaming_since(observed);
    let updated = memory.clone();
    let with_last_up = View { memory: &updated, ..*observed };
    let overdue = failures::overdue(&with_last_up);
    let workers = failures::mark_failed(&with_last_up, &overdue);
    let view = View { workers: &workers, ..with_last_up };
    let mut zones = Zones::learn(&view);
    failures::learn(&view, &overdue, refused, &mut zones, &mut memory);
    zones.save(&view, &mut memory);
    memory.on_demand_work = last_on_demand_work(&view);
    memory.held.retain(|id, _| view.worker(id).is_some_and(|worker| worker.order == Order::Hold));
    let pace = pace(&view);
    Learned { memory, workers, zones, pace }
}

/// The time at which each worker was last up. A worker that restarts on its machine has its full start-up time again.
/// So has every worker after the queue was unreadable for a while, because the queue forgets workers that it does not
/// hear from.
fn last_up(observed: &View) -> BTreeMap<WorkerId, Time> {
    let was_unreadable =
        observed.memory.inflow_at.is_none_or(|last| observed.now.since(last) > UNREADABLE_FOR);
    let last = |worker: &Worker| {
        let known = observed.memory.last_up.get(&worker.id).copied();
        if worker.is_up() || was_unreadable { Some(observed.now) } else { known }
    };
    let with_machine = observed.workers.iter().filter(|worker| worker.has_machine());
    with_machine.filter_map(|worker| Some((worker.id.clone(), last(worker)?))).collect()
}

fn blaming_since(observed: &View) -> BTreeMap<WorkerId, Time> {
    let known = |id| observed.memory.blaming_since.get(id).copied();
    let blaming = observed.workers.iter().filter(|w| w.phase == Phase::Busy && w.blames(Fault::Pool));
    blaming.map(|worker| (worker.id.clone(), known(&worker.id).unwrap_or(observed.now))).collect()
}

/// The last time at which work that must run on demand waited or ran.
fn last_on_demand_work(view: &View) -> Option<Time> {
    let on_demand = |class: &str| view.class(class).is_some_and(|c| c.capacity == CapacityRule::OnDemand);
    let waits = view.backlog().iter().any(|b| b.tasks > 0 && on_demand(&b.class));
    let runs = view.running().iter().any(|task| on_demand(&task.class));
    let last = view.memory.on_demand_work;
    if waits || runs { Some(view.now) } else { last.filter(|last| is_recent(view, *last)) }
}

/// Whether on-demand work ended so recently that its workers stay.
pub(crate) fn is_recent(view: &View, last: Time) -> bool {
    view.now.since(last) < view.policy.scaling.idle_after || last == view.now
}

/// The estimates, corrected by running tasks that already take longer than expected.
fn pace(view: &View) -> Estimates {
    let mut pace = view.memory.estimates.clone();
    for worker in view.workers.iter().filter(|worker| worker.health == Health::Healthy) {
        let Some(task) = view.held_by(&worker.id).first() else { continue };
        let ran = view.now.since(task.started).saturating_sub(load(&task.model)).as_secs_f64();
        let done = task.progress.filter(|(_, all)| *all > 0);
        let done = done.map_or(0.0, |(done, all)| f64::from(done) / f64::from(all));
        let whole = if done >= PACE_SHOWS_AT { ran / done.min(1.0) } else { ran };
        pace.takes_at_least(&task.work, &task.model, task.units, whole);
    }
    pace
}

fn load(model: &str) -> Duration {
    Duration::try_from_secs_f64(Estimates::load_seconds(model)).unwrap_or_default()
}
