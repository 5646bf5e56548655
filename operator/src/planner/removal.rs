//! Removes what a deleted pool leaves in Redis: its queue and its user.
//!
//! Nothing waits for it: a pool and its namespace go at once, whether Redis can be reached or not. What could not be
//! removed is found again by the names of the pools that have a queue.

use std::collections::HashMap;

use queue::{Queue, Redis, access, pools};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::Yard;
use crate::index::PoolKey;

/// What is being removed.
#[derive(Default)]
pub(super) struct Removals(HashMap<PoolKey, AbortHandle>);

impl Removals {
    pub(super) fn begin(&mut self, key: &PoolKey, yard: &Yard, tasks: &mut JoinSet<()>) {
        self.0.retain(|_, removal| !removal.is_finished());
        if self.0.contains_key(key) {
            return;
        }
        let queue = Queue::new(yard.redis.clone(), &key.to_string()).with_term(yard.term);
        self.0.insert(key.clone(), tasks.spawn(run(key.clone(), queue)));
    }

    /// A pool of that name is there again. Its keeper fills the queue anew if any of it was removed.
    pub(super) fn stop(&mut self, key: &PoolKey) {
        if let Some(removal) = self.0.remove(key) {
            removal.abort();
        }
    }
}

/// Asks Redis which pools have a queue.
pub(super) async fn find(redis: Redis, found: mpsc::Sender<Vec<PoolKey>>) {
    match pools::registered(&redis).await {
        Ok(names) => {
            let key =
                |name: String| name.split_once('/').map(|(namespace, name)| PoolKey::new(namespace, name));
            // A closed channel means that the process is ending.
            let _ = found.send(names.into_iter().filter_map(key).collect()).await;
        }
        Err(error) => tracing::debug!(%error, "which pools have a queue is not known yet"),
    }
}

async fn run(key: PoolKey, queue: Queue) {
    match remove(&key, &queue).await {
        Ok(()) => tracing::info!(pool = %key, "removed the queue of a pool that is gone"),
        Err(error) => {
            tracing::warn!(pool = %key, %error, "the queue of a pool that is gone is not removed yet");
        }
    }
}

/// The name goes last: what fails before is found again by it.
async fn remove(key: &PoolKey, queue: &Queue) -> queue::Result<()> {
    let pool = key.to_string();
    queue.delete_all().await?;
    if let Err(error) = access::revoke(queue.redis(), &pool).await {
        tracing::debug!(pool, %error, "its user in Redis stays; it has no keys");
    }
    pools::unregister(queue.redis(), &pool).await
}
