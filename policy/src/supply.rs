//! When each worker is free to take the next task.
use crate::{
    Capacity, Estimates, Machine, Phase, Running, Worker, demand::remaining, view::View, zones::Zones,
};

/// Workers that will claim tasks, alike in all that counts, and when they are free to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slot<'a> {
    pub(crate) capacity: Capacity,
    /// Seconds from now.
    pub(crate) free: f64,
    /// The model they have loaded, or will have when they are up.
    pub(crate) model: Option<&'a str>,
    pub(crate) workers: u64,
}

/// How to look at workers that are coming up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// As if they were here: sizes a fleet for tasks that can't wait for a start-up.
    AtOnce,
    /// When they should be up; those in a zone without machines, and those in trouble, never.
    Expected,
    /// When they will be up in five cases of six.
    Planned,
    /// Likewise, with doubt in spot workers without a machine: each moment without one puts it off, and while some zone
    /// has no spot machines none is counted on. Those in trouble never.
    Doubtful,
    /// Likewise, but those that have no machine yet carry no work.
    WithMachine,
}

/// Share of the start-up still ahead of a worker without a machine: the rest is creating and scheduling.
const AHEAD_WITHOUT_MACHINE: f64 = 0.75;
/// Share of the start-up still ahead of a worker that is late with it.
const AHEAD_WHEN_LATE: f64 = 0.1;

/// Every worker that will claim tasks.
pub(crate) fn supply<'a>(view: &View<'a>, zones: &Zones, prospect: Prospect) -> Vec<Slot<'a>> {
    let claiming = view.workers.iter().filter(|worker| worker.claims() && !zones.gives_up(view, worker));
    let slot = |worker: &'a Worker| {
        let free = free_in(view, zones, worker, prospect)?;
        Some(Slot { capacity: worker.capacity, free, model: worker.model.as_deref(), workers: 1 })
    };
    claiming.filter_map(slot).collect()
}

/// Seconds until a worker is free; `None`: it is not counted on.
fn free_in(view: &View, zones: &Zones, worker: &Worker, prospect: Prospect) -> Option<f64> {
    let sure = matches!(prospect, Prospect::AtOnce | Prospect::Planned);
    if worker.is_coming() && worker.trouble.is_some() && !sure {
        return None;
    }
    let machine = match worker.phase {
        Phase::Idle { .. } => return Some(0.0),
        Phase::Busy => return Some(busy_seconds(view, worker)),
        Phase::Failed => return None,
        Phase::Starting { .. } => return Some(coming(view, worker, prospect, AHEAD_WHEN_LATE)),
        Phase::Unscheduled { machine } => machine,
    };
    let launched = matches!(machine, Machine::Launched { .. }) && !zones.hopeless(view, worker);
    let trusted = launched || worker.capacity == Capacity::OnDemand || zones.trusted(Capacity::Spot);
    let ahead = if launched { AHEAD_WHEN_LATE } else { AHEAD_WITHOUT_MACHINE };
    match prospect {
        Prospect::AtOnce | Prospect::Planned => Some(coming(view, worker, prospect, AHEAD_WHEN_LATE)),
        Prospect::Expected if zones.hopeless(view, worker) => None,
        Prospect::Expected => Some(coming(view, worker, prospect, AHEAD_WHEN_LATE)),
        Prospect::Doubtful => trusted.then(|| coming(view, worker, prospect, ahead)),
        Prospect::WithMachine => None,
    }
}

/// Workers started now.
pub(crate) fn fresh<'a>(
    view: &View,
    capacity: Capacity,
    model: Option<&'a str>,
    prospect: Prospect,
    workers: u64,
) -> Slot<'a> {
    let free = match prospect {
        Prospect::AtOnce => 0.0,
        _ => start_seconds(view, capacity, prospect) + model.map_or(0.0, Estimates::load_seconds),
    };
    Slot { capacity, free, model, workers }
}

pub(crate) fn start_seconds(view: &View, capacity: Capacity, prospect: Prospect) -> f64 {
    match prospect {
        Prospect::AtOnce => 0.0,
        Prospect::Expected => view.pace.start_seconds(capacity),
        Prospect::Planned | Prospect::Doubtful | Prospect::WithMachine => {
            view.pace.start_seconds_planned(capacity)
        }
    }
}

/// Until a worker that is coming up is free.
fn coming(view: &View, worker: &Worker, prospect: Prospect, least: f64) -> f64 {
    let whole = fresh(view, worker.capacity, worker.model.as_deref(), prospect, 1).free;
    (whole - view.now.since(worker.created).as_secs_f64()).max(least * whole)
}

/// Until a busy worker is through with all it holds: it runs the task it claimed first.
fn busy_seconds(view: &View, worker: &Worker) -> f64 {
    let held = view.held_by(&worker.id);
    let running = held.first().map_or(0.0, |task| remaining(view, task));
    let whole = |task: &&Running| view.pace.task_seconds(&task.work, &task.model, task.units);
    running + held.iter().skip(1).map(whole).sum::<f64>()
}
