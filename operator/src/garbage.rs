//! Deletions. A job's deletion takes it off its queue at once; one that happened while nobody watched is found
//! when a list shows what is left.

use std::sync::Arc;

use crds::ImageJob;
use kube::ResourceExt as _;
use tokio::sync::mpsc;

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

/// Cleans up until the watch ends.
pub(crate) async fn collect(mut gone: mpsc::UnboundedReceiver<Gone>, context: Arc<Context>) {
    while let Some(gone) = gone.recv().await {
        match gone {
            Gone::Job(job) => forget(&job, &context).await,
            Gone::Listed => sweep(&context).await,
        }
    }
}

async fn forget(job: &ImageJob, context: &Context) {
    context.writes.forget(job);
    let Some(key) = imagejob::pool_key(job, context) else { return };
    // What fails here is found by the next sweep.
    if let Err(error) = imagejob::take_off_queue(job, &key, context).await {
        tracing::warn!(job = %job.name_any(), %error, "deleted job not taken off the queue yet");
    }
}

/// Forgets what the queues hold of jobs that are not there.
pub(crate) async fn sweep(context: &Context) {
    for pool in context.seen.pools.state() {
        let key = PoolKey::of(&pool);
        if let Err(error) = sweep_pool(&key, context).await {
            tracing::warn!(pool = %key, %error, "queue not swept");
        }
    }
}

async fn sweep_pool(key: &PoolKey, context: &Context) -> queue::Result<()> {
    let queue = context.queue(key);
    let mut cursor = 0;
    loop {
        let page = queue.jobs(cursor).await?;
        for uid in page.jobs.iter().filter(|uid| !context.uids.contains(uid)) {
            tracing::info!(pool = %key, job = %uid, "taking a deleted job off the queue");
            queue.forget(uid).await?;
        }
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(()),
        }
    }
}
