//! Measures how much the spot fleet idles, in short gaps as well as long ones.
use std::{cmp::Reverse, collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Action, Capacity, Decision, Phase, Template, Time, Why, Worker, demand::Demand, view::View};

/// Idle time decays over this many times `idle_after`. So a fleet in which less than a fifth of one worker idles is not
/// too large.
const DECAY: f64 = 5.0;

/// Idle worker-seconds of the spot fleet beyond its minimum. They decay exponentially.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdleMeter {
    /// Idle worker-seconds, decayed up to `at`.
    pub seconds: f64,
    /// The time of the last reading.
    pub at: Time,
    /// The number of idle workers at that time.
    pub idle: u32,
}

impl IdleMeter {
    /// Reads the meter: adds the idle time since the last reading.
    pub(crate) fn read(view: &View, demand: &Demand) -> Self {
        let before = view.memory.idle;
        let elapsed = view.now.since(before.at).as_secs_f64();
        let memory = (DECAY * view.policy.scaling.idle_after.as_secs_f64()).max(1.0);
        let kept = (-elapsed / memory).exp();
        // Idle time that was added since the last reading has decayed in part too.
        let gathered = f64::from(before.idle) * memory * (1.0 - kept);
        let idle = spare(view, demand, Capacity::Spot).min(over_minimum(view, Capacity::Spot));
        Self {
            seconds: before.seconds * kept + gathered,
            at: view.now,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
        }
    }

    /// The number of excess workers that the idle time amounts to.
    pub(crate) fn excess_workers(&self, idle_after: Duration) -> usize {
        if idle_after.is_zero() || self.idle == 0 {
            return 0;
        }
        // `as` saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let workers = (self.seconds / idle_after.as_secs_f64()) as usize;
        workers
    }

    /// Whether a decision removes a worker because of idle time.
    pub(crate) const fn removes_idle_worker(decision: &Decision) -> bool {
        matches!(decision.why, Why::Spare | Why::Idle { .. })
    }

    /// Subtracts `idle_after` for each idle worker that a decision removes. A start for work resets the meter, since
    /// the work needs the whole fleet.
    pub(crate) fn settle(&mut self, decisions: &[Decision], idle_after: Duration) {
        for decision in decisions {
            let starts = matches!(decision.action, Action::Start { capacity: Capacity::Spot, .. });
            if starts && decision.why != Why::Replacement {
                self.seconds = 0.0;
            } else if Self::removes_idle_worker(decision) {
                self.seconds = (self.seconds - idle_after.as_secs_f64()).max(0.0);
                self.idle = self.idle.saturating_sub(1);
            }
        }
    }

    /// The time at which the meter will show an excess worker, if nothing changes.
    pub(crate) fn next_excess_at(&self, idle_after: Duration) -> Option<Time> {
        let missing = (idle_after.as_secs_f64() - self.seconds).max(0.0);
        let left = Duration::try_from_secs_f64(missing / f64::from(self.idle)).unwrap_or_default();
        (self.idle > 1).then(|| self.at.plus(left))
    }
}

/// Idle workers that claim, in the order in which they are removed.
pub(crate) fn idle<'a>(view: &View<'a>, capacity: Capacity) -> Vec<&'a Worker> {
    let mut idle: Vec<&Worker> =
        view.in_fleet(capacity).filter(|w| w.claims() && matches!(w.phase, Phase::Idle { .. })).collect();
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for node in view.workers.iter().filter_map(|worker| worker.node.as_deref()) {
        *on_node.entry(node).or_default() += 1;
    }
    let mut in_zone: HashMap<Option<&str>, usize> = HashMap::new();
    for worker in view.in_fleet(capacity) {
        *in_zone.entry(worker.zone.as_deref()).or_default() += 1;
    }
    idle.sort_by_cached_key(|worker| {
        let on_node = worker.node.as_deref().and_then(|node| on_node.get(node)).copied().unwrap_or_default();
        let in_zone = in_zone.get(&worker.zone.as_deref()).copied().unwrap_or_default();
        let since = if let Phase::Idle { since } = worker.phase { since } else { view.now };
        // Workers that are replaced anyway go first; then those on the emptiest node, so that the node can go; then
        // those in the zone with the most workers, so that the fleet stays spread.
        (worker.template != Template::Outdated, on_node, Reverse(in_zone), since, worker.id.clone())
    });
    idle
}

/// The number of idle workers that the waiting tasks do not need; in a suspended pool that is all of them.
pub(crate) fn spare(view: &View, demand: &Demand, capacity: Capacity) -> usize {
    let idle = view.in_fleet(capacity).filter(|w| w.claims() && matches!(w.phase, Phase::Idle { .. }));
    let waiting = if view.policy.suspended { 0 } else { demand.waiting_for(capacity) };
    idle.count().saturating_sub(waiting)
}

/// The number of workers that claim, beyond the fleet's minimum.
pub(crate) fn over_minimum(view: &View, capacity: Capacity) -> usize {
    view.in_fleet(capacity).filter(|w| w.claims()).count().saturating_sub(view.min(capacity))
}
