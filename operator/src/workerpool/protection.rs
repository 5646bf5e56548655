//! Which workers' machines autoscalers must leave alone: those at work. One that idles has nothing to lose, and one
//! that is doomed only stands in the way of an orderly end: Karpenter would wait for it until the machine stops. Pure.

use std::time::Duration;

use policy::{Health, Order, Phase, Time, Worker};

use crate::node::Protection;

/// Between two images a worker is as good as at work. So no Pod is written more than twice in this time.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// What is right for a worker. On its way to its first image it has cost something already.
pub(crate) fn protection(worker: &Worker, now: Time) -> Protection {
    let goes = matches!(worker.health, Health::Doomed { .. } | Health::Gone)
        || matches!(worker.order, Order::Doomed | Order::Retire | Order::Evicted);
    match worker.phase {
        _ if goes => Protection::Off,
        Phase::Idle { since } if now.since(since) >= IDLE_FOR => Protection::Off,
        Phase::Failed => Protection::Off,
        Phase::Unscheduled { .. } | Phase::Starting { .. } | Phase::Idle { .. } | Phase::Busy => {
            Protection::On
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::{Capacity, WorkerId};

    use super::*;

    fn worker(phase: Phase, health: Health, order: Order) -> Worker {
        let id = WorkerId("w".into());
        Worker { phase, health, order, ..Worker::new(id, Capacity::Spot, Time::from_millis(0)) }
    }

    #[test]
    fn workers_at_work_are_protected_idle_and_doomed_ones_are_not() {
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let idle = |seconds: u64| Phase::Idle { since: at(100 - seconds) };
        let doomed = Health::Doomed { deadline: at(130) };
        let table = [
            (
                Phase::Unscheduled { machine: policy::Machine::Unknown },
                Health::Healthy,
                Order::Work,
                Protection::On,
            ),
            (Phase::Starting { scheduled: at(1) }, Health::Healthy, Order::Work, Protection::On),
            (Phase::Busy, Health::Healthy, Order::Work, Protection::On),
            (Phase::Busy, Health::AtRisk, Order::Hold, Protection::On),
            (Phase::Busy, doomed, Order::Work, Protection::Off),
            (Phase::Busy, Health::Healthy, Order::Doomed, Protection::Off),
            (Phase::Busy, Health::Gone, Order::Work, Protection::Off),
            (idle(9), Health::Healthy, Order::Work, Protection::On),
            (idle(10), Health::Healthy, Order::Work, Protection::Off),
            (idle(9), Health::Healthy, Order::Retire, Protection::Off),
        ];
        for (phase, health, order, want) in table {
            assert_eq!(protection(&worker(phase, health, order), at(100)), want, "{phase:?} {health:?}");
        }
    }
}
