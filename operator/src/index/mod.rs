//! What the API server holds, as far as anybody here reads it: jobs, pools, workers and their machines.
//!
//! The watches ([`watch`]) turn Kubernetes objects into records, and records are what leaves the index. A job's prompt
//! or graph is kept only until the job is queued. The index decides nothing: it says what changed, and whoever decides
//! reads the record.

use std::sync::Arc;

use crds::WorkerPool;
use tokio::sync::Notify;

use crate::node::karpenter::{Followed, Reports};

mod intern;
mod job;
mod jobs;
mod listings;
mod pool;
mod pools;
mod uid;
mod unplaced;
pub(crate) mod watch;
mod wire;
mod worker;
mod workers;

#[cfg(test)]
pub(crate) use job::record;
pub(crate) use job::{EndedJob, JobRecord, Sla, Terms, Told, image_work, picture_work};
pub(crate) use jobs::{Change, Jobs, Standing, Why};
pub(crate) use listings::Listings;
pub(crate) use pool::PoolKey;
pub(crate) use pools::{PoolRecord, Pools};
pub(crate) use uid::Uid;
pub(crate) use unplaced::Unplaced;
pub(crate) use wire::{JobObject, Whole};
#[cfg(test)]
pub(crate) use worker::worker_record;
pub(crate) use worker::{Start, WorkerRecord, ZONE};
pub(crate) use workers::Workers;

/// Everything the watches saw. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Index {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) workers: Arc<Workers>,
    /// Which watches have shown all there is.
    pub(crate) listings: Listings,
}

impl Index {
    /// Nothing is seen yet. What Karpenter reports is followed into the second.
    pub(crate) fn new(listings: Listings) -> (Self, Followed) {
        let (reports, followed) = Reports::new();
        (Self { workers: Arc::new(Workers::new(reports)), listings, ..Self::default() }, followed)
    }

    /// A pool was seen. Its jobs, and those that wait for a pool, may go on by it.
    pub(crate) fn apply_pool(&self, pool: WorkerPool) {
        let key = PoolKey::of(&pool);
        if self.pools.apply(pool) {
            self.jobs.pool_changed(&key);
        }
        self.pools.wake(&key);
    }

    /// A pool is gone.
    pub(crate) fn delete_pool(&self, key: &PoolKey, uid: Option<&str>) {
        if self.pools.delete(key, uid) {
            self.jobs.pool_changed(key);
        }
    }

    /// Woken when something changed about a pool, its workers or its machines.
    pub(crate) fn pool_changed(&self, key: &PoolKey) -> Arc<Notify> {
        self.pools.changed(key)
    }
}
