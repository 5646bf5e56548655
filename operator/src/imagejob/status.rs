//! From what is known of a job to the status its user reads. Pure.

use std::time::Duration;

use crds::{
    Cost, Counts, ExtraImage, Image, ImageFailure, ImageJob, ImageJobStatus, Money, Sla, Time, WorkerPool,
    conditions::{ConditionType, ConditionUpdate, JobReason, cut, set_condition},
};
use jiff::Timestamp;
use kube::ResourceExt as _;
use queue::{JobState, Outcome, StoredImage, TaskResult};
use store::{Manifest, Output};

use super::{
    promise::{self, Prospect, Verdict},
    validate::{Decided, Outlook, Problem, created_ms, namespace, tenant, uid},
};
use crate::{
    capacity,
    context::PoolKey,
    patch,
    prices::PriceHistory,
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
    /// What a machine cost when each image was made.
    pub(crate) prices: PriceHistory,
    pub(crate) currency: &'a str,
}

/// What a job's class promises.
pub(crate) struct Promise {
    pub(crate) class: String,
    /// From the job's creation.
    pub(crate) within: Duration,
}

/// Accepted, and on the queue.
pub(crate) fn queued(
    job: &ImageJob,
    pool: &PoolKey,
    promise: Promise,
    decided: Decided,
    paused: bool,
    now: Timestamp,
) -> ImageJobStatus {
    let total = job.spec.count;
    let mut status = begun(job);
    status.pool = Some(shown_pool(job, pool));
    let Promise { class, within } = promise;
    status.class = Some(class);
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    status.due_time = time(created_ms(job).saturating_add(within_ms));
    status.tenant = Some(tenant(job));
    let Decided { seed, segments } = decided;
    (status.seed, status.segments) = (seed, segments);
    // What was said of it before it was queued again still holds.
    status.sla.get_or_insert(Sla::Pending);
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
    prospect: &Prospect,
    now: Timestamp,
) -> ImageJobStatus {
    let mut status = begun(job);
    status.estimated_completion_time = prospect.done().map(Time);
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
    let counted = ImageJob { status: Some(status.clone()), ..job.clone() };
    tell(&mut status, job, promise::verdict(&counted, prospect, now), now);
    status
}

/// Its time is up, and more can't be said without the queue; `None`: that is not new.
pub(crate) fn overdue(job: &ImageJob, now: Timestamp) -> Option<ImageJobStatus> {
    let verdict = promise::verdict(job, &Prospect::default(), now)?;
    let mut status = begun(job);
    (verdict.sla == Sla::Missed).then(|| {
        tell(&mut status, job, Some(verdict), now);
        status
    })
}

fn tell(status: &mut ImageJobStatus, job: &ImageJob, verdict: Option<Verdict>, now: Timestamp) {
    let Some(Verdict { sla, late }) = verdict else { return };
    status.sla = Some(sla);
    if let Some((is, reason, message)) = late {
        set(status, job, ConditionType::Late, is, reason, &message, now);
    }
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
            let verdict = promise::at_end(&status, completion);
            tell(&mut status, job, verdict, now);
            let message =
                format!("{} made{}", images(total), status.cost.as_ref().map(price).unwrap_or_default());
            completed(&mut status, job, &message, now);
        }
        End::ImagesFailed => {
            status.sla = Some(Sla::Missed);
            not_late(&mut status);
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
    let outcomes = results.outcomes;
    status.images = made(results).take(MAX_IMAGES).collect();
    status.failures = outcomes.iter().filter_map(failure).take(MAX_FAILURES).collect();
    status.cost = Some(cost(results));
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
    results.outcomes.iter().filter_map(|outcome| image(outcome, results))
}

fn image(outcome: &Outcome, results: &Results<'_>) -> Option<Image> {
    let output = results.output;
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
        amount: amounts(outcome, result, &results.prices).0,
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

/// GPU time at the pool's prices of the time when each image was made, for where it was made and on demand.
fn cost(results: &Results<'_>) -> Cost {
    let (mut gpu_ms, mut amount, mut on_demand_amount) = (0, Money::default(), Money::default());
    for outcome in results.outcomes {
        let Ok(result) = &outcome.result else { continue };
        let (here, on_demand) = amounts(outcome, result, &results.prices);
        gpu_ms += result.gpu_ms;
        amount = amount.plus(here);
        on_demand_amount = on_demand_amount.plus(on_demand);
    }
    Cost {
        gpu_seconds: seconds(gpu_ms),
        amount,
        on_demand_amount,
        saving_percent: amount.percent_below(on_demand_amount),
        currency: results.currency.to_owned(),
    }
}

/// What an image cost where it was made, and what it would have cost on demand.
fn amounts(outcome: &Outcome, result: &TaskResult, prices: &PriceHistory) -> (Money, Money) {
    let rates = prices.at(time(outcome.finished_ms).map_or(Timestamp::UNIX_EPOCH, |time| time.0));
    let here = rates.on(capacity::from_label(&result.capacity));
    (here.per_hour_for(result.gpu_ms), rates.on_demand().per_hour_for(result.gpu_ms))
}

/// To follow what was made: `, 0.0021 USD, 71 % below on-demand`.
fn price(cost: &Cost) -> String {
    let Cost { gpu_seconds: _, amount, on_demand_amount: _, saving_percent, currency } = cost;
    match saving_percent {
        _ if *amount == Money::default() => String::new(),
        0 => format!(", {amount} {currency}"),
        percent => format!(", {amount} {currency}, {percent} % below on-demand"),
    }
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
    not_late(status);
    let message = match made {
        0 => "cancelled before any image was made".to_owned(),
        made => format!("cancelled; {} made before", images_of(made, job.spec.count)),
    };
    failed(status, job, JobReason::Cancelled, &message, now);
}

/// Of a job that ended without all its images nobody asks whether it was in time.
fn not_late(status: &mut ImageJobStatus) {
    status.conditions.retain(|condition| condition.type_ != ConditionType::Late.as_str());
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
