//! ImageJobs: observe → decide → apply → status.
//!
//! A job is reconciled when its spec changes, when the queue reports on it, when its pool appears, now and then
//! when something it waits for tells nobody, and at every sweep ([`crate::garbage`]); its progress is never polled.

use std::{sync::Arc, time::Duration};

use crds::{ImageJob, ImageJobStatus, WorkerPool, conditions::JobReason};
use jiff::Timestamp;
use kube::runtime::{controller::Action, reflector::ObjectRef};
use queue::{Enqueued, JobState};

use crate::{
    context::{Context, PoolKey},
    prices::PriceHistory,
};

mod apply;
pub(crate) mod deadlines;
mod decide;
mod error;
mod listing;
mod notices;
mod observe;
mod pace;
mod promise;
mod rebuild;
mod segments;
mod status;
mod validate;
pub(crate) mod writes;

pub(crate) use apply::take_off_queue;
pub(crate) use decide::ended;
pub(crate) use error::Error;
pub(crate) use observe::pool_key;
pub(crate) use rebuild::rebuild;

use decide::{Next, decide};
use listing::{MAX_IMAGES, Results, list};
use pace::{WriteWhen, when_to_write};
use promise::{Prospect, prospect};
use status::{End, Promise};
use validate::{Outlook, Problem};

/// A job waiting for something that does not tell us when it appears (a ConfigMap, Redis) looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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
        Next::Ended => {
            acknowledge(&job, context).await?;
            apply::expire(&job, context).await
        }
        Next::Enqueue { recheck } => enqueue(&job, recheck, context).await,
        Next::CancelUnqueued => {
            let job = write(&job, status::cancelled(&job, Timestamp::now()), context).await?;
            apply::expire(&job, context).await
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
    let promise = Promise { class: accepted.job.class.clone(), within: accepted.job.sla };
    let enqueued = match apply::enqueue(accepted.job, &accepted.pool, recheck, context).await {
        Ok(enqueued) => enqueued,
        Err(Error::Queue(error)) => return queue_unavailable(job, &error, context).await,
        Err(error) => return Err(error),
    };
    let paused = references.pool.is_some_and(|pool| pool.spec.paused);
    let status = status::queued(job, &accepted.pool, promise, accepted.decided, paused, Timestamp::now());
    write(job, status, context).await?;
    match enqueued {
        Enqueued::New => Ok(Action::await_change()),
        // It may have come far since: nothing more need happen to it that would wake us.
        Enqueued::Known => Ok(Action::requeue(Duration::ZERO)),
    }
}

async fn follow(job: &ImageJob, state: &JobState, key: &PoolKey, context: &Context) -> Result<Action, Error> {
    let now = Timestamp::now();
    let pool = context.pool(key);
    let prospect = prospect(job, state.waiting > 0, context);
    let mut status = status::following(job, state, pool.as_deref(), &prospect, now);
    match when_to_write(job, &status, state, context.writes.wait(job), now) {
        WriteWhen::Never => Ok(Action::await_change()),
        WriteWhen::After(wait) => Ok(Action::requeue(wait)),
        WriteWhen::Now => {
            if let Some(pool) = pool.filter(|_| few_images(job)) {
                let outcomes = apply::outcomes(job, key, context).await?;
                apply::learn(job, &outcomes, key, context);
                let output = apply::output(&pool);
                list(&mut status, &results(&outcomes, &output, &pool));
            }
            write(job, status, context).await?;
            Ok(Action::await_change())
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
    let Some((key, pool)) = key.and_then(|key| Some((key, context.pool(key)?))) else {
        return finish_without_pool(job, end, state, key, context).await;
    };
    let now = Timestamp::now();
    let outcomes = apply::outcomes(job, key, context).await?;
    let output = apply::output(&pool);
    let results = results(&outcomes, &output, &pool);
    let mut status = status::ended(job, end, state, &results, now);
    if !few_images(job) && state.succeeded > 0 {
        match apply::write_manifest(job, &pool, &results, context).await {
            Ok(url) => status.manifest_url = Some(url),
            Err(error) => {
                write(job, status::unlisted(job, state, &error.to_string(), now), context).await?;
                return Err(error);
            }
        }
    }
    let written = write(job, status, context).await?;
    apply::count_end(&written, key, context);
    apply::learn(job, &outcomes, key, context);
    // Only now: until the status stands, the queue holds the only copy of the results.
    take_off_queue(&written, key, context).await?;
    apply::expire(&written, context).await
}

/// Without its pool we know neither prices nor addresses. A cancelled job ends with what its status lists
/// already, any other waits until the pool is back.
async fn finish_without_pool(
    job: &ImageJob,
    end: End,
    state: &JobState,
    key: Option<&PoolKey>,
    context: &Context,
) -> Result<Action, Error> {
    let now = Timestamp::now();
    if end != End::Cancelled {
        write(job, status::following(job, state, None, &Prospect::default(), now), context).await?;
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    let job = write(job, status::cancelled(job, now), context).await?;
    if let Some(key) = key {
        take_off_queue(&job, key, context).await?;
    }
    apply::expire(&job, context).await
}

fn few_images(job: &ImageJob) -> bool {
    usize::try_from(job.spec.count).is_ok_and(|count| count <= MAX_IMAGES)
}

fn results<'a>(
    outcomes: &'a [queue::Outcome],
    output: &'a store::Output,
    pool: &'a WorkerPool,
) -> Results<'a> {
    let currency = &pool.spec.capacity.currency;
    Results { outcomes, output, prices: PriceHistory::of(pool), currency }
}

async fn tell_problem(job: &ImageJob, problem: &Problem, context: &Context) -> Result<Action, Error> {
    let written = write(job, status::problem(job, problem, Timestamp::now()), context).await?;
    match problem.outlook {
        Outlook::MayPass => Ok(Action::requeue(LOOK_AGAIN)),
        Outlook::Final => apply::expire(&written, context).await,
    }
}

/// An error is not an empty queue: the job stays as it is, and its user is told once it is not moving.
async fn queue_unavailable(job: &ImageJob, error: &queue::Error, context: &Context) -> Result<Action, Error> {
    let problem = Problem::waiting(JobReason::QueueUnavailable, error.to_string());
    let queued = job.status.as_ref().is_some_and(|status| status.pool.is_some());
    let away = matches!(error, queue::Error::Redis(_));
    let now = Timestamp::now();
    if !queued || !away {
        write(job, status::problem(job, &problem, now), context).await?;
    } else if let Some(overdue) = status::overdue(job, now) {
        write(job, overdue, context).await?;
    }
    // That Redis is away the pool's reconcile says, once for all its jobs.
    if !away {
        tracing::warn!(job = %ObjectRef::from_obj(job), %error, "the queue can't take or show this job; trying again");
    }
    Ok(Action::requeue(LOOK_AGAIN))
}

/// An ended job answers to a change of its spec (its time to live) too: until then tools that wait for
/// `observedGeneration` would take it for unfinished.
async fn acknowledge(job: &ImageJob, context: &Context) -> Result<(), Error> {
    let Some(observed) = status::observed(job) else { return Ok(()) };
    context.writes.acknowledge(context, job, &observed).await?;
    context.metrics.status_writes.with_label_values(&["imagejob"]).inc();
    Ok(())
}

/// Writes the status if it says anything new, and tells of it in an Event.
async fn write(job: &ImageJob, status: ImageJobStatus, context: &Context) -> Result<Arc<ImageJob>, Error> {
    if job.status.as_ref() == Some(&status) {
        return Ok(Arc::new(job.clone()));
    }
    let written = context.writes.replace(context, job, &status).await?;
    apply::book(job, &status, context);
    context.metrics.status_writes.with_label_values(&["imagejob"]).inc();
    for notice in notices::between(job.status.as_ref(), &status) {
        context.events.tell(&kube::Resource::object_ref(job, &()), &notice);
    }
    Ok(written)
}
