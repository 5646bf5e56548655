//! Finds when each worker is free to take the next task.
use crate::{
    Capacity, Estimates, Machine, Phase, Running, Worker, demand::remaining_seconds, view::View, zones::Zones,
};

/// Workers that claim tasks and have the same capacity, model and free time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slot<'a> {
    pub(crate) capacity: Capacity,
    /// The time at which they are free, in seconds from now.
    pub(crate) free_in: f64,
    /// The model that they have loaded, or will have loaded when they are up.
    pub(crate) model: Option<&'a str>,
    pub(crate) workers: u64,
}

/// How a forecast counts workers that are coming up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assumption {
    /// They count as up now. This sizes a fleet for tasks that can't wait for a start-up.
    AtOnce,
    /// They are up after the mean start-up time. Workers in trouble and those in a zone without machines never come up.
    Expected,
    /// They are up after the start-up time that five of six workers stay below.
    Planned,
    /// Like `Planned`, with less trust: workers in trouble never come up, a spot worker without a machine is put off as
    /// long as it has none, and while a zone is short of spot machines it never comes up.
    Doubtful,
    /// Like `Planned`, but workers in trouble and workers without a machine never come up.
    WithMachine,
}

/// The fraction of the start-up that is still ahead of a worker without a machine; the rest is creation and scheduling.
const AHEAD_WITHOUT_MACHINE: f64 = 0.75;
/// The fraction of the start-up that is still ahead of a worker that is late.
const AHEAD_WHEN_LATE: f64 = 0.1;

/// A slot for every worker that claims tasks, now or once it is up.
pub(crate) fn supply<'a>(view: &View<'a>, zones: &Zones, assumption: Assumption) -> Vec<Slot<'a>> {
    let claiming = view.workers.iter().filter(|worker| worker.claims() && !zones.is_replaced(view, worker));
    let slot = |worker: &'a Worker| {
        let free_in = seconds_until_free(view, zones, worker, assumption)?;
        Some(Slot { capacity: worker.capacity, free_in, model: worker.model.as_deref(), workers: 1 })
    };
    claiming.filter_map(slot).collect()
}

/// Seconds until a worker is free; `None`: the forecast does not count on it.
fn seconds_until_free(view: &View, zones: &Zones, worker: &Worker, assumption: Assumption) -> Option<f64> {
    let sure = matches!(assumption, Assumption::AtOnce | Assumption::Planned);
    if worker.is_coming_up() && worker.trouble.is_some() && !sure {
        return None;
    }
    let machine = match worker.phase {
        Phase::Idle { .. } => return Some(0.0),
        Phase::Busy => return Some(busy_seconds(view, worker)),
        Phase::Failed => return None,
        Phase::Starting { .. } => return Some(seconds_until_up(view, worker, assumption, AHEAD_WHEN_LATE)),
        Phase::Unscheduled { machine } => machine,
    };
    let launched = matches!(machine, Machine::Launched { .. }) && !zones.is_stuck(view, worker);
    let trusted = launched || worker.capacity == Capacity::OnDemand || zones.has_no_shortage(Capacity::Spot);
    let ahead = if launched { AHEAD_WHEN_LATE } else { AHEAD_WITHOUT_MACHINE };
    match assumption {
        Assumption::AtOnce | Assumption::Planned => {
            Some(seconds_until_up(view, worker, assumption, AHEAD_WHEN_LATE))
        }
        Assumption::Expected if zones.is_stuck(view, worker) => None,
        Assumption::Expected => Some(seconds_until_up(view, worker, assumption, AHEAD_WHEN_LATE)),
        Assumption::Doubtful => trusted.then(|| seconds_until_up(view, worker, assumption, ahead)),
        Assumption::WithMachine => None,
    }
}

/// Workers that are started now.
pub(crate) fn new_slot<'a>(
    view: &View,
    capacity: Capacity,
    model: Option<&'a str>,
    assumption: Assumption,
    workers: u64,
) -> Slot<'a> {
    let free_in = match assumption {
        Assumption::AtOnce => 0.0,
        _ => start_seconds(view, capacity, assumption) + model.map_or(0.0, Estimates::load_seconds),
    };
    Slot { capacity, free_in, model, workers }
}

pub(crate) fn start_seconds(view: &View, capacity: Capacity, assumption: Assumption) -> f64 {
    match assumption {
        Assumption::AtOnce => 0.0,
        Assumption::Expected => view.pace.start_seconds(capacity),
        Assumption::Planned | Assumption::Doubtful | Assumption::WithMachine => {
            view.pace.start_seconds_planned(capacity)
        }
    }
}

/// Seconds until a worker that is coming up is free.
fn seconds_until_up(view: &View, worker: &Worker, assumption: Assumption, least: f64) -> f64 {
    let whole = new_slot(view, worker.capacity, worker.model.as_deref(), assumption, 1).free_in;
    (whole - view.now.since(worker.created).as_secs_f64()).max(least * whole)
}

/// Seconds until a busy worker has done all tasks that it holds; it runs them in the order of their claims.
fn busy_seconds(view: &View, worker: &Worker) -> f64 {
    let held = view.held_by(&worker.id);
    let running = held.first().map_or(0.0, |task| remaining_seconds(view, task));
    let whole = |task: &&Running| view.pace.task_seconds(&task.work, &task.model, task.units);
    running + held.iter().skip(1).map(whole).sum::<f64>()
}
