//! From what is known of a job to the status its user reads. Pure.

use std::time::Duration;

use crds::{
    Cost, Counts, ExtraImage, Fleets, Image, ImageFailure, ImageJob, ImageJobStatus, Money, Sla, Time,
    WorkerPool,
    conditions::{ConditionType, ConditionUpdate, JobReason, cut, set_condition},
};
use jiff::Timestamp;
use kube::ResourceExt as _;
use queue::{JobState, Outcome, StoredImage};
use store::{Manifest, Output};

use super::validate::{Decided, Outlook, Problem, created_ms, namespace, tenant, uid};
use crate::{
    capacity,
    context::PoolKey,
    patch,
    words::{images, images_of},
};

/// The reason a worker gives for work that its engine refuses.
const ENGINE_REJECTED: &str = "EngineRejected";
/// Images listed in a status; more are in the manifest.
pub(crate) const MAX_IMAGES: usize = 100;
/// Failures listed in a status.
const MAX_FAILURES: usize = 20;
/// Further images listed per image.
const MAX_EXTRA: usize = 20;
const MAX_FAILURE_MESSAGE: usize = 1024;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    ImagesFailed,
    Cancelled,
}

/// What came of a job's tasks so far, and what is needed to tell of it.
pub(crate) struct Results<'a> {
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) output: &'a Output,
    pub(crate) fleets: &'a Fleets,
    /// What the job's class promises, if the pool still has it.
    pub(crate) promised: Option<Duration>,
}

/// Accepted, and on the queue.
pub(crate) fn queued(
    job: &ImageJob,
    pool: &PoolKey,
    class: &str,
    decided: Decided,
    paused: bool,
    now: Timestamp,
) -> ImageJobStatus {
    let total = job.spec.count;
    let mut status = begun(job);
    status.pool = Some(shown_pool(job, pool));
    status.class = Some(class.to_owned());
    status.tenant = Some(tenant(job));
    let Decided { seed, segments } = decided;
    (status.seed, status.segments) = (seed, segments);
    status.sla = Some(Sla::Pending);
    progress(&mut status, Counts { total, waiting: total, ..Counts::default() });
    let (reason, message) = if job.spec.suspend {
        (JobReason::Suspended, "spec.suspend is true; no image is started".to_owned())
    } else if paused {
        pool_paused()
    } else {
        (JobReason::Waiting, format!("{} waiting for a worker of {pool}", images(total)))
    };
    under_way(&mut status, job, reason, &message, now);
    status
}

/// On the queue, some tasks may be running or done.
pub(crate) fn following(
    job: &ImageJob,
    state: &JobState,
    pool: Option<&WorkerPool>,
    expected: Option<Timestamp>,
    now: Timestamp,
) -> ImageJobStatus {
    let mut status = begun(job);
    status.estimated_completion_time = expected.map(Time);
    progress(&mut status, counts(job, state));
    status.start_time = state.started_ms.and_then(time);
    status.interruptions = Some(state.interruptions);
    status.retries = Some(state.retries);
    let done = state.succeeded + state.failed;
    let total = job.spec.count;
    let (reason, message) = if state.suspended {
        (JobReason::Suspended, format!("spec.suspend is true; {} done", images_of(done, total)))
    } else if state.running > 0 {
        (JobReason::Running, format!("{} being made, {done} of {total} done", images(state.running)))
    } else if pool.is_none() {
        (JobReason::PoolNotFound, "the WorkerPool was deleted; images wait until it is back".to_owned())
    } else if pool.is_some_and(|pool| pool.spec.paused) {
        pool_paused()
    } else {
        let waiting = images(state.waiting);
        (JobReason::Waiting, format!("{waiting} waiting for a worker, {done} of {total} done"))
    };
    under_way(&mut status, job, reason, &message, now);
    status
}

fn pool_paused() -> (JobReason, String) {
    (JobReason::PoolPaused, "the WorkerPool is paused; images wait until it goes on".to_owned())
}

/// Something is missing, or the job can never work.
pub(crate) fn problem(job: &ImageJob, problem: &Problem, now: Timestamp) -> ImageJobStatus {
    let mut status = begun(job);
    let total = job.spec.count;
    if status.counts.is_none() {
        progress(&mut status, Counts { total, waiting: total, ..Counts::default() });
    }
    status.estimated_completion_time = None;
    match problem.outlook {
        Outlook::MayPass => under_way(&mut status, job, problem.reason, &problem.message, now),
        Outlook::Final => {
            status.completion_time = Some(Time(now));
            let counts = status.counts.unwrap_or_default();
            progress(&mut status, Counts { waiting: 0, running: 0, ..counts });
            failed(&mut status, job, problem.reason, &problem.message, now);
        }
    }
    status
}

/// All is over.
pub(crate) fn ended(
    job: &ImageJob,
    end: End,
    state: &JobState,
    results: &Results<'_>,
    now: Timestamp,
) -> ImageJobStatus {
    let mut status = begun(job);
    let total = job.spec.count;
    let counts = Counts { waiting: 0, running: 0, ..counts(job, state) };
    progress(&mut status, counts);
    status.start_time = state.started_ms.and_then(time);
    status.interruptions = Some(state.interruptions);
    status.retries = Some(state.retries);
    status.estimated_completion_time = None;
    list(&mut status, results);
    let last = results.outcomes.iter().map(|outcome| outcome.finished_ms).max();
    let completion = match end {
        End::Cancelled => now,
        End::Completed | End::ImagesFailed => last.and_then(time).map_or(now, |time| time.0),
    };
    status.completion_time = Some(Time(completion));
    match end {
        End::Completed => {
            status.sla = sla(job, results.promised, completion);
            completed(&mut status, job, &format!("{} made", images(total)), now);
        }
        End::ImagesFailed => {
            status.sla = Some(Sla::Missed);
            let (reason, message) = failure_summary(&status, state, total);
            failed(&mut status, job, reason, &message, now);
        }
        End::Cancelled => {
            cancel(&mut status, job, state.succeeded, now);
        }
    }
    status
}

/// Cancelled, and the queue has nothing to add to what the status lists already.
pub(crate) fn cancelled(job: &ImageJob, now: Timestamp) -> ImageJobStatus {
    let mut status = begun(job);
    let counts = status.counts.unwrap_or(Counts { total: job.spec.count, ..Counts::default() });
    progress(&mut status, Counts { waiting: 0, running: 0, ..counts });
    status.estimated_completion_time = None;
    status.completion_time = Some(Time(now));
    cancel(&mut status, job, counts.succeeded, now);
    status
}

/// All images are made, but the listing that a job of so many needs can't be written.
pub(crate) fn unlisted(job: &ImageJob, state: &JobState, why: &str, now: Timestamp) -> ImageJobStatus {
    let mut status = begun(job);
    progress(&mut status, counts(job, state));
    status.start_time = state.started_ms.and_then(time);
    status.estimated_completion_time = None;
    let message = format!("{} made; their listing can't be written yet: {why}", images(state.succeeded));
    under_way(&mut status, job, JobReason::Running, &message, now);
    status
}

/// What an ended job says of a spec that changed since; `None`: it did not.
pub(crate) fn observed(job: &ImageJob) -> Option<patch::Observed> {
    let generation = job.metadata.generation;
    let status = job.status.as_ref().filter(|status| status.observed_generation != generation)?;
    let mut conditions = status.conditions.clone();
    for condition in &mut conditions {
        condition.observed_generation = generation;
    }
    Some(patch::Observed { generation, conditions })
}

/// Lists the images made and adds up their cost.
pub(crate) fn list(status: &mut ImageJobStatus, results: &Results<'_>) {
    let Results { outcomes, output: _, fleets, promised: _ } = results;
    status.images = made(results).take(MAX_IMAGES).collect();
    status.failures = outcomes.iter().filter_map(failure).take(MAX_FAILURES).collect();
    status.cost = Some(cost(outcomes, fleets));
}

/// The listing of every image, in the status's own words.
pub(crate) fn manifest(job: &ImageJob, results: &Results<'_>) -> Manifest<Image> {
    Manifest {
        namespace: namespace(job).to_owned(),
        name: job.name_any(),
        uid: uid(job).0,
        images: made(results).collect(),
    }
}

fn made(results: &Results<'_>) -> impl Iterator<Item = Image> {
    results.outcomes.iter().filter_map(|outcome| image(outcome, results.output))
}

fn image(outcome: &Outcome, output: &Output) -> Option<Image> {
    let result = outcome.result.as_ref().ok()?;
    let (StoredImage { key, etag, bytes: _, width, height, seed }, extra) = result.images.split_first()?;
    Some(Image {
        index: outcome.index,
        url: output.url(key),
        key: key.clone(),
        etag: Some(etag.clone()),
        width: *width,
        height: *height,
        seed: *seed,
        gpu_seconds: seconds(result.gpu_ms),
        capacity: capacity::from_label(&result.capacity),
        attempts: outcome.attempts,
        extra: extra
            .iter()
            .take(MAX_EXTRA)
            .map(|image| ExtraImage {
                url: output.url(&image.key),
                key: image.key.clone(),
                width: image.width,
                height: image.height,
            })
            .collect(),
    })
}

fn failure(outcome: &Outcome) -> Option<ImageFailure> {
    let error = outcome.result.as_ref().err()?;
    Some(ImageFailure {
        index: outcome.index,
        reason: error.reason.clone(),
        message: cut(&error.message, MAX_FAILURE_MESSAGE),
        attempts: outcome.attempts,
    })
}

/// GPU time at the pool's price for where it was spent, and at its on-demand price.
pub(crate) fn cost(outcomes: &[Outcome], fleets: &Fleets) -> Cost {
    let price = |capacity| fleets.get(capacity).map(|fleet| fleet.price_per_hour);
    let on_demand =
        price(crds::Capacity::OnDemand).or_else(|| price(crds::Capacity::Spot)).unwrap_or_default();
    let mut gpu_ms = 0;
    let mut amount = Money::default();
    let mut on_demand_amount = Money::default();
    for result in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()) {
        let here = price(capacity::from_label(&result.capacity)).unwrap_or(on_demand);
        gpu_ms += result.gpu_ms;
        amount = amount.plus(here.per_hour_for(result.gpu_ms));
        on_demand_amount = on_demand_amount.plus(on_demand.per_hour_for(result.gpu_ms));
    }
    Cost { gpu_seconds: seconds(gpu_ms), amount, on_demand_amount, currency: fleets.currency.clone() }
}

/// A job whose tasks the engine all refused says so; else some images failed too often.
fn failure_summary(status: &ImageJobStatus, state: &JobState, total: u32) -> (JobReason, String) {
    let first = status.failures.first();
    let rejected = first.is_some_and(|failure| failure.reason == ENGINE_REJECTED);
    let reason = if rejected { JobReason::Rejected } else { JobReason::ImagesFailed };
    let detail =
        first.map_or_else(String::new, |f| format!("; image {}: {}: {}", f.index, f.reason, f.message));
    (reason, format!("{} failed{detail}", images_of(state.failed, total)))
}

/// Kept when the last image was there within the class's seconds from the job's creation.
fn sla(job: &ImageJob, promised: Option<Duration>, completion: Timestamp) -> Option<Sla> {
    let due_ms = created_ms(job) + u64::try_from(promised?.as_millis()).ok()?;
    let met = u64::try_from(completion.as_millisecond()).is_ok_and(|done_ms| done_ms <= due_ms);
    Some(if met { Sla::Met } else { Sla::Missed })
}

/// The status so far, speaking of the spec as it is now.
fn begun(job: &ImageJob) -> ImageJobStatus {
    let mut status = job.status.clone().unwrap_or_default();
    status.observed_generation = job.metadata.generation;
    status
}

fn counts(job: &ImageJob, state: &JobState) -> Counts {
    Counts {
        total: job.spec.count,
        waiting: state.waiting,
        running: state.running,
        succeeded: state.succeeded,
        failed: state.failed,
    }
}

fn progress(status: &mut ImageJobStatus, counts: Counts) {
    status.progress = Some(format!("{}/{}", counts.succeeded, counts.total));
    status.counts = Some(counts);
}

fn under_way(status: &mut ImageJobStatus, job: &ImageJob, reason: JobReason, message: &str, now: Timestamp) {
    set(status, job, ConditionType::Ready, false, reason, message, now);
    set(status, job, ConditionType::Reconciling, true, reason, message, now);
}

fn completed(status: &mut ImageJobStatus, job: &ImageJob, message: &str, now: Timestamp) {
    let reason = JobReason::Completed;
    set(status, job, ConditionType::Ready, true, reason, message, now);
    set(status, job, ConditionType::Reconciling, false, reason, message, now);
    set(status, job, ConditionType::Complete, true, reason, message, now);
}

/// A job that was stopped promises nothing.
fn cancel(status: &mut ImageJobStatus, job: &ImageJob, made: u32, now: Timestamp) {
    status.sla = None;
    let message = match made {
        0 => "cancelled before any image was made".to_owned(),
        made => format!("cancelled; {} made before", images_of(made, job.spec.count)),
    };
    failed(status, job, JobReason::Cancelled, &message, now);
}

fn failed(status: &mut ImageJobStatus, job: &ImageJob, reason: JobReason, message: &str, now: Timestamp) {
    set(status, job, ConditionType::Ready, false, reason, message, now);
    set(status, job, ConditionType::Reconciling, false, reason, message, now);
    set(status, job, ConditionType::Failed, true, reason, message, now);
    set(status, job, ConditionType::Stalled, true, reason, message, now);
}

fn set(
    status: &mut ImageJobStatus,
    job: &ImageJob,
    kind: ConditionType,
    is: bool,
    reason: JobReason,
    message: &str,
    now: Timestamp,
) {
    let update = ConditionUpdate {
        kind,
        status: is,
        reason: reason.as_str(),
        message: message.to_owned(),
        observed_generation: job.metadata.generation,
    };
    set_condition(&mut status.conditions, update, &Time(now));
}

fn shown_pool(job: &ImageJob, pool: &PoolKey) -> String {
    if pool.namespace == namespace(job) { pool.name.clone() } else { pool.to_string() }
}

/// The API server keeps whole seconds; so do we, or every status would differ from the one read back.
fn time(ms: u64) -> Option<Time> {
    Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok().map(Time)
}

#[allow(clippy::cast_precision_loss)] // exact for 285,000 years
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests;
