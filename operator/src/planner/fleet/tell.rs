//! What a pool's owner reads: its status, its Events, its metrics. And what it costs, added up.

use std::time::Duration;

use crds::{
    PoolDecision, Time, WorkerPoolStatus,
    conditions::{PoolReason, cut},
    events::EventReason,
};
use jiff::Timestamp;
use kube::ResourceExt as _;
use policy::{Action, Memory, Phase, Plan};
use tokio::time::Instant;

use super::{Fleet, Observed, owner};
use crate::{
    executors::pools::{PoolOrder, SecretState},
    index::PoolRecord,
    metrics::PHASES,
    notice::Notice,
    workerpool::{
        engines,
        ledger::KINDS,
        shortages,
        status::{self, News, Trouble},
        unhealthy,
    },
};

/// A turn of a pool's life is written at most this often.
const TURN_EVERY: Duration = Duration::from_secs(2);
/// What it counts, likewise.
const COUNTS_EVERY: Duration = Duration::from_secs(30);
/// What only adds up, and what scaling has learned, likewise.
const SUMS_EVERY: Duration = Duration::from_secs(60);
/// The decision's message in the status is cut here, characters.
const MAX_DECISION: usize = 1024;

impl Fleet {
    /// Tells of a plan. `before`: what was known before it.
    pub(super) fn tell(
        &mut self,
        pool: &PoolRecord,
        observed: &Observed,
        plan: &Plan,
        before: &Memory,
        now: Timestamp,
    ) {
        self.remember_decision(plan, now);
        for notice in shortages::between(before, &plan.memory, &observed.seen) {
            self.notify(&notice);
        }
        self.tell_of_workers(plan);
        self.measure(observed, plan);
        self.count_cost(pool, observed, now);
        self.write_status(pool, observed, plan, now);
        self.keep_memory(pool, plan);
    }

    pub(super) fn tell_secret(&self, secret: &SecretState) {
        if self.state.secret.as_ref() == Some(secret) {
            return;
        }
        match secret {
            SecretState::Written => {}
            SecretState::Conflict(message) => {
                tracing::error!(pool = %self.key, message);
                self.notify(&Notice::warning(EventReason::SecretConflict, "WriteSecret", message.clone()));
            }
            SecretState::Failed(error) => {
                tracing::warn!(pool = %self.key, error, "the Secret with the queue's address is not written yet");
            }
        }
    }

    /// Workers that fail tasks, and starts that fail: each is told when it is new.
    fn tell_of_workers(&mut self, plan: &Plan) {
        let (failed, told) = unhealthy::failed_starts(&self.state.failing, &plan.report.failing);
        self.state.failing = told;
        unhealthy::replaced(&plan.actions).iter().chain(&failed).for_each(|notice| self.notify(notice));
    }

    fn remember_decision(&mut self, plan: &Plan, now: Timestamp) {
        let scaled = |d: &&policy::Decision| matches!(d.action, Action::Start { .. } | Action::Retire { .. });
        let Some(first) = plan.actions.iter().find(scaled) else { return };
        let up = matches!(first.action, Action::Start { .. });
        let message = cut(&plan.report.message(&plan.actions), MAX_DECISION);
        let decision = PoolDecision { time: Time(now), reason: first.why.reason().to_owned(), message };
        if up {
            self.state.starting = Some(decision);
        } else {
            self.tell_decision(EventReason::ScaledDown, "Retire", decision);
        }
    }

    /// A Pod was created: now it can be said that workers are started.
    pub(super) fn started(&mut self) {
        if let Some(decision) = self.state.starting.take() {
            self.tell_decision(EventReason::ScaledUp, "Start", decision);
        }
    }

    fn tell_decision(&mut self, reason: EventReason, action: &'static str, decision: PoolDecision) {
        self.notify(&Notice::normal(reason, action, decision.message.clone()));
        self.state.last_decision = Some(decision);
    }

    /// A pool's trouble that only the operator sees.
    fn trouble(&self, observed: &Observed, plan: &Plan) -> Option<Trouble> {
        let of = |reason, message: String| Some(Trouble { reason, message, ready: false });
        if let Some(SecretState::Conflict(message)) = &self.state.secret {
            return of(PoolReason::SecretConflict, message.clone());
        }
        if let Some(error) = &self.keeper.snapshot.borrow().error {
            return of(PoolReason::QueueUnavailable, error.clone());
        }
        if let Some(message) = self.unknown() {
            return of(PoolReason::SpecUnknown, message.to_owned());
        }
        if let Some(message) = self.invalid_template() {
            return of(PoolReason::PodTemplateInvalid, message.to_owned());
        }
        if let Some(message) = unhealthy::all_unhealthy(&observed.seen.workers) {
            return of(PoolReason::WorkersUnhealthy, message);
        }
        let serves = observed.seen.workers.iter().any(policy::Worker::is_up);
        if let Some(message) = &self.state.refusal {
            let next = plan.report.failing.iter().filter_map(|failing| failing.next_try).min();
            let next = next.map_or_else(String::new, |next| format!("; the next is tried {next}"));
            let (reason, message) = (PoolReason::PodsRefused, format!("{message}{next}"));
            return Some(Trouble { reason, message, ready: serves });
        }
        // One bad worker among good ones is replaced in time; the pool serves.
        let failing = || observed.trouble.clone().and_then(|message| of(PoolReason::WorkersFailing, message));
        let impossible = || of(PoolReason::WorkersUnschedulable, observed.impossible.clone()?);
        let up_in_vain = || if serves { None } else { failing().or_else(impossible) };
        up_in_vain().or_else(|| self.queue_loses_data(plan))
    }

    /// A pool that does its work all the same says so, too: only its owner can change it.
    fn queue_loses_data(&self, plan: &Plan) -> Option<Trouble> {
        let policy = self.keeper.snapshot.borrow().redis.evicts.clone().filter(|_| plan.report.ready)?;
        let message = format!(
            "Redis has maxmemory-policy {policy} and may drop what is queued: set it to noeviction. What it drops is queued \
             again within minutes; {}",
            plan.report.message(&plan.actions)
        );
        Some(Trouble { reason: PoolReason::QueueLosesData, message, ready: true })
    }

    fn write_status(&mut self, pool: &PoolRecord, observed: &Observed, plan: &Plan, now: Timestamp) {
        let Some(ledger) = &self.state.ledger else { return };
        let trouble = self.trouble(observed, plan);
        let last_decision = self.state.last_decision.clone();
        let mut new = status::status(&pool.object, observed, plan, trouble, last_decision, ledger, now);
        if let Some(known) = &*self.keeper.engines.borrow() {
            new.engine = engines::engine(known);
            new.models = engines::models(&pool.object, known);
        }
        if self.state.status_under_way || !self.is_due(pool.object.status.as_ref(), &new) {
            return;
        }
        let version = pool.object.resource_version().unwrap_or_default();
        let order = PoolOrder::Status { version, status: Box::new(new) };
        if self.order_pool(order) {
            self.state.status_under_way = true;
        }
    }

    fn is_due(&self, old: Option<&WorkerPoolStatus>, new: &WorkerPoolStatus) -> bool {
        let since = self.state.status_at.map_or(Duration::MAX, |at| at.elapsed());
        match status::news(old, new) {
            News::Turn => since >= TURN_EVERY,
            News::Counts => since >= COUNTS_EVERY,
            News::Sums => since >= SUMS_EVERY,
            News::None => false,
        }
    }

    /// Has what scaling has learned kept for the next leader.
    fn keep_memory(&mut self, pool: &PoolRecord, plan: &Plan) {
        let due = match &self.state.remembered {
            Some((at, kept)) => at.elapsed() >= SUMS_EVERY && *kept != plan.memory,
            None => plan.memory != Memory::default(),
        };
        if !due {
            return;
        }
        let (Some(owner), Ok(memory)) = (owner(pool), serde_json::to_string(&plan.memory)) else { return };
        if self.order_pool(PoolOrder::Remember { owner, memory }) {
            self.state.remembered = Some((Instant::now(), plan.memory.clone()));
        }
    }

    fn measure(&self, observed: &Observed, plan: &Plan) {
        let metrics = &self.metrics;
        let pool = self.key.to_string();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        if let Some(stats) = &observed.stats {
            let waiting: u64 = stats.backlog.iter().map(|bucket| bucket.tasks).sum();
            metrics.waiting.with_label_values(&[&pool]).set(number(waiting));
            metrics.running.with_label_values(&[&pool]).set(number(stats.leases.len() as u64));
            let late: u64 = plan.report.late.iter().map(|late| late.tasks).sum();
            metrics.late.with_label_values(&[&pool]).set(number(late));
        }
        for capacity in policy::Capacity::ALL {
            for phase in PHASES {
                let workers = observed.seen.workers.iter();
                let n = workers.filter(|w| w.capacity == capacity && label(w.phase) == phase).count();
                let labels = [pool.as_str(), capacity.label(), phase];
                metrics.workers.with_label_values(&labels).set(number(n as u64));
            }
        }
        #[allow(clippy::cast_precision_loss)] // a price, in millionths
        let per_hour = plan.report.cost_per_hour_micros as f64 / 1e6;
        metrics.cost_per_hour.with_label_values(&[&pool]).set(per_hour);
    }

    /// What the machines cost since the last time.
    fn count_cost(&mut self, pool: &PoolRecord, observed: &Observed, now: Timestamp) {
        let Some(ledger) = &mut self.state.ledger else { return };
        let added = ledger.advance(&observed.machines(now), &pool.object.spec, now);
        let pool = self.key.to_string();
        for (capacity, machines) in KINDS.into_iter().zip(added).filter(|(_, machines)| machines.seconds > 0)
        {
            let labels = [pool.as_str(), capacity.label()];
            let (amount, on_demand) = machines.amounts();
            self.metrics.machine_seconds.with_label_values(&labels).inc_by(machines.seconds);
            self.metrics.cost.with_label_values(&labels).inc_by(amount);
            self.metrics.on_demand_cost.with_label_values(&labels).inc_by(on_demand);
        }
    }
}

/// One of [`PHASES`].
const fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::Unscheduled { .. } => "unscheduled",
        Phase::Starting { .. } | Phase::Failed => "starting",
        Phase::Idle { .. } => "idle",
        Phase::Busy => "busy",
    }
}
