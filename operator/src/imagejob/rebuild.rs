//! After Redis was restarted, failed over or emptied, it may have lost what it acknowledged: every unfinished
//! job of the pool is enqueued again. What is still there stays as it is; workers then look whether an image
//! exists before they make it.

use crds::ImageJob;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};

use super::{Error, apply, ended, observe, validate};
use crate::context::{Context, PoolKey};

/// Jobs enqueued at once.
const CONCURRENCY: usize = 16;

/// Enqueues every unfinished job that the pool had accepted; how many there were. With `recheck`, or if a job is known
/// to have begun, workers look for each image before they make it.
///
/// # Errors
/// When the queue can't be used. What else may be wrong with a job is for its own reconcile, which follows.
pub(crate) async fn rebuild(key: &PoolKey, recheck: bool, context: &Context) -> queue::Result<usize> {
    let jobs = context.unfinished_of(key);
    let refs: Vec<_> = jobs.iter().map(|job| ObjectRef::from_obj(&**job)).collect();
    let again = |job| async move { enqueue_again(&context.writes.latest(job), key, recheck, context).await };
    let count = stream::iter(jobs)
        .map(again)
        .buffer_unordered(CONCURRENCY)
        .try_fold(0, async |sum, enqueued| Ok(sum + usize::from(enqueued)))
        .await?;
    // Those that were being queued just then, and those whose events were lost.
    for job in refs {
        context.wake.job(job);
    }
    Ok(count)
}

async fn enqueue_again(
    job: &ImageJob,
    key: &PoolKey,
    recheck: bool,
    context: &Context,
) -> queue::Result<bool> {
    let accepted = job.status.as_ref().is_some_and(|status| status.pool.is_some());
    if !accepted || ended(job) || job.spec.cancel {
        return Ok(false);
    }
    let references = match observe::references(job, context).await {
        Ok(references) => references,
        Err(error) => {
            tracing::warn!(job = %job.name_any(), %error, "job not enqueued again yet");
            return Ok(false);
        }
    };
    // A job that lost what it refers to since keeps what the queue still has of it.
    let Ok(accepted) = validate::validate(job, &references) else { return Ok(false) };
    let begun = job.status.as_ref().is_some_and(|status| status.start_time.is_some());
    match apply::enqueue(accepted.job, key, recheck || begun, context).await {
        Err(Error::Queue(error)) => Err(error),
        Ok(_) | Err(_) => Ok(true),
    }
}
