//! Reads a pool's results stream and wakes the jobs concerned.
//!
//! An event is acknowledged once its job was woken, not once its status was written: it never carries the only
//! copy of anything, and an operator that starts looks at every unfinished job anyway.

use std::{sync::Arc, time::Duration};

use queue::Results;
use tokio::task::AbortHandle;

use crate::{
    context::{Context, PoolKey},
    garbage,
};

/// Longest wait for an event in one call.
const BLOCK: Duration = Duration::from_secs(5);
/// Events read in one call.
const BATCH: u32 = 500;
/// After an error of Redis.
const BACKOFF: Duration = Duration::from_secs(1);

/// Starts reading a pool's results; ends when aborted.
pub(crate) fn consume(key: PoolKey, context: Arc<Context>) -> AbortHandle {
    tokio::spawn(async move {
        loop {
            if let Err(error) = read(&key, &context).await {
                // Once a second while Redis is away; the pool's reconcile says that it is.
                tracing::debug!(pool = %key, %error, "results can't be read, trying again");
                tokio::time::sleep(BACKOFF).await;
            }
        }
    })
    .abort_handle()
}

async fn read(key: &PoolKey, context: &Context) -> queue::Result<()> {
    let queue = context.queue(key);
    let mut results = Results::open(&queue, &context.config.identity).await?;
    loop {
        let events = results.next(BATCH, BLOCK).await?;
        let (over, open): (Vec<_>, Vec<_>) =
            events.iter().map(|event| &event.job).partition(|job| garbage::is_over(job, context));
        for job in open.into_iter().filter_map(|job| context.uids.get(job)) {
            context.wake.job(job);
        }
        if !over.is_empty() {
            // A leader that was deposed while it slept may have queued a job once more that had ended.
            let over: Vec<_> = over.into_iter().cloned().collect();
            queue.forget_many(&over).await?;
        }
        if !events.is_empty() {
            context.wake.pool(key);
            results.ack(events.iter().map(|event| event.id.as_str())).await?;
        }
    }
}
