//! From what is known of a job to the status its user reads. Pure.

use std::time::Duration;

use crds::{
    Counts, ImageJob, ImageJobStatus, Sla, Time, WorkerPool,
    conditions::{ConditionType, ConditionUpdate, JobReason, set_condition},
};
use jiff::Timestamp;
use queue::JobState;

use super::{
    listing::{Results, list, price},
    promise::{self, Prospect, Verdict},
    validate::{Decided, Outlook, Problem, created_ms, namespace, tenant},
};
use crate::{
    context::PoolKey,
    patch,
    words::{images, images_of},
};

/// The reason a worker gives for work that its engine refuses.
const ENGINE_REJECTED: &str = "EngineRejected";

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    ImagesFailed,
    Cancelled,
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
pub(super) fn time(ms: u64) -> Option<Time> {
    Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok().map(Time)
}

#[cfg(test)]
mod tests;
