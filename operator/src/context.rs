//! What every reconcile needs: clients, what the watches saw, and who to wake.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crds::{ImageJob, WorkerPool};
use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Client,
    runtime::reflector::{ObjectRef, Store},
};
use queue::{Queue, Redis};

use crate::{
    config::Config,
    events::Events,
    imagejob::{self, writes::Writes},
    lock,
    metrics::Metrics,
    node::karpenter::Reports,
    uids::Uids,
    watch::Listings,
    workerpool::memory::Pools,
};

/// Shared by all reconciles.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) redis: Redis,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,
    pub(crate) seen: Watched,
    pub(crate) wake: Wake,
    /// Our own status writes that the watch has not brought back yet.
    pub(crate) writes: Arc<Writes>,
    /// What we know of each pool besides its object.
    pub(crate) pools: Pools,
    pub(crate) uids: Arc<Uids>,
    queues: Mutex<HashMap<PoolKey, Queue>>,
}

/// What the watches saw.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) jobs: Store<ImageJob>,
    pub(crate) pools: Store<WorkerPool>,
    /// Worker Pods only.
    pub(crate) pods: Store<Pod>,
    pub(crate) nodes: Store<Node>,
    /// What Karpenter says of nodes; not part of `listings`, as it may not be there.
    pub(crate) karpenter: Reports,
    /// Whether that is all there is yet.
    pub(crate) listings: Listings,
}

/// What follows the watch of jobs, event by event.
#[derive(Clone, Default)]
pub(crate) struct Followers {
    pub(crate) uids: Arc<Uids>,
    pub(crate) writes: Arc<Writes>,
}

/// Asks for a reconcile now.
#[derive(Clone)]
pub(crate) struct Wake {
    jobs: mpsc::UnboundedSender<ObjectRef<ImageJob>>,
    pools: mpsc::UnboundedSender<ObjectRef<WorkerPool>>,
}

/// The receiving ends of [`Wake`], for the controllers.
pub(crate) struct Woken {
    pub(crate) jobs: mpsc::UnboundedReceiver<ObjectRef<ImageJob>>,
    pub(crate) pools: mpsc::UnboundedReceiver<ObjectRef<WorkerPool>>,
}

/// Which pool: a key that can be shown, sent and hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Wake {
    pub(crate) fn new() -> (Self, Woken) {
        let (jobs, woken_jobs) = mpsc::unbounded();
        let (pools, woken_pools) = mpsc::unbounded();
        (Self { jobs, pools }, Woken { jobs: woken_jobs, pools: woken_pools })
    }

    /// A closed channel means that the process is ending; then nobody need be woken.
    pub(crate) fn job(&self, job: ObjectRef<ImageJob>) {
        let _ = self.jobs.unbounded_send(job);
    }

    pub(crate) fn pool(&self, pool: &PoolKey) {
        let _ = self.pools.unbounded_send(pool.object_ref());
    }
}

impl PoolKey {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of(pool: &WorkerPool) -> Self {
        let meta = &pool.metadata;
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    pub(crate) fn object_ref(&self) -> ObjectRef<WorkerPool> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Context {
    pub(crate) fn new(
        client: Client,
        config: Config,
        redis: Redis,
        metrics: Arc<Metrics>,
        seen: Watched,
        wake: Wake,
        followers: &Followers,
    ) -> Self {
        Self {
            events: Events::start(client.clone(), &config.identity, Arc::clone(&metrics)),
            client,
            config,
            redis,
            metrics,
            seen,
            wake,
            writes: Arc::clone(&followers.writes),
            pools: Pools::default(),
            uids: Arc::clone(&followers.uids),
            queues: Mutex::default(),
        }
    }

    /// The queue of a pool.
    pub(crate) fn queue(&self, pool: &PoolKey) -> Queue {
        let mut queues = lock(&self.queues);
        match queues.get(pool) {
            Some(queue) => queue.clone(),
            None => {
                let queue = Queue::new(self.redis.clone(), &pool.to_string());
                queues.insert(pool.clone(), queue.clone());
                queue
            }
        }
    }

    pub(crate) fn pool(&self, key: &PoolKey) -> Option<Arc<WorkerPool>> {
        self.seen.pools.get(&key.object_ref())
    }

    /// Wakes every job that has not ended.
    pub(crate) fn wake_unfinished(&self) {
        for job in self.seen.jobs.state_filter(|job| !imagejob::ended(job)) {
            self.wake.job(ObjectRef::from_obj(&*job));
        }
    }

    /// A pool was deleted.
    pub(crate) fn forget_pool(&self, key: &PoolKey) {
        self.pools.forget(key);
        self.metrics.forget_pool(&key.to_string());
        lock(&self.queues).remove(key);
    }
}
