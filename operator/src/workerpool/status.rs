//! From what is seen of a pool to the status its owner reads. Pure.

use crds::{
    EngineStatus, FleetStatus, FleetType, Money, PoolDecision, PoolModelStatus, PoolQueue, Time, WorkerPool,
    WorkerPoolStatus,
    conditions::{ConditionType, ConditionUpdate, PoolReason, set_condition},
};
use jiff::Timestamp;
use policy::{Health, Order, Phase, Plan, State};
use queue::{Reason, Stats};

use super::ledger::Ledger;
use crate::{capacity, workerpool::observe::Observed};

/// A pool's trouble that only the operator sees, and which outdoes what the policy says.
pub(crate) struct Trouble {
    pub(crate) reason: PoolReason,
    pub(crate) message: String,
    /// Whether the pool does its work all the same.
    pub(crate) ready: bool,
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
    if observed.stats.is_some() || status.fleets.is_empty() {
        status.fleets = fleets(pool, observed);
    }
    status.cost = Some(ledger.cost(
        Money::from_micros(plan.report.cost_per_hour_micros),
        Money::from_micros(plan.report.on_demand_cost_per_hour_micros),
    ));
    status.last_decision = last_decision.or(status.last_decision);
    let (ready, reason, message) = match trouble {
        Some(Trouble { reason, message, ready }) => (ready, reason, message),
        None => {
            let reason = reason(&plan.report.state, observed.stats.as_ref());
            (plan.report.ready, reason, plan.report.message(&plan.actions))
        }
    };
    let moving = matches!(plan.report.state, State::Growing | State::Shrinking | State::RollingOut { .. });
    conditions(&mut status, pool, (ready, reason), &message, moving, now);
    status
}

fn conditions(
    status: &mut WorkerPoolStatus,
    pool: &WorkerPool,
    (ready, reason): (bool, PoolReason),
    message: &str,
    moving: bool,
    now: Timestamp,
) {
    let stalled = matches!(reason, PoolReason::PodTemplateInvalid | PoolReason::SpecUnknown);
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

fn reason(state: &State, stats: Option<&Stats>) -> PoolReason {
    match state {
        State::Empty => PoolReason::Idle,
        State::OnTime | State::RollingOut { .. } | State::Shrinking => PoolReason::Serving,
        State::Growing => PoolReason::ScalingUp,
        State::SpotShortage { .. } | State::FallenBack { .. } => PoolReason::SpotShortage,
        State::OnDemandShortage { .. } => PoolReason::OnDemandShortage,
        State::NoMachines { .. } => PoolReason::NoMachines,
        State::AtMaximum { .. } => PoolReason::AtLimit,
        State::StartsFailing { .. } => PoolReason::StartupFailed,
        State::PoolAtFault { message } => at_fault(message, stats),
        State::ClassUnknown { .. } => PoolReason::ClassNotFound,
        State::Suspended => PoolReason::Suspended,
        State::QueueUnknown => PoolReason::QueueUnavailable,
    }
}

/// What of the pool is broken, by the reason that a worker gives beside these words.
fn at_fault(message: &str, stats: Option<&Stats>) -> PoolReason {
    let mut troubles = stats.into_iter().flat_map(|stats| &stats.workers).filter_map(|w| w.trouble.as_ref());
    match troubles.find(|trouble| trouble.message == message).map(|trouble| trouble.reason) {
        Some(Reason::OutputDenied) => PoolReason::OutputDenied,
        Some(Reason::OutputMissing) => PoolReason::OutputMissing,
        Some(Reason::OutputFailed) => PoolReason::OutputFailed,
        _ => PoolReason::WorkersFailing,
    }
}

fn queue(stats: &Stats) -> PoolQueue {
    PoolQueue {
        waiting: stats.backlog.iter().map(|bucket| bucket.tasks).sum(),
        running: stats.leases.len() as u64,
        oldest_seconds: stats.oldest_ms.map(|oldest| stats.now_ms.saturating_sub(oldest) / 1000),
    }
}

/// The pool's fleets with their workers; a fleet that is no longer in the spec is listed while it has any, by its type.
fn fleets(pool: &WorkerPool, observed: &Observed) -> Vec<FleetStatus> {
    let known = pool.spec.fleets.iter();
    let mut fleets: Vec<_> =
        known.map(|fleet| FleetStatus::empty(fleet.name.clone(), fleet.fleet_type)).collect();
    for worker in &observed.seen.workers {
        let capacity = capacity::to_crd(worker.capacity);
        let fleet_type = FleetType::from(capacity);
        match fleets.iter_mut().find(|fleet| fleet.fleet_type == fleet_type) {
            Some(fleet) => count(fleet, worker),
            None => {
                let mut fleet =
                    FleetStatus::empty(format!("removed-{}", capacity.label().to_lowercase()), fleet_type);
                count(&mut fleet, worker);
                fleets.push(fleet);
            }
        }
    }
    fleets
}

fn count(counts: &mut FleetStatus, worker: &policy::Worker) {
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

/// What is new in a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The pool is in another state, or answers to another spec.
    Turn,
    /// It counts other workers, images or prices.
    Counts,
    /// No more than what adds up, and what moves with time.
    Sums,
    None,
}

pub(crate) fn news(old: Option<&WorkerPoolStatus>, new: &WorkerPoolStatus) -> News {
    let Some(old) = old else { return News::Turn };
    let state = |status: &WorkerPoolStatus| {
        let conditions = status.conditions.iter();
        let conditions: Vec<_> =
            conditions.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone())).collect();
        (status.observed_generation, conditions)
    };
    let counts = |status: &WorkerPoolStatus| {
        let queue = status.queue.as_ref().map(|queue| (queue.waiting, queue.running));
        let cost = status.cost.as_ref().map(|cost| (cost.per_hour, cost.prices.clone(), cost.images.made));
        (queue, status.fleets.clone(), cost, status.last_decision.clone())
    };
    match () {
        () if state(old) != state(new) || has(old) != has(new) => News::Turn,
        () if counts(old) != counts(new) => News::Counts,
        () if old != new => News::Sums,
        () => News::None,
    }
}

/// What its engines have.
fn has(status: &WorkerPoolStatus) -> (Option<&EngineStatus>, &[PoolModelStatus]) {
    (status.engine.as_ref(), &status.models)
}

#[cfg(test)]
mod tests;
