//! From what is known of a job to the status its user reads. Pure.
//!
//! While a job lives, its status is made from [`Told`], which is all that is kept of it; when it ends, the images are
//! listed once.

use crds::{
    Counts, ImageJobStatus, JobPool, Time,
    conditions::{ConditionType, ConditionUpdate, JobReason, set_condition},
};
use jiff::Timestamp;
use queue::{JobState, Reason};

use super::{
    listing::{Tally, price},
    promise::{self, Prospect, Verdict},
    validate::{Course, Problem},
};
use crate::{
    index::{JobRecord, Sla, Terms, Told},
    words::{images, images_of},
};

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    ImagesFailed,
    Cancelled,
}

/// How a job's pool is, as far as its jobs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PoolSeen {
    Open,
    Suspended,
    Gone,
    /// It has the job's class no longer.
    WithoutClass(String),
}

/// Accepted, and on the queue.
pub(crate) fn queued(record: &JobRecord, terms: Terms, pool: &PoolSeen, now: Timestamp) -> Told {
    let mut told = begun(record, now);
    let total = record.spec.count;
    let key = terms.pool.clone();
    told.terms = Some(terms.into());
    // What was said of it before it was queued again still holds.
    told.sla.get_or_insert(Sla::Pending);
    told.counts.get_or_insert(Counts { total, waiting: total, ..Counts::default() });
    suspension(&mut told, record.spec.suspend, now);
    let (reason, message) = if record.spec.suspend {
        (JobReason::Suspended, "spec.suspend is true; no image is started".to_owned())
    } else {
        waiting(pool, || format!("{} waiting for a worker of {key}", images(total)))
    };
    told.reason = Some(reason);
    told.message = message.into();
    told
}

/// On the queue, some tasks may be running or done.
pub(crate) fn following(
    record: &JobRecord,
    state: &JobState,
    pool: &PoolSeen,
    prospect: &Prospect,
    now: Timestamp,
) -> Told {
    let mut told = begun(record, now);
    told.estimated = prospect.done();
    told.counts = Some(counts(record, state));
    told.started = state.started_ms.and_then(time).map(|time| time.0);
    told.interruptions = Some(interruptions(state));
    told.retries = Some(state.retries);
    suspension(&mut told, state.suspended, now);
    let done = state.succeeded + state.failed;
    let total = record.spec.count;
    let (reason, message) = if record.spec.cancel {
        (
            JobReason::Running,
            format!("cancelled; the manifest of {} is being stored", images(state.succeeded)),
        )
    } else if state.suspended {
        (JobReason::Suspended, format!("spec.suspend is true; {} done", images_of(done, total)))
    } else if state.running > 0 {
        (JobReason::Running, format!("{} being made, {done} of {total} done", images(state.running)))
    } else {
        let waiting_images = || images(state.waiting);
        waiting(pool, || format!("{} waiting for a worker, {done} of {total} done", waiting_images()))
    };
    told.reason = Some(reason);
    told.message = message.into();
    let verdict = promise::verdict(&told, prospect, now);
    judge(&mut told, verdict, now);
    told
}

/// Its pool is gone, so the queue is not asked.
pub(crate) fn without_pool(record: &JobRecord, now: Timestamp) -> Told {
    let mut told = begun(record, now);
    let (reason, message) = waiting(&PoolSeen::Gone, String::new);
    told.reason = Some(reason);
    told.message = message.into();
    told.estimated = None;
    let verdict = promise::verdict(&told, &Prospect::default(), now);
    judge(&mut told, verdict, now);
    told
}

/// Something is missing that may yet appear.
pub(crate) fn waits(record: &JobRecord, problem: &Problem, now: Timestamp) -> Told {
    let mut told = begun(record, now);
    let total = record.spec.count;
    told.counts.get_or_insert(Counts { total, waiting: total, ..Counts::default() });
    told.estimated = None;
    told.reason = Some(problem.reason);
    told.message = problem.message.as_str().into();
    told
}

/// Its time is up, and more can't be said without the queue; `None`: that is not new.
pub(crate) fn overdue(record: &JobRecord, now: Timestamp) -> Option<Told> {
    let verdict = promise::verdict(&record.told, &Prospect::default(), now)?;
    let mut told = begun(record, now);
    (verdict.sla == Sla::Missed).then(|| {
        judge(&mut told, Some(verdict), now);
        told
    })
}

/// The whole status of a job that lives.
pub(crate) fn shown(told: &Told) -> ImageJobStatus {
    let mut status = ImageJobStatus {
        observed_generation: told.generation,
        estimated_completion_time: told.estimated.map(whole),
        start_time: told.started.map(whole),
        interruptions: told.interruptions,
        retries: told.retries,
        suspended_time: told.suspended_since.map(whole),
        suspended_seconds: (told.suspended_seconds > 0).then_some(told.suspended_seconds),
        due_time: told.due().map(whole),
        ..ImageJobStatus::default()
    };
    if let Some(counts) = told.counts {
        progress(&mut status, counts);
    }
    if let Some(terms) = &told.terms {
        let Terms {
            pool,
            class,
            tenant,
            model: _,
            work: _,
            units: _,
            accepted,
            sla_seconds,
            weight,
            seed,
            segments,
            digest,
            output,
            pool_uid,
        } = &**terms;
        status.pool = Some(JobPool {
            namespace: pool.namespace.to_string(),
            name: pool.name.to_string(),
            uid: pool_uid.as_deref().map(str::to_owned),
        });
        status.class = Some(class.to_string());
        status.tenant = Some(tenant.to_string());
        status.accepted_time = Some(whole(*accepted));
        status.sla_seconds = Some(*sla_seconds);
        status.weight = Some(*weight);
        (status.seed, status.segments) = (*seed, *segments);
        status.workflow_digest = digest.as_deref().map(str::to_owned);
        status.output = output.as_deref().cloned();
    }
    let since = told.since.unwrap_or(Timestamp::UNIX_EPOCH);
    match (&told.terms, told.reason) {
        (Some(terms), _) => {
            let message = "the job is queued on the terms in this status";
            set(&mut status, ConditionType::Accepted, true, JobReason::Accepted, message, terms.accepted);
        }
        (None, Some(reason)) => {
            set(&mut status, ConditionType::Accepted, false, reason, &told.message, since);
        }
        (None, None) => {}
    }
    if let Some(reason) = told.reason {
        set(&mut status, ConditionType::Ready, false, reason, &told.message, since);
        set(&mut status, ConditionType::Reconciling, true, reason, &told.message, since);
    }
    if let Some(late) = &told.late {
        let mut late = (**late).clone();
        late.observed_generation = told.generation;
        status.conditions.push(late);
    }
    status
}

/// All is over.
pub(crate) fn ended(
    record: &JobRecord,
    end: End,
    state: &JobState,
    tally: &Tally,
    now: Timestamp,
) -> ImageJobStatus {
    let mut told = begun(record, now);
    let total = record.spec.count;
    told.counts = Some(Counts { waiting: 0, running: 0, ..counts(record, state) });
    told.started = state.started_ms.and_then(time).map(|time| time.0);
    told.interruptions = Some(interruptions(state));
    told.retries = Some(state.retries);
    told.estimated = None;
    let completion = match end {
        End::Cancelled => now,
        End::Completed | End::ImagesFailed => tally.last_ms().and_then(time).map_or(now, |time| time.0),
    };
    match end {
        End::Completed => {
            let verdict = promise::at_end(&told, completion);
            judge(&mut told, verdict, now);
        }
        End::ImagesFailed => {
            told.sla = told.sla.map(|_| Sla::Missed);
            told.late = None;
        }
        End::Cancelled => (told.sla, told.late) = (None, None),
    }
    let mut status = over(&told, completion);
    tally.show(&mut status);
    status.manifest_url = listing_url(state, tally);
    let left_out = left_out(&status, tally.booked().made);
    match end {
        End::Completed => {
            let price = status.cost.as_ref().map(price).unwrap_or_default();
            completed(&mut status, &format!("{} made{price}{left_out}", images(total)), now);
        }
        End::ImagesFailed => {
            let (reason, message) = failure_summary(tally, state, total);
            failed(&mut status, reason, &format!("{message}{left_out}"), now);
        }
        End::Cancelled => cancel(&mut status, state.succeeded, total, &left_out, now),
    }
    status
}

/// Cancelled, and the queue has nothing to add to what was told.
pub(crate) fn cancelled(record: &JobRecord, now: Timestamp) -> ImageJobStatus {
    let mut told = begun(record, now);
    let counts = told.counts.unwrap_or(Counts { total: record.spec.count, ..Counts::default() });
    told.counts = Some(Counts { waiting: 0, running: 0, ..counts });
    (told.estimated, told.sla, told.late) = (None, None, None);
    let mut status = over(&told, now);
    cancel(&mut status, counts.succeeded, record.spec.count, "", now);
    status
}

/// It can never work.
pub(crate) fn refused(record: &JobRecord, problem: &Problem, now: Timestamp) -> ImageJobStatus {
    debug_assert_eq!(problem.course, Course::Ends);
    let told = waits(record, problem, now);
    let counts = told.counts.unwrap_or_default();
    let told = Told { counts: Some(Counts { waiting: 0, running: 0, ..counts }), ..told };
    let mut status = over(&told, now);
    failed(&mut status, problem.reason, &problem.message, now);
    status
}

/// The status of a job that ended, less how: whether it was accepted is of no more interest.
fn over(told: &Told, completion: Timestamp) -> ImageJobStatus {
    let mut status = shown(told);
    status.conditions.retain(|condition| condition.type_ != ConditionType::Accepted.as_str());
    status.completion_time = Some(whole(completion));
    status
}

fn waiting(pool: &PoolSeen, open: impl FnOnce() -> String) -> (JobReason, String) {
    match pool {
        PoolSeen::Open => (JobReason::Waiting, open()),
        PoolSeen::Suspended => {
            (JobReason::PoolSuspended, "the WorkerPool is suspended; images wait until it goes on".to_owned())
        }
        PoolSeen::Gone => {
            (JobReason::PoolNotFound, "the WorkerPool was deleted; images wait until it is back".to_owned())
        }
        PoolSeen::WithoutClass(message) => (JobReason::ClassNotFound, message.clone()),
    }
}

/// An engine that ended under an image and a machine that went away are one thing to whoever waits for the image.
fn interruptions(state: &JobState) -> u32 {
    state.interruptions.saturating_add(state.crashes)
}

/// The due clock stands still while the job is suspended.
fn suspension(told: &mut Told, suspended: bool, now: Timestamp) {
    match (told.suspended_since, suspended) {
        (None, true) => told.suspended_since = Some(now),
        (Some(since), false) => {
            let seconds = now.duration_since(since).as_secs();
            told.suspended_seconds += u64::try_from(seconds).unwrap_or_default();
            told.suspended_since = None;
        }
        (None, false) | (Some(_), true) => {}
    }
}

/// When the due clock of a suspended job started, were it to go on now.
pub(crate) fn resumed(record: &JobRecord, now: Timestamp) -> Timestamp {
    let mut told = record.told.clone();
    suspension(&mut told, false, now);
    told.arrival().unwrap_or(now)
}

/// A job whose tasks the engine all refused says so, as does one that was stopped; else some images failed too often.
fn failure_summary(tally: &Tally, state: &JobState, total: u32) -> (JobReason, String) {
    let first = tally.failures().first();
    let rejected = first.is_some_and(|failure| failure.reason == Reason::EngineRejected.as_str());
    let reason = match &state.stopped {
        Some(error) if error.reason == Reason::EngineCrashed => JobReason::EngineCrashed,
        _ if rejected => JobReason::Rejected,
        Some(_) => JobReason::TooManyFailedImages,
        None => JobReason::ImagesFailed,
    };
    let detail = match (&state.stopped, first) {
        (Some(error), _) => format!("; the rest was stopped: {}: {}", error.reason, error.message),
        (None, Some(f)) => format!("; image {}: {}: {}", f.index, f.reason, f.message),
        (None, None) => String::new(),
    };
    (reason, format!("{} failed{detail}", images_of(state.failed, total)))
}

/// What was told so far, speaking of the spec as it is now.
fn begun(record: &JobRecord, now: Timestamp) -> Told {
    let mut told = record.told.clone();
    told.generation = record.generation;
    told.since.get_or_insert(now);
    told
}

fn judge(told: &mut Told, verdict: Option<Verdict>, now: Timestamp) {
    let Some(Verdict { sla, late }) = verdict else { return };
    told.sla = Some(sla);
    if let Some((is, reason, message)) = late {
        let mut conditions: Vec<_> = told.late.take().map(|late| *late).into_iter().collect();
        let update = ConditionUpdate {
            kind: ConditionType::Late,
            status: is,
            reason: reason.as_str(),
            message,
            observed_generation: told.generation,
        };
        set_condition(&mut conditions, update, &whole(now));
        told.late = conditions.pop().map(Box::new);
    }
}

fn counts(record: &JobRecord, state: &JobState) -> Counts {
    Counts {
        total: record.spec.count,
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

fn completed(status: &mut ImageJobStatus, message: &str, now: Timestamp) {
    let reason = JobReason::Completed;
    set(status, ConditionType::Ready, true, reason, message, now);
    set(status, ConditionType::Reconciling, false, reason, message, now);
    set(status, ConditionType::Complete, true, reason, message, now);
}

/// What the list leaves out of the images made, where no manifest lists them all.
fn left_out(status: &ImageJobStatus, made: u64) -> String {
    let listed = status.results.len();
    if status.manifest_url.is_some() || listed as u64 >= made {
        return String::new();
    }
    format!(", only the first {listed} are listed")
}

/// What its user stopped is as its user asked: ready, and not stalled.
fn cancel(status: &mut ImageJobStatus, made: u32, total: u32, left_out: &str, now: Timestamp) {
    let message = match made {
        0 => "cancelled before any image was made".to_owned(),
        made => format!("cancelled; {} made before{left_out}", images_of(made, total)),
    };
    let reason = JobReason::Cancelled;
    set(status, ConditionType::Ready, true, reason, &message, now);
    set(status, ConditionType::Reconciling, false, reason, &message, now);
    set(status, ConditionType::Failed, true, reason, &message, now);
}

fn failed(status: &mut ImageJobStatus, reason: JobReason, message: &str, now: Timestamp) {
    set(status, ConditionType::Ready, false, reason, message, now);
    set(status, ConditionType::Reconciling, false, reason, message, now);
    set(status, ConditionType::Failed, true, reason, message, now);
    set(status, ConditionType::Stalled, true, reason, message, now);
}

fn set(
    status: &mut ImageJobStatus,
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
        observed_generation: status.observed_generation,
    };
    set_condition(&mut status.conditions, update, &whole(now));
}

/// Where the listing of all images is, if there is one.
fn listing_url(state: &JobState, tally: &Tally) -> Option<String> {
    let listing = state.listing.as_ref()?.as_ref().ok()?;
    Some(listing.url.clone().unwrap_or_else(|| tally.url(&listing.key)))
}

/// The API server keeps whole seconds.
fn time(ms: u64) -> Option<Time> {
    Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok().map(Time)
}

fn whole(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests;
