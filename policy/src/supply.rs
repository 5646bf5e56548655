//! Step 2: when each worker is free to take the next task.
use crate::{Capacity, Estimates, Phase, Running, Worker, demand::remaining, view::View, zones::Zones};

/// A worker that will claim tasks, and when it is free to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slot<'a> {
    pub(crate) capacity: Capacity,
    /// Seconds from now.
    pub(crate) free: f64,
    /// The model it has loaded, or will have when it is up.
    pub(crate) model: Option<&'a str>,
}

/// How to look at workers that are coming up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// As if they were here: sizes a fleet for tasks that can't wait for a start-up.
    AtOnce,
    /// When they should be up; those in a zone without spot machines, never.
    Expected,
    /// When they will be up in five cases of six.
    Planned,
    /// Likewise, with doubt in those without a machine: each moment without one puts it off, and while some
    /// zone has no spot machines none is counted on.
    Doubtful,
}

/// Share of the start-up still ahead of a worker without a machine: the rest is creating and scheduling.
const AHEAD_WITHOUT_MACHINE: f64 = 0.75;
/// Share of the start-up still ahead of a worker that is late with it.
const AHEAD_WHEN_LATE: f64 = 0.1;

/// Every worker that will claim tasks.
pub(crate) fn supply<'a>(view: &View<'a>, zones: &Zones, outlook: Outlook) -> Vec<Slot<'a>> {
    view.workers
        .iter()
        .filter(|worker| worker.claims() && !zones.abandons(view, worker))
        .filter_map(|worker| {
            let free = match worker.phase {
                Phase::Idle { .. } => 0.0,
                Phase::Busy => busy_seconds(view, worker),
                Phase::Starting { .. } => coming(view, worker, outlook, AHEAD_WHEN_LATE),
                Phase::Unscheduled => match outlook {
                    Outlook::Doubtful if worker.capacity == Capacity::Spot && !zones.trusted() => {
                        return None;
                    }
                    Outlook::Expected if zones.hopeless(view, worker) => return None,
                    Outlook::Doubtful => coming(view, worker, outlook, AHEAD_WITHOUT_MACHINE),
                    _ => coming(view, worker, outlook, AHEAD_WHEN_LATE),
                },
            };
            Some(Slot { capacity: worker.capacity, free, model: worker.model.as_deref() })
        })
        .collect()
}

/// A worker started now.
pub(crate) fn fresh<'a>(
    view: &View,
    capacity: Capacity,
    model: Option<&'a str>,
    outlook: Outlook,
) -> Slot<'a> {
    let free = match outlook {
        Outlook::AtOnce => 0.0,
        _ => start_seconds(view, capacity, outlook) + model.map_or(0.0, Estimates::load_seconds),
    };
    Slot { capacity, free, model }
}

pub(crate) fn start_seconds(view: &View, capacity: Capacity, outlook: Outlook) -> f64 {
    match outlook {
        Outlook::AtOnce => 0.0,
        Outlook::Expected => view.estimates().start_seconds(capacity),
        Outlook::Planned | Outlook::Doubtful => view.estimates().start_seconds_planned(capacity),
    }
}

/// Until a worker that is coming up is free.
fn coming(view: &View, worker: &Worker, outlook: Outlook, least: f64) -> f64 {
    let whole = fresh(view, worker.capacity, worker.model.as_deref(), outlook).free;
    (whole - view.now.since(worker.created).as_secs_f64()).max(least * whole)
}

/// Until a busy worker is through with all it holds: it runs the task it claimed first.
fn busy_seconds(view: &View, worker: &Worker) -> f64 {
    let mut held: Vec<&Running> = view.running().iter().filter(|task| task.worker == worker.id).collect();
    held.sort_by_key(|task| task.started);
    let running = held.first().map_or(0.0, |task| remaining(view, task));
    let fetched_ahead: f64 =
        held.iter().skip(1).map(|task| view.estimates().task_seconds(&task.model, task.units)).sum();
    running + fetched_ahead
}
