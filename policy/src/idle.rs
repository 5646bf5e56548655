//! How much the spot fleet sits idle, in short gaps as well as long ones.
use std::cmp::Reverse;

use crate::{
    Capacity, IdleMeter, Phase, Worker,
    demand::{Bucket, there},
    view::View,
};

/// Idle time is forgotten over so many times `idle_after`: a fleet that is idle for less than a fifth of one
/// worker is not too large.
const FORGOTTEN_OVER: f64 = 5.0;

/// Adds the time since the last reading.
pub(crate) fn read(view: &View, demand: &[Bucket]) -> IdleMeter {
    let before = view.memory.idle;
    let elapsed = view.now.since(before.at).as_secs_f64();
    let memory = (FORGOTTEN_OVER * view.policy.scaling.idle_after.as_secs_f64()).max(1.0);
    let kept = (-elapsed / memory).exp();
    // What flowed in while it was forgotten is forgotten in part too.
    let gathered = f64::from(before.idle) * memory * (1.0 - kept);
    let idle = spare(view, demand, Capacity::Spot).min(over_minimum(view, Capacity::Spot));
    IdleMeter {
        seconds: before.seconds * kept + gathered,
        at: view.now,
        idle: u32::try_from(idle).unwrap_or(u32::MAX),
    }
}

/// Idle workers, best to let go first.
pub(crate) fn idle<'a>(view: &View<'a>, capacity: Capacity) -> Vec<&'a Worker> {
    let mut idle: Vec<&Worker> =
        view.placed(capacity).filter(|w| w.claims() && matches!(w.phase, Phase::Idle { .. })).collect();
    idle.sort_by_key(|worker| {
        let on_node = view.workers.iter().filter(|w| w.node.is_some() && w.node == worker.node).count();
        let in_zone = view.placed(capacity).filter(|w| w.zone == worker.zone).count();
        let since = if let Phase::Idle { since } = worker.phase { since } else { view.now };
        // The emptiest node, so that it can go; then the most crowded zone, so that the fleet stays spread.
        (on_node, Reverse(in_zone), since, &worker.id)
    });
    idle
}

/// How many idle workers the waiting tasks leave idle.
pub(crate) fn spare(view: &View, demand: &[Bucket], capacity: Capacity) -> usize {
    idle(view, capacity).len().saturating_sub(waiting(demand, capacity))
}

/// How many tasks wait that a worker of this capacity may run.
pub(crate) fn waiting(demand: &[Bucket], capacity: Capacity) -> usize {
    let tasks = there(demand).filter(|b| b.rule.runs_on(capacity)).map(|b| b.tasks).sum::<u64>();
    usize::try_from(tasks).unwrap_or(usize::MAX)
}

/// Workers that claim beyond the fleet's minimum.
pub(crate) fn over_minimum(view: &View, capacity: Capacity) -> usize {
    view.placed(capacity).filter(|w| w.claims()).count().saturating_sub(view.min(capacity))
}
