//! KEDA on the length of the queue, as most clusters would do it: on demand, with the rules of the Horizontal Pod
//! Autoscaler (Kubernetes documentation, "Algorithm details" and "Default behavior").
use std::{collections::VecDeque, time::Duration};

use policy::{Action, Capacity, Order, Phase, Policy, Seen, Time, Worker};

use super::{Decisions, Scaler, tasks};

/// KEDA's default polling interval.
const POLL: Duration = Duration::from_secs(30);
/// The autoscaler's default stabilisation window for scaling down, and KEDA's default cooldown before zero.
const STABLE: Duration = Duration::from_secs(300);
/// A ratio this close to 1 changes nothing.
const TOLERANCE: f64 = 0.1;
/// The autoscaler at most doubles a fleet every 15 s, or adds so many.
const AT_ONCE: usize = 4;
/// How often it may within a poll.
const STEPS_PER_POLL: u32 = 2;

/// KEDA with a target of so many tasks per worker.
#[derive(Debug)]
pub(crate) struct Keda {
    per_worker: usize,
    most: usize,
    /// What was wanted, for as long as it counts.
    wanted: VecDeque<(Time, usize)>,
}

impl Keda {
    /// Waiting and running tasks count.
    pub(crate) fn new(per_worker: usize, policy: &Policy) -> Self {
        let most = policy.on_demand.as_ref().map_or(0, |fleet| fleet.max as usize);
        Self { per_worker, most, wanted: VecDeque::new() }
    }

    /// How many workers the rules ask for.
    fn desired(&mut self, now: Time, tasks: usize, current: usize) -> usize {
        let exact = tasks as f64 / self.per_worker as f64;
        let ratio = exact / current.max(1) as f64;
        let calm = current > 0 && (ratio - 1.0).abs() <= TOLERANCE;
        let wanted = if calm { current } else { tasks.div_ceil(self.per_worker) };
        self.wanted.push_back((now, wanted));
        while self.wanted.front().is_some_and(|(at, _)| now.since(*at) > STABLE) {
            self.wanted.pop_front();
        }
        let highest = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or_default();
        let floor = highest.min(current);
        let ceiling = (0..STEPS_PER_POLL).fold(current, |n, _| (n * 2).max(n + AT_ONCE));
        wanted.clamp(floor, ceiling.max(floor)).min(self.most)
    }
}

impl Scaler for Keda {
    fn decide(&mut self, now: Time, seen: &Seen) -> Decisions {
        let there: Vec<&Worker> = seen.workers.iter().filter(|worker| worker.order == Order::Work).collect();
        let desired = self.desired(now, tasks(seen), there.len());
        let mut actions = leavers(seen);
        if desired > there.len() {
            let n = u32::try_from(desired - there.len()).unwrap_or(u32::MAX);
            actions.push(Action::Start { capacity: Capacity::OnDemand, zone: None, n, model: None });
        }
        actions.extend(victims(&there, there.len().saturating_sub(desired)));
        Decisions { actions, wake_after: POLL }
    }

    fn watches(&self) -> bool {
        false
    }
}

/// Those told to finish that have.
fn leavers(seen: &Seen) -> Vec<Action> {
    let through = |worker: &&Worker| worker.order == Order::Hold && worker.phase != Phase::Busy;
    let leavers = seen.workers.iter().filter(through);
    leavers.map(|worker| Action::Retire { worker: worker.id.clone() }).collect()
}

/// As a Deployment does: those that aren't up first. Who is busy may finish (to KEDA's favour: nothing is lost).
fn victims(there: &[&Worker], n: usize) -> Vec<Action> {
    let mut order: Vec<&&Worker> = there.iter().collect();
    order.sort_by_key(|worker| match worker.phase {
        Phase::Unscheduled { .. } | Phase::Failed => 0,
        Phase::Starting { .. } => 1,
        Phase::Idle { .. } => 2,
        Phase::Busy => 3,
    });
    let go = |worker: &&&Worker| match worker.phase {
        Phase::Busy => Action::Hold { worker: worker.id.clone() },
        _ => Action::Retire { worker: worker.id.clone() },
    };
    order.iter().take(n).map(go).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Pool;

    #[test]
    fn the_rules_of_the_autoscaler() {
        let mut keda = Keda::new(5, &Pool::standard().policy);
        let at = |s: u64| Time::from_millis(s * 1000);
        assert_eq!(keda.desired(at(0), 0, 0), 0);
        assert_eq!(keda.desired(at(30), 11, 0), 3);
        assert_eq!(keda.desired(at(60), 16, 3), 3, "within the tolerance");
        assert_eq!(keda.desired(at(90), 17, 3), 4);
        assert_eq!(keda.desired(at(120), 1000, 4), 16, "at most twice as many every 15 s");
        assert_eq!(keda.desired(at(150), 5, 16), 16, "what was wanted lately counts");
        assert_eq!(keda.desired(at(421), 5, 16), 1, "five minutes later it does not");
    }
}
