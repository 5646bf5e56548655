//! Removes what a deleted pool leaves in Redis: its queue and its user.
//!
//! Nothing waits for it: a pool and its namespace go at once, whether Redis can be reached or not. What can't be removed
//! now is found again later, by the register of pools in Redis. Nothing is removed because the index does not show a
//! pool: the API server is asked whether it is gone.

use std::{collections::HashMap, sync::Arc};

use crds::WorkerPool;
use kube::Api;
use queue::{Queue, Redis, access, pools};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::Context;
use crate::{
    executors::{Failure, Server},
    index::PoolKey,
};

/// The metrics' label of the requests made here.
const NAME: &str = "removal";

/// The removals that run.
#[derive(Default)]
pub(super) struct Removals(HashMap<PoolKey, AbortHandle>);

impl Removals {
    pub(super) fn begin(&mut self, key: &PoolKey, context: &Context, tasks: &mut JoinSet<()>) {
        self.0.retain(|_, removal| !removal.is_finished());
        if self.0.contains_key(key) {
            return;
        }
        let queue = Queue::new(context.redis.clone(), &key.to_string()).with_term(context.term);
        self.0.insert(key.clone(), tasks.spawn(run(key.clone(), context.server.clone(), queue)));
    }

    /// A pool of that name exists again. Its keeper fills the queue anew if a part of it was removed.
    pub(super) fn stop(&mut self, key: &PoolKey) {
        if let Some(removal) = self.0.remove(key) {
            removal.abort();
        }
    }
}

/// Asks Redis which pools have a queue that belongs to `owner`.
pub(super) async fn find(redis: Redis, owner: Arc<str>, found: mpsc::Sender<Vec<PoolKey>>) {
    match pools::registered(&redis, &owner).await {
        Ok(names) => {
            let key =
                |name: String| name.split_once('/').map(|(namespace, name)| PoolKey::new(namespace, name));
            // A closed channel means that the process is ending.
            let _ = found.send(names.into_iter().filter_map(key).collect()).await;
        }
        Err(error) => tracing::debug!(%error, "the register of pools can't be read"),
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Server(#[from] Failure),
    #[error("{0}")]
    Queue(#[from] queue::Error),
}

async fn run(key: PoolKey, server: Server, queue: Queue) {
    match remove(&key, &server, &queue).await {
        Ok(true) => tracing::info!(pool = %key, "removed the queue of a deleted pool"),
        Ok(false) => tracing::debug!(pool = %key, "the pool exists; its queue stays"),
        Err(error) => tracing::warn!(pool = %key, %error, "the queue of a deleted pool is removed later"),
    }
}

/// Returns whether the pool is gone, and its queue with it. The name goes last: what fails before is found by it.
async fn remove(key: &PoolKey, server: &Server, queue: &Queue) -> Result<bool, Error> {
    let api: Api<WorkerPool> = Api::namespaced(server.client.clone(), &key.namespace);
    if server.call(NAME, api.get_metadata_opt(&key.name)).await?.is_some() {
        return Ok(false);
    }
    let pool = key.to_string();
    queue.delete_all().await?;
    if let Err(error) = access::revoke(queue.redis(), &pool).await {
        tracing::debug!(pool, %error, "the pool's user in Redis stays; it has no keys");
    }
    pools::unregister(queue.redis(), &pool).await?;
    Ok(true)
}
