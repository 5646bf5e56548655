//! Deletions. A job's deletion takes it off its queue at once; one that happened while nobody watched, and what
//! a crash between two steps left over, is found by a sweep: after every list, and now and then. The sweep also
//! looks at every unfinished job again, however sure we are to be woken for it: one timer instead of one a job.

use std::{sync::Arc, time::Duration};

use crds::ImageJob;
use kube::ResourceExt as _;
use queue::JobUid;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    context::{Context, PoolKey},
    imagejob,
};

/// What the watch saw go.
pub(crate) enum Gone {
    Job(Box<ImageJob>),
    /// A new list is complete: what the queues hold beyond it is left over.
    Listed,
}

/// Between two sweeps; what a crash or an error left over lies so long at most.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// After something could not be taken off its queue.
const RETRY: Duration = Duration::from_secs(5);

/// Cleans up until the watch ends.
pub(crate) async fn collect(mut gone: mpsc::UnboundedReceiver<Gone>, context: Arc<Context>) {
    // Before every pool is seen, none of them can be swept.
    context.seen.listings.complete().await;
    let mut sweep_at = Instant::now();
    loop {
        tokio::select! {
            gone = gone.recv() => match gone {
                Some(Gone::Job(job)) if forget(&job, &context).await => {}
                Some(Gone::Job(_)) => sweep_at = sweep_at.min(Instant::now() + RETRY),
                Some(Gone::Listed) => sweep_at = Instant::now(),
                None => return,
            },
            () = sleep_until(sweep_at) => {
                let wait = if sweep(&context).await { SWEEP_EVERY } else { RETRY };
                sweep_at = Instant::now() + wait;
            }
        }
    }
}

/// Whether nothing of the job is left.
async fn forget(job: &ImageJob, context: &Context) -> bool {
    context.writes.forget(job);
    let Some(key) = imagejob::pool_key(job, context) else { return true };
    let forgotten = imagejob::take_off_queue(job, &key, context).await;
    if let Err(error) = &forgotten {
        tracing::debug!(job = %job.name_any(), %error, "deleted job not taken off the queue yet");
    }
    forgotten.is_ok()
}

/// Forgets what the queues hold of jobs that ended or are not there, and wakes those that did not end; whether all
/// queues could be looked through.
async fn sweep(context: &Context) -> bool {
    context.writes.keep(|job| context.uids.contains(job));
    context.wake_unfinished();
    let mut complete = true;
    for pool in context.seen.pools.state() {
        let key = PoolKey::of(&pool);
        if let Err(error) = sweep_pool(&key, context).await {
            tracing::debug!(pool = %key, %error, "queue not swept yet");
            complete = false;
        }
    }
    complete
}

async fn sweep_pool(key: &PoolKey, context: &Context) -> queue::Result<()> {
    let queue = context.queue(key);
    let mut cursor = 0;
    loop {
        let page = queue.jobs(cursor).await?;
        for uid in page.jobs.iter().filter(|uid| is_over(uid, context)) {
            tracing::info!(pool = %key, job = %uid, "taking a job off the queue that ended or was deleted");
            queue.forget(uid).await?;
        }
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(()),
        }
    }
}

/// Whether a job has ended or is not there.
pub(crate) fn is_over(uid: &JobUid, context: &Context) -> bool {
    let Some(job) = context.uids.get(uid) else { return true };
    context.seen.jobs.get(&job).is_some_and(|job| imagejob::ended(&job))
}
