//! What is learned from what is seen, before anything is decided.
use std::{collections::BTreeMap, time::Duration};

use crate::{
    CapacityRule, Estimates, Health, Memory, Order, Refused, Time, Worker, WorkerId, failures, view::View,
    zones::Zones,
};

/// A task tells its pace once so much of it is done.
const TELLING: f64 = 0.1;
/// When the queue could not be read for longer than this, who is up has yet to say so.
const BLIND: Duration = Duration::from_secs(30);

/// What is known once it was looked at what is seen.
#[derive(Debug)]
pub(crate) struct Learned {
    /// What was remembered, and what was learned since.
    pub(crate) memory: Memory,
    /// The workers; one that is not up when it should be has failed.
    pub(crate) workers: Vec<Worker>,
    /// Where machines are to be had.
    pub(crate) zones: Zones,
    /// How long things take, by what was learned and by what is under way.
    pub(crate) pace: Estimates,
}

pub(crate) fn learn(given: &View, refused: &[Refused]) -> Learned {
    let mut memory = given.memory.clone();
    if memory.template != given.policy.template {
        given.policy.template.clone_into(&mut memory.template);
        memory.template_since = given.now;
        memory.short.clear();
        memory.failures.clear();
        memory.replacements.clear();
    }
    memory.last_up = last_up(given);
    let fresh = memory.clone();
    let watched = View { memory: &fresh, ..*given };
    let overdue = failures::overdue(&watched);
    let workers = failures::have_failed(&watched, &overdue);
    let view = View { workers: &workers, ..watched };
    let mut zones = Zones::learn(&view);
    failures::learn(&view, &overdue, refused, &mut zones, &mut memory);
    zones.remember(&view, &mut memory);
    memory.on_demand_work = last_on_demand_work(&view);
    memory.held.retain(|id, _| view.worker(id).is_some_and(|worker| worker.order == Order::Hold));
    let pace = pace(&view);
    Learned { memory, workers, zones, pace }
}

/// When each worker was last seen up. One that starts anew on its machine has its time again, and so have all of whom
/// nothing could be seen for a while: the queue forgets whom it does not hear.
fn last_up(given: &View) -> BTreeMap<WorkerId, Time> {
    let blind = given.memory.inflow_at.is_none_or(|last| given.now.since(last) > BLIND);
    let last = |worker: &Worker| {
        let known = given.memory.last_up.get(&worker.id).copied();
        if worker.is_up() || blind { Some(given.now) } else { known }
    };
    let with_machine = given.workers.iter().filter(|worker| worker.has_machine());
    with_machine.filter_map(|worker| Some((worker.id.clone(), last(worker)?))).collect()
}

/// When work that must run on demand was last there.
fn last_on_demand_work(view: &View) -> Option<Time> {
    let on_demand = |class: &str| view.class(class).is_some_and(|c| c.capacity == CapacityRule::OnDemand);
    let waits = view.backlog().iter().any(|b| b.tasks > 0 && on_demand(&b.class));
    let runs = view.running().iter().any(|task| on_demand(&task.class));
    let last = view.memory.on_demand_work;
    if waits || runs { Some(view.now) } else { last.filter(|last| is_recent(view, *last)) }
}

/// Whether on-demand workers stay for what was there then.
pub(crate) fn is_recent(view: &View, last: Time) -> bool {
    view.now.since(last) < view.policy.scaling.idle_after || last == view.now
}

/// The first tasks of a kind that takes far longer than guessed tell so while they run.
fn pace(view: &View) -> Estimates {
    let mut pace = view.memory.estimates.clone();
    for worker in view.workers.iter().filter(|worker| worker.health == Health::Well) {
        let Some(task) = view.held_by(&worker.id).first() else { continue };
        let ran = view.now.since(task.started).saturating_sub(load(&task.model)).as_secs_f64();
        let done = task.progress.filter(|(_, all)| *all > 0);
        let done = done.map_or(0.0, |(done, all)| f64::from(done) / f64::from(all));
        let whole = if done >= TELLING { ran / done.min(1.0) } else { ran };
        pace.takes_at_least(&task.work, &task.model, task.units, whole);
    }
    pace
}

fn load(model: &str) -> Duration {
    Duration::try_from_secs_f64(Estimates::load_seconds(model)).unwrap_or_default()
}
