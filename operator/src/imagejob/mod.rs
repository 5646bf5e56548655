//! ImageJobs: observe → decide → apply → status.
//!
//! A job is reconciled when its spec changes, when the queue reports on it, when its pool appears, and now and
//! then when something it waits for tells nobody; its progress is never polled.

use std::{sync::Arc, time::Duration};

use crds::{
    ImageJob, ImageJobStatus, WorkerPool,
    conditions::{ConditionType, JobReason, find_condition},
};
use jiff::Timestamp;
use kube::{ResourceExt as _, runtime::controller::Action};
use queue::JobState;

use crate::context::{Context, PoolKey};

mod apply;
mod decide;
mod error;
mod notices;
mod observe;
mod rebuild;
mod status;
mod validate;
pub(crate) mod writes;

pub(crate) use apply::take_off_queue;
pub(crate) use decide::ended;
pub(crate) use error::Error;
pub(crate) use observe::pool_key;
pub(crate) use rebuild::rebuild;

use decide::{Next, decide};
use status::End;
use validate::{Outlook, Problem};

/// A job waiting for something that does not tell us when it appears (a ConfigMap, Redis) looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A running job shorter than this never has its start written: accepted and finished are enough.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// However sure we are to be woken, look again after this long.
const RESYNC: Duration = Duration::from_secs(600);

/// Brings one job forward.
pub(crate) async fn reconcile(cached: Arc<ImageJob>, context: Arc<Context>) -> Result<Action, Error> {
    let context = context.as_ref();
    let job = context.writes.latest(cached);
    let key = pool_key(&job, context);
    let state = match ended(&job) {
        true => None,
        false => match observe::progress(&job, key.as_ref(), context).await {
            Ok(state) => state,
            Err(Error::Queue(error)) => return queue_unavailable(&job, &error, context).await,
            Err(error) => return Err(error),
        },
    };
    match decide(&job, state) {
        Next::Ended => apply::expire(&job, context).await,
        Next::Enqueue { recheck } => enqueue(&job, recheck, context).await,
        Next::CancelUnqueued => {
            finish(&job, End::Cancelled, &JobState::default(), key.as_ref(), context).await
        }
        Next::Cancel => {
            let Some(key) = &key else { return Ok(Action::await_change()) };
            let state = apply::cancel(&job, key, context).await?;
            finish(&job, End::Cancelled, &state, Some(key), context).await
        }
        Next::Finish(state) => {
            let end = if state.failed == 0 { End::Completed } else { End::ImagesFailed };
            finish(&job, end, &state, key.as_ref(), context).await
        }
        Next::Suspend { suspend, mut state } => {
            let Some(key) = &key else { return Ok(Action::await_change()) };
            apply::suspend(&job, key, suspend, context).await?;
            state.suspended = suspend;
            follow(&job, &state, key, context).await
        }
        Next::Follow(state) => {
            let Some(key) = &key else { return Ok(Action::await_change()) };
            follow(&job, &state, key, context).await
        }
    }
}

async fn enqueue(job: &ImageJob, recheck: bool, context: &Context) -> Result<Action, Error> {
    let references = observe::references(job, context).await?;
    let accepted = match validate::validate(job, &references) {
        Ok(accepted) => accepted,
        Err(problem) => return tell_problem(job, &problem, context).await,
    };
    let class = accepted.job.class.clone();
    match apply::enqueue(accepted.job, &accepted.pool, recheck, context).await {
        Ok(()) => {}
        Err(Error::Queue(error)) => return queue_unavailable(job, &error, context).await,
        Err(error) => return Err(error),
    }
    let status = status::queued(job, &accepted.pool, &class, accepted.seed, Timestamp::now());
    write(job, status, context).await?;
    Ok(Action::requeue(RESYNC))
}

async fn follow(job: &ImageJob, state: &JobState, key: &PoolKey, context: &Context) -> Result<Action, Error> {
    let now = Timestamp::now();
    let pool = context.pool(key);
    let mut status = status::following(
        job,
        state,
        pool.as_deref(),
        apply::expected(job, key, pool.as_deref(), context),
        now,
    );
    match when_to_write(job, &status, state, context.writes.wait(job), now) {
        WriteWhen::Never => Ok(Action::requeue(RESYNC)),
        WriteWhen::After(wait) => Ok(Action::requeue(wait)),
        WriteWhen::Now => {
            if let Some(pool) = pool.filter(|_| few_images(job)) {
                let outcomes = apply::outcomes(job, key, context).await?;
                let output = apply::output(&pool);
                status::list(&mut status, &results(job, &outcomes, &output, &pool));
            }
            write(job, status, context).await?;
            Ok(Action::requeue(RESYNC))
        }
    }
}

async fn finish(
    job: &ImageJob,
    end: End,
    state: &JobState,
    key: Option<&PoolKey>,
    context: &Context,
) -> Result<Action, Error> {
    let now = Timestamp::now();
    let Some((key, pool)) = key.and_then(|key| Some((key, context.pool(key)?))) else {
        if end == End::Cancelled {
            let problem = Problem::fatal(JobReason::Cancelled, "cancelled before any image was made");
            write(job, status::problem(job, &problem, now), context).await?;
            return apply::expire(job, context).await;
        }
        // Without the pool we know neither prices nor addresses; they come back with it.
        let status = status::following(job, state, None, None, now);
        write(job, status, context).await?;
        return Ok(Action::requeue(LOOK_AGAIN));
    };
    let outcomes = apply::outcomes(job, key, context).await?;
    let output = apply::output(&pool);
    let results = results(job, &outcomes, &output, &pool);
    let mut status = status::ended(job, end, state, &results, now);
    if !few_images(job) {
        status.manifest_url = apply::write_manifest(job, &pool, &results, context).await?;
    }
    let job = write(job, status, context).await?;
    context.writes.forget(&job);
    apply::count_end(&job, key, context);
    // Only now: until the status stands, the queue holds the only copy of the results.
    take_off_queue(&job, key, context).await?;
    apply::expire(&job, context).await
}

fn few_images(job: &ImageJob) -> bool {
    usize::try_from(job.spec.count).is_ok_and(|count| count <= status::MAX_IMAGES)
}

fn results<'a>(
    job: &ImageJob,
    outcomes: &'a [queue::Outcome],
    output: &'a store::Output,
    pool: &'a WorkerPool,
) -> status::Results<'a> {
    let class = job.status.as_ref().and_then(|status| status.class.as_deref());
    let class = pool.spec.classes.iter().find(|c| Some(c.name.as_str()) == class);
    status::Results {
        outcomes,
        output,
        fleets: &pool.spec.capacity,
        promised: class.map(|class| Duration::from_secs(u64::from(class.sla_seconds))),
    }
}

async fn tell_problem(job: &ImageJob, problem: &Problem, context: &Context) -> Result<Action, Error> {
    let written = write(job, status::problem(job, problem, Timestamp::now()), context).await?;
    match problem.outlook {
        Outlook::MayPass => Ok(Action::requeue(LOOK_AGAIN)),
        Outlook::Final => {
            context.writes.forget(&written);
            apply::expire(&written, context).await
        }
    }
}

/// An error is not an empty queue: the job stays as it is, and its user is told once it is not moving.
async fn queue_unavailable(job: &ImageJob, error: &queue::Error, context: &Context) -> Result<Action, Error> {
    let problem = Problem::waiting(JobReason::QueueUnavailable, error.to_string());
    let queued = job.status.as_ref().is_some_and(|status| status.pool.is_some());
    if !queued {
        write(job, status::problem(job, &problem, Timestamp::now()), context).await?;
    }
    tracing::warn!(job = %job.name_any(), %error, "the queue can't be used; trying again");
    Ok(Action::requeue(LOOK_AGAIN))
}

/// Writes the status if it says anything new, and tells of it in an Event.
async fn write(job: &ImageJob, status: ImageJobStatus, context: &Context) -> Result<Arc<ImageJob>, Error> {
    if job.status.as_ref() == Some(&status) {
        return Ok(Arc::new(job.clone()));
    }
    let written = context.writes.replace(&context.client, job, &status).await?;
    context.metrics.status_writes.with_label_values(&["imagejob"]).inc();
    for notice in notices::between(job.status.as_ref(), &status) {
        context.events.tell(&kube::Resource::object_ref(job, &()), &notice);
    }
    Ok(written)
}

#[derive(Debug, PartialEq, Eq)]
enum WriteWhen {
    Now,
    After(Duration),
    Never,
}

/// Turns of a job's life are written at once, its progress now and then, a short run's start not at all.
fn when_to_write(
    job: &ImageJob,
    new: &ImageJobStatus,
    state: &JobState,
    wait: Duration,
    now: Timestamp,
) -> WriteWhen {
    let old = job.status.clone().unwrap_or_default();
    let running_for = state.started_ms.map(|started| {
        let now_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Duration::from_millis(now_ms.saturating_sub(started))
    });
    let reason = |status: &ImageJobStatus| {
        find_condition(&status.conditions, ConditionType::Ready).map(|ready| ready.reason.clone())
    };
    if reason(&old) != reason(new) {
        let starts = reason(new).as_deref() == Some(JobReason::Running.as_str());
        return match running_for {
            Some(time) if starts && time < WORTH_TELLING => WriteWhen::After(WORTH_TELLING - time),
            _ => WriteWhen::Now,
        };
    }
    if old.counts == new.counts && old.interruptions == new.interruptions && old.retries == new.retries {
        return WriteWhen::Never;
    }
    if wait.is_zero() { WriteWhen::Now } else { WriteWhen::After(wait) }
}
