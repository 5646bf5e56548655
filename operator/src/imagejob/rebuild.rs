//! After Redis was restarted, failed over or emptied, it may have lost what it acknowledged: every unfinished
//! job of the pool is enqueued again. What is still there stays as it is; workers then look whether an image
//! exists before they make it.

use std::sync::Arc;

use crds::ImageJob;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Error, apply, ended, observe, validate};
use crate::context::{Context, PoolKey};

/// Jobs enqueued at once.
const CONCURRENCY: usize = 16;

/// Enqueues every unfinished job that the pool had accepted; how many there were.
pub(crate) async fn rebuild(key: &PoolKey, context: &Context) -> Result<usize, Error> {
    let accepted_here = |job: &ImageJob| {
        let accepted = job.status.as_ref().is_some_and(|status| status.pool.is_some());
        accepted && !ended(job) && !job.spec.cancel && observe::pool_key(job, context).as_ref() == Some(key)
    };
    let jobs = context.seen.jobs.state_filter(accepted_here);
    let again = |job: Arc<ImageJob>| async move {
        let references = observe::references(&job, context).await?;
        // A job that lost what it refers to since keeps what the queue still has of it.
        if let Ok(accepted) = validate::validate(&job, &references) {
            apply::enqueue(accepted.job, key, true, context).await?;
        }
        Ok::<(), Error>(())
    };
    let count = jobs.len();
    stream::iter(jobs).map(again).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
    Ok(count)
}
