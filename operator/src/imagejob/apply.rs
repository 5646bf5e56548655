//! What reconciling a job does to the queue, the store and the job itself.

use std::time::Duration;

use crds::{
    ImageCost, ImageJob, ImageJobStatus, WorkerPool,
    conditions::{ConditionType, find_condition},
};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Preconditions},
    runtime::controller::Action,
};
use policy::Sample;
use queue::{Enqueued, Job, JobState, Outcome, TaskResult};
use store::{Output, Store};

use super::{
    Error,
    listing::{Results, manifest},
    pool_key,
    validate::{created_ms, namespace, size, uid},
    writes::PROGRESS_EVERY,
};
use crate::{
    context::{Context, PoolKey},
    lock,
    workerpool::{credentials, ledger::Images},
};

/// The metrics' label of tenants that the pool's spec does not name.
const OTHER_TENANTS: &str = "other";
/// Outcomes are read in pages of this many.
const PAGE: u32 = 1000;

/// Puts a job on its pool's queue and wakes the pool.
pub(crate) async fn enqueue(
    mut job: Job,
    key: &PoolKey,
    recheck: bool,
    context: &Context,
) -> Result<Enqueued, Error> {
    job.recheck = recheck;
    let enqueued = context.queue(key).enqueue(&job).await.map_err(Error::Queue)?;
    if enqueued == Enqueued::New {
        context.wake.pool(key);
    }
    Ok(enqueued)
}

/// Lets claims take a job, or not.
pub(crate) async fn suspend(
    job: &ImageJob,
    key: &PoolKey,
    suspend: bool,
    context: &Context,
) -> Result<(), Error> {
    let queue = context.queue(key);
    match suspend {
        true => queue.suspend(&uid(job)).await,
        false => queue.resume(&uid(job), created_ms(job)).await,
    }
    .map_err(Error::Queue)?;
    context.wake.pool(key);
    Ok(())
}

/// Stops a job in the queue; its workers hear of it at their next heartbeat.
pub(crate) async fn cancel(job: &ImageJob, key: &PoolKey, context: &Context) -> Result<JobState, Error> {
    let queue = context.queue(key);
    queue.cancel(&uid(job)).await.map_err(Error::Queue)?;
    context.wake.pool(key);
    Ok(queue.job(&uid(job)).await.map_err(Error::Queue)?.unwrap_or_default())
}

/// Removes all the queue knows of a job: it ended, or its object is gone.
pub(crate) async fn take_off_queue(job: &ImageJob, key: &PoolKey, context: &Context) -> Result<(), Error> {
    context.queue(key).forget(&uid(job)).await.map_err(Error::Queue)?;
    context.wake.pool(key);
    Ok(())
}

/// What came of the job's tasks so far, by index.
pub(crate) async fn outcomes(
    job: &ImageJob,
    key: &PoolKey,
    context: &Context,
) -> Result<Vec<Outcome>, Error> {
    let queue = context.queue(key);
    let mut all = Vec::new();
    for from in (0..job.spec.count).step_by(PAGE as usize) {
        all.extend(queue.outcomes(&uid(job), from, PAGE).await.map_err(Error::Queue)?);
    }
    all.sort_by_key(|outcome| outcome.index);
    Ok(all)
}

/// Where the pool's images go.
pub(crate) fn output(pool: &WorkerPool) -> Output {
    let crds::Output {
        bucket,
        endpoint,
        region,
        path_style,
        key_prefix,
        public_url,
        credentials_secret_ref: _,
    } = &pool.spec.output;
    Output {
        endpoint: endpoint.clone(),
        region: Some(region.clone()),
        path_style: *path_style,
        key_prefix: key_prefix.clone(),
        public_url: Some(public_url.clone()),
        ..Output::new(bucket.clone())
    }
}

/// Writes the listing of all images of a job with many; its address.
pub(crate) async fn write_manifest(
    job: &ImageJob,
    pool: &WorkerPool,
    results: &Results<'_>,
    context: &Context,
) -> Result<String, Error> {
    let store = match credentials::keys(pool, &context.client).await.map_err(Error::Credentials)? {
        Some(keys) => Store::open_with_keys(results.output, keys).await,
        None => Store::open(results.output).await,
    }
    .map_err(Error::Store)?;
    let written = store.put_manifest(&manifest(job, results)).await.map_err(Error::Store)?;
    Ok(results.output.url(&written))
}

/// Deletes an ended job whose time to live is over, or says when to look again.
pub(crate) async fn expire(job: &ImageJob, context: &Context) -> Result<Action, Error> {
    let ended = job.status.as_ref().and_then(|status| status.completion_time.as_ref());
    let (Some(ttl), Some(ended)) = (job.spec.ttl_seconds_after_finished, ended) else {
        return Ok(Action::await_change());
    };
    let age = Timestamp::now().duration_since(ended.0);
    let left = Duration::from_secs(u64::from(ttl)).saturating_sub(age.try_into().unwrap_or_default());
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let api: Api<ImageJob> = Api::namespaced(context.client.clone(), namespace(job));
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: job.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(Action::await_change()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            Ok(Action::await_change())
        }
        Err(error) => Err(Error::Api(error)),
    }
}

/// Puts on its tenant's account what a job's new status says of its cost.
pub(crate) fn book(job: &ImageJob, new: &ImageJobStatus, context: &Context) {
    let (before, now) = (Images::of(job.status.as_ref()), Images::of(Some(new)));
    let key = pool_key(job, context).filter(|_| before != now);
    let (Some(key), Some(tenant)) = (key, new.tenant.as_deref()) else { return };
    let Some(pool) = context.pool(&key) else { return };
    lock(&context.pools.get(&key)).ledger(&pool).book(tenant, before, now);
    let named = pool.spec.fairness.tenants.iter().any(|share| share.name == tenant);
    let labels = [key.to_string(), if named { tenant.to_owned() } else { OTHER_TENANTS.to_owned() }];
    let ImageCost { made: _, gpu_seconds, amount, on_demand_amount: _ } = now.minus(before).cost();
    #[allow(clippy::cast_precision_loss)] // counters are floating-point numbers
    let amount = amount.micros() as f64 / 1e6;
    context.metrics.tenant_gpu_seconds.with_label_values(&labels).inc_by(gpu_seconds);
    context.metrics.tenant_cost.with_label_values(&labels).inc_by(amount);
}

/// Tells scaling how long the job's latest images took.
pub(crate) fn learn(job: &ImageJob, outcomes: &[Outcome], key: &PoolKey, context: &Context) {
    let Some((units, model)) = size(job) else { return };
    let samples = latest(job, outcomes).map(|result| Sample::Task {
        work: String::new(),
        model: model.clone(),
        units,
        took: Duration::from_millis(result.gpu_ms),
    });
    lock(&context.pools.get(key)).samples.extend(samples);
}

/// Made lately and not listed in the status yet, so that none teaches twice, and no more than count anyway.
fn latest<'a>(job: &ImageJob, outcomes: &'a [Outcome]) -> impl Iterator<Item = &'a TaskResult> {
    const ENOUGH: usize = 20;
    let window_ms = u64::try_from(PROGRESS_EVERY.as_millis()).unwrap_or(u64::MAX);
    let last = outcomes.iter().map(|outcome| outcome.finished_ms).max().unwrap_or_default();
    let listed = job.status.as_ref().map_or(&[][..], |status| &status.images);
    let fresh = move |outcome: &&Outcome| {
        outcome.finished_ms.saturating_add(window_ms) > last
            && !listed.iter().any(|image| image.index == outcome.index)
    };
    outcomes
        .iter()
        .filter(fresh)
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .filter(|result| !result.found)
        .take(ENOUGH)
}

/// Counts a finished job.
pub(crate) fn count_end(job: &ImageJob, key: &PoolKey, context: &Context) {
    let Some(status) = &job.status else { return };
    if let Some(ready) = find_condition(&status.conditions, ConditionType::Ready) {
        let labels = [key.to_string(), ready.reason.clone()];
        context.metrics.jobs_finished.with_label_values(&labels).inc();
    }
    if let Some(end) = &status.completion_time {
        let end_ms = u64::try_from(end.0.as_millisecond()).unwrap_or_default();
        let took = Duration::from_millis(end_ms.saturating_sub(created_ms(job)));
        context.metrics.job_seconds.observe(took.as_secs_f64());
    }
}
