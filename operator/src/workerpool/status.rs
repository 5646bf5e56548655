//! From what is seen of a pool to the status its owner reads. Pure.

use crds::{
    Money, PoolCost, PoolDecision, PoolQueue, PoolWorkers, Time, WorkerCounts, WorkerPool, WorkerPoolStatus,
    conditions::{ConditionType, ConditionUpdate, PoolReason, set_condition},
};
use jiff::Timestamp;
use policy::{Health, Order, Phase, Plan, State};
use queue::Stats;

use super::{ledger::Ledger, observe::Observed};

/// A pool's trouble that only the operator sees, and which outdoes what the policy says.
pub(crate) struct Trouble {
    pub(crate) reason: PoolReason,
    pub(crate) message: String,
}

pub(crate) fn status(
    pool: &WorkerPool,
    observed: &Observed,
    plan: &Plan,
    trouble: Option<Trouble>,
    last_decision: Option<PoolDecision>,
    ledger: &Ledger,
    now: Timestamp,
) -> WorkerPoolStatus {
    let mut status = pool.status.clone().unwrap_or_default();
    status.observed_generation = pool.metadata.generation;
    if let Some(stats) = &observed.stats {
        status.queue = Some(queue(stats));
    }
    // Who is idle or busy only the queue knows; until it can be read again, what was last known stands.
    if observed.stats.is_some() || status.workers.is_none() {
        status.workers = Some(workers(observed));
    }
    status.cost = Some(ledger.cost(
        Money::from_micros(plan.report.cost_per_hour_micros),
        Money::from_micros(plan.report.on_demand_cost_per_hour_micros),
    ));
    status.last_decision = last_decision.or(status.last_decision);
    if let Ok(memory) = serde_json::to_string(&plan.memory) {
        status.memory = Some(memory);
    }
    let (reason, message) = match trouble {
        Some(Trouble { reason, message }) => (reason, message),
        None => (reason(&plan.report.state), plan.report.message(&plan.actions)),
    };
    let moving = matches!(plan.report.state, State::Growing | State::Shrinking | State::RollingOut { .. });
    conditions(&mut status, pool, reason, &message, moving, now);
    status
}

fn conditions(
    status: &mut WorkerPoolStatus,
    pool: &WorkerPool,
    reason: PoolReason,
    message: &str,
    moving: bool,
    now: Timestamp,
) {
    let ready = matches!(
        reason,
        PoolReason::Idle
            | PoolReason::Serving
            | PoolReason::ScalingUp
            | PoolReason::SpotShortage
            | PoolReason::AtLimit
            | PoolReason::Paused
    );
    let stalled = matches!(reason, PoolReason::PodTemplateInvalid);
    for (kind, is) in [
        (ConditionType::Ready, ready),
        (ConditionType::Reconciling, (moving || !ready) && !stalled),
        (ConditionType::Stalled, stalled),
    ] {
        let update = ConditionUpdate {
            kind,
            status: is,
            reason: reason.as_str(),
            message: message.to_owned(),
            observed_generation: pool.metadata.generation,
        };
        set_condition(&mut status.conditions, update, &Time(now));
    }
}

fn reason(state: &State) -> PoolReason {
    match state {
        State::Empty => PoolReason::Idle,
        State::OnTime | State::RollingOut { .. } | State::Shrinking => PoolReason::Serving,
        State::Growing => PoolReason::ScalingUp,
        State::SpotShortage { .. }
        | State::OnDemandShortage { .. }
        | State::NoMachines { .. }
        | State::FallenBack { .. } => PoolReason::SpotShortage,
        State::AtMaximum { .. } => PoolReason::AtLimit,
        State::StartsFailing { .. } | State::PoolAtFault { .. } => PoolReason::WorkersFailing,
        State::ClassUnknown { .. } => PoolReason::Idle,
        State::Paused => PoolReason::Paused,
        State::QueueUnknown => PoolReason::QueueUnavailable,
    }
}

fn queue(stats: &Stats) -> PoolQueue {
    PoolQueue {
        waiting: stats.backlog.iter().map(|bucket| bucket.tasks).sum(),
        running: stats.leases.len() as u64,
        oldest_seconds: stats.oldest_ms.map(|oldest| stats.now_ms.saturating_sub(oldest) / 1000),
    }
}

fn workers(observed: &Observed) -> PoolWorkers {
    let mut workers = PoolWorkers::default();
    for worker in &observed.seen.workers {
        let counts = match worker.capacity {
            policy::Capacity::Spot => &mut workers.spot,
            policy::Capacity::OnDemand => &mut workers.on_demand,
        };
        count(counts, worker);
    }
    workers
}

fn count(counts: &mut WorkerCounts, worker: &policy::Worker) {
    let going = matches!(worker.order, Order::Retire | Order::Doomed)
        || matches!(worker.health, Health::Doomed { .. });
    match (worker.health, worker.phase) {
        (Health::Gone, _) => return,
        _ if going => counts.draining += 1,
        (_, Phase::Busy) => counts.busy += 1,
        (_, Phase::Idle { .. }) => counts.idle += 1,
        (_, Phase::Unscheduled { .. } | Phase::Starting { .. } | Phase::Failed) => counts.starting += 1,
    }
    counts.total += 1;
}

/// Whether two statuses differ in what a person or a new leader would want to know now; the rest (what scaling
/// learnt, how old the oldest image is, what machine time added up to) can wait for the next write.
pub(crate) fn worth_writing(old: Option<&WorkerPoolStatus>, new: &WorkerPoolStatus) -> bool {
    let Some(old) = old else { return true };
    let told = |status: &WorkerPoolStatus| {
        let mut told = status.clone();
        told.memory = None;
        if let Some(queue) = &mut told.queue {
            queue.oldest_seconds = None;
        }
        if let Some(cost) = told.cost.take() {
            let PoolCost { per_hour, on_demand_per_hour, currency, images, prices, .. } = cost;
            let now =
                PoolCost { per_hour, on_demand_per_hour, currency, images, prices, ..PoolCost::default() };
            told.cost = Some(now);
        }
        for condition in &mut told.conditions {
            condition.message.clear();
        }
        told
    };
    told(old) != told(new)
}

#[cfg(test)]
mod tests;
