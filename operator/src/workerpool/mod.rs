//! WorkerPools: observe → decide (the policy) → apply → status.
//!
//! A pool is reconciled when its spec, its Pods or their nodes change, when work arrives or ends, and every
//! second while anything is leased, because a lease that ends tells nobody.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crds::{
    Capacity, PoolDecision, Time, WorkerPool,
    conditions::{PoolReason, cut},
    events::EventReason,
};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::controller::Action as Next,
};
use policy::{Action, Phase, Plan, Sample, plan};
use queue::{Epoch, Stats};

mod apply;
pub(crate) mod credentials;
mod error;
pub(crate) mod ledger;
pub(crate) mod memory;
mod observe;
pub(crate) mod outlook;
mod pod;
mod protection;
mod refusal;
mod secret;
mod shortages;
mod status;
mod unplaced;
mod wishes;

pub(crate) use error::Error;

use apply::Work;
use ledger::{KINDS, Machines};
use memory::PoolState;
use observe::Observed;
use outlook::Outlook;
use pod::Given;
use refusal::Refusal;
use status::Trouble;

use crate::{
    config::Config,
    context::{Context, PoolKey},
    events::Notice,
    imagejob, lock,
    metrics::PHASES,
    results,
};

/// A pool's status is written at most this often, turns of its life included: it changes with every image.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// What changes all the time (what scaling learnt) is written this often while there is work.
const MEMORY_EVERY: Duration = Duration::from_secs(30);
/// The decision's message in the status is cut here, characters.
const MAX_DECISION: usize = 1024;

/// Brings one pool forward.
pub(crate) async fn reconcile(pool: Arc<WorkerPool>, context: Arc<Context>) -> Result<Next, Error> {
    let key = PoolKey::of(&pool);
    let state = context.pools.get(&key);
    if pool.metadata.deletion_timestamp.is_some() {
        return Ok(Next::await_change());
    }
    prepare(&pool, &key, &state, &context).await?;
    let (stats, queue_error) = match read_queue(&pool, &key, &context).await {
        Ok(stats) => (Some(stats), None),
        Err(error) => (None, Some(error)),
    };
    // The queue was read later than the pool: what was changed in between, say to pause it, counts for what came after.
    let same = |newest: &Arc<WorkerPool>| newest.metadata.uid == pool.metadata.uid;
    let Some(pool) = context.pool(&key).filter(same) else { return Ok(Next::await_change()) };
    let now = Timestamp::now();
    let (observed, mut plan, before, machines) = {
        let mut state = lock(&state);
        state.queue_read(stats.is_some());
        let hash = pod::template_hash(&pool, given(&context.config));
        let observed = observe::observe(&pool, &context.seen, &mut state, stats, &hash, now);
        learn_start_up(&observed, &mut state, now);
        let before = state.memory(&pool);
        let (at, template) = (crate::node::time(now), hash.clone());
        let policy = policy::Policy { template, ..wishes::policy(&pool) };
        let plan = plan(at, &policy, &observed.seen, &before);
        if let Some(stats) = &observed.stats {
            let why = plan.report.state.to_string();
            state.outlook = Outlook::new(plan.forecast.clone(), stats, &plan.memory.estimates, why, at);
        }
        state.memory = Some(plan.memory.clone());
        let ledger = state.ledger(&pool);
        let machines = ledger.advance(&observed.machines(now), &pool.spec.capacity, now);
        (observed, plan, before, machines)
    };
    let work = Work { pool: &pool, key: &key, observed: &observed, state: &state, context: &context };
    let (done, mut applied) = work.carry_out(&plan.actions).await;
    plan.actions = done;
    applied = applied.and(work.protect(now).await).and(work.remove_orphans().await);
    remember_decision(&plan, &state, now, &work);
    for notice in shortages::between(&before, &plan.memory, &observed.seen, observed.no_machine.as_deref()) {
        work.tell(&notice);
    }
    measure(&key, &observed, &plan, &context);
    count_cost(&key, machines, &context);
    let trouble = trouble(queue_error.as_ref(), &observed, &state);
    write_status(&work, &plan, trouble, now).await?;
    applied?;
    if let Some(error) = queue_error {
        return Err(Error::Queue(error));
    }
    Ok(Next::requeue(apply::look_again(plan.wake_after, work.rest(), &observed)))
}

/// What stands before the first worker: the Secret it reads, the reader of its results, an intact queue.
async fn prepare(
    pool: &WorkerPool,
    key: &PoolKey,
    state: &Arc<Mutex<PoolState>>,
    context: &Arc<Context>,
) -> Result<(), Error> {
    let uid = pool.uid().unwrap_or_default();
    if lock(state).secret_is_due(&uid, Instant::now()) {
        let url = context.config.url_for_workers();
        secret::apply(pool, url, &context.client).await.map_err(Error::Api)?;
        lock(state).secret_written(uid, Instant::now());
    }
    lock(state).consume(|| results::consume(key.clone(), Arc::clone(context)));
    Ok(())
}

/// Takes back what nobody holds any more, and reads what there is. A queue that may have lost something is
/// filled again first.
async fn read_queue(pool: &WorkerPool, key: &PoolKey, context: &Arc<Context>) -> queue::Result<Stats> {
    let queue = context.queue(key);
    queue.configure(&wishes::settings(pool)).await?;
    if let Epoch::Changed(run) = queue.epoch().await? {
        // A new pool had nothing to lose, nor had one without unfinished jobs.
        let had_work = pool.status.is_some();
        let jobs = imagejob::rebuild(key, had_work, context).await?;
        if jobs > 0 && had_work {
            tracing::warn!(pool = %key, jobs, "Redis was restarted, failed over or emptied: unfinished jobs queued again");
            context.metrics.rebuilds.inc();
        }
        queue.set_epoch(&run).await?;
    }
    let reaped = queue.reap().await?;
    let taken_back = u64::from(reaped.expired) + u64::from(reaped.missing);
    let labels = [key.to_string(), "leaseEnded".to_owned()];
    context.metrics.requeued.with_label_values(&labels).inc_by(taken_back);
    queue.stats().await
}

/// A worker seen ready for the first time tells how long starting takes; not so those that were there before us.
fn learn_start_up(observed: &Observed, state: &mut PoolState, now: Timestamp) {
    if observed.stats.is_none() {
        return;
    }
    let now = crate::node::time(now);
    let first_look = state.up.is_none();
    let up = state.up.get_or_insert_default();
    for worker in &observed.seen.workers {
        let ready = matches!(worker.phase, Phase::Idle { .. } | Phase::Busy);
        if ready
            && up.insert(queue::WorkerId(worker.id.0.clone()))
            && !first_look
            && observed.pods.contains_key(&worker.id.0)
        {
            let took = now.since(worker.created);
            state.samples.push(Sample::Started { capacity: worker.capacity, took });
        }
    }
    let here = |id: &queue::WorkerId| observed.seen.workers.iter().any(|worker| worker.id.0 == id.0);
    up.retain(here);
    state.evicted.retain(here);
}

fn remember_decision(plan: &Plan, state: &Mutex<PoolState>, now: Timestamp, work: &Work<'_>) {
    let scaled = |d: &&policy::Decision| matches!(d.action, Action::Start { .. } | Action::Retire { .. });
    let Some(first) = plan.actions.iter().find(scaled) else { return };
    let up = matches!(first.action, Action::Start { .. });
    let message = cut(&plan.report.message(&plan.actions), MAX_DECISION);
    let reason = if up { EventReason::ScaledUp } else { EventReason::ScaledDown };
    work.tell(&Notice::normal(reason, if up { "Start" } else { "Retire" }, message.clone()));
    lock(state).last_decision =
        Some(PoolDecision { time: Time(now), reason: first.why.reason().to_owned(), message });
}

fn trouble(
    queue_error: Option<&queue::Error>,
    observed: &Observed,
    state: &Mutex<PoolState>,
) -> Option<Trouble> {
    let of = |reason, message: String| Some(Trouble { reason, message });
    if let Some(error) = queue_error {
        return of(PoolReason::QueueUnavailable, error.to_string());
    }
    if let Some(refused) = &lock(state).refused {
        let Refusal { reason, message } = refused.last.clone();
        return of(reason, message);
    }
    // One bad worker among good ones is replaced in time; the pool serves.
    let up = |worker: &policy::Worker| matches!(worker.phase, Phase::Idle { .. } | Phase::Busy);
    if observed.seen.workers.iter().any(up) {
        return None;
    }
    let failing = observed.trouble.clone().and_then(|message| of(PoolReason::WorkersFailing, message));
    failing.or_else(|| of(PoolReason::WorkersUnschedulable, observed.impossible.clone()?))
}

/// What the operator's configuration gives to workers.
fn given(config: &Config) -> Given<'_> {
    Given { worker_image: &config.worker_image, queue_url: config.url_for_workers() }
}

async fn write_status(
    work: &Work<'_>,
    plan: &Plan,
    trouble: Option<Trouble>,
    now: Timestamp,
) -> Result<(), Error> {
    let pool = work.pool;
    let (last_decision, last_write, ledger) = {
        let mut state = lock(work.state);
        (state.last_decision.clone(), state.last_status_write, state.ledger(pool).clone())
    };
    let status = status::status(pool, work.observed, plan, trouble, last_decision, &ledger, now);
    let since = last_write.map_or(Duration::MAX, |at| at.elapsed());
    let due = match status::worth_writing(pool.status.as_ref(), &status) {
        true => since >= STATUS_EVERY,
        false => since >= MEMORY_EVERY && pool.status.as_ref() != Some(&status),
    };
    if !due {
        return Ok(());
    }
    let api: Api<WorkerPool> = Api::namespaced(work.context.client.clone(), &work.key.namespace);
    let patch = crate::patch::status(pool.resource_version(), &status).map_err(Error::Serialize)?;
    match api.patch_status(&pool.name_any(), &PatchParams::default(), &Patch::Json::<()>(patch)).await {
        Ok(_) => {
            lock(work.state).last_status_write = Some(Instant::now());
            work.context.metrics.status_writes.with_label_values(&["workerpool"]).inc();
            Ok(())
        }
        // Somebody changed the pool meanwhile; the change wakes us.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Api(error)),
    }
}

fn measure(key: &PoolKey, observed: &Observed, plan: &Plan, context: &Context) {
    let metrics = &context.metrics;
    let pool = key.to_string();
    if let Some(stats) = &observed.stats {
        let waiting: u64 = stats.backlog.iter().map(|bucket| bucket.tasks).sum();
        metrics.waiting.with_label_values(&[&pool]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let running = i64::try_from(stats.leases.len()).unwrap_or(i64::MAX);
        metrics.running.with_label_values(&[&pool]).set(running);
        let late: u64 = plan.report.late.iter().map(|late| late.tasks).sum();
        metrics.late.with_label_values(&[&pool]).set(i64::try_from(late).unwrap_or(i64::MAX));
    }
    for capacity in policy::Capacity::ALL {
        for phase in PHASES {
            let workers = observed.seen.workers.iter();
            let n = workers.filter(|w| w.capacity == capacity && label(w.phase) == phase).count();
            let labels = [pool.as_str(), capacity.label(), phase];
            metrics.workers.with_label_values(&labels).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }
    #[allow(clippy::cast_precision_loss)] // a price, in millionths
    let per_hour = plan.report.cost_per_hour_micros as f64 / 1e6;
    metrics.cost_per_hour.with_label_values(&[&pool]).set(per_hour);
}

/// What the machines cost since the last time.
fn count_cost(key: &PoolKey, machines: [Machines; 2], context: &Context) {
    let pool = key.to_string();
    for (capacity, machines) in KINDS.into_iter().zip(machines).filter(|(_, machines)| machines.seconds > 0) {
        let labels = [pool.as_str(), capacity.label()];
        let (amount, on_demand) = machines.amounts();
        context.metrics.machine_seconds.with_label_values(&labels).inc_by(machines.seconds);
        context.metrics.cost.with_label_values(&labels).inc_by(amount);
        context.metrics.on_demand_cost.with_label_values(&labels).inc_by(on_demand);
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

/// What the names of a pool's workers on this capacity begin with. Names of Pods have no capitals.
fn worker_prefix(pool: &str, capacity: Capacity) -> String {
    format!("{pool}-{}-", capacity.label().to_ascii_lowercase())
}
