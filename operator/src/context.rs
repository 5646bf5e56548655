//! What every reconcile needs: clients, what the watches saw, and who to wake.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use crds::{ImageJob, WorkerPool};
use futures::{
    StreamExt as _,
    channel::mpsc::{self, UnboundedReceiver, UnboundedSender},
    stream::BoxStream,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Client,
    runtime::reflector::{ObjectRef, Store},
};
use queue::{Queue, Redis};
use tokio::time::{Instant, sleep_until};

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

/// So long after a pool is first woken it is reconciled, and all wakes until then are that one reconcile: a burst of
/// jobs is seen as a burst, and wakes that don't end don't put it off.
const GATHER: Duration = Duration::from_millis(20);

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
    jobs: UnboundedSender<ObjectRef<ImageJob>>,
    pools: UnboundedSender<(Instant, PoolKey)>,
    /// Pools woken that are not reconciled yet.
    gathering: Arc<Mutex<HashSet<PoolKey>>>,
}

/// The receiving ends of [`Wake`], for the controllers.
pub(crate) struct Woken {
    pub(crate) jobs: UnboundedReceiver<ObjectRef<ImageJob>>,
    pub(crate) pools: BoxStream<'static, ObjectRef<WorkerPool>>,
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
        let gathering = Arc::<Mutex<HashSet<PoolKey>>>::default();
        let wake = Self { jobs, pools, gathering: Arc::clone(&gathering) };
        let gathered = woken_pools.then(move |(at, pool): (Instant, PoolKey)| {
            let gathering = Arc::clone(&gathering);
            async move {
                sleep_until(at + GATHER).await;
                lock(&gathering).remove(&pool);
                pool.object_ref()
            }
        });
        (wake, Woken { jobs: woken_jobs, pools: gathered.boxed() })
    }

    /// A closed channel means that the process is ending; then nobody need be woken.
    pub(crate) fn job(&self, job: ObjectRef<ImageJob>) {
        let _ = self.jobs.unbounded_send(job);
    }

    pub(crate) fn pool(&self, pool: &PoolKey) {
        if lock(&self.gathering).insert(pool.clone()) {
            let _ = self.pools.unbounded_send((Instant::now(), pool.clone()));
        }
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

    /// Every job of the pool that has not ended.
    pub(crate) fn unfinished_of(&self, pool: &PoolKey) -> Vec<Arc<ImageJob>> {
        let of_pool = |job: &ImageJob| imagejob::pool_key(job, self).as_ref() == Some(pool);
        self.seen.jobs.state_filter(|job| !imagejob::ended(job) && of_pool(job))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wakes_of_a_pool_are_gathered_and_do_not_put_its_reconcile_off() {
        let (wake, mut woken) = Wake::new();
        let (busy, other) = (PoolKey::new("studio", "busy"), PoolKey::new("studio", "other"));
        let begun = Instant::now();
        let waking = async {
            wake.pool(&other);
            loop {
                wake.pool(&busy);
                tokio::time::sleep(GATHER / 10).await;
            }
        };
        let reconciled = async {
            let first: Vec<_> = woken.pools.by_ref().take(2).collect().await;
            assert_eq!(first, [other.object_ref(), busy.object_ref()]);
            assert!(begun.elapsed() < GATHER * 2, "{:?}", begun.elapsed());
            assert_eq!(woken.pools.next().await, Some(busy.object_ref()), "work that came since");
            assert!(begun.elapsed() < GATHER * 4, "{:?}", begun.elapsed());
        };
        tokio::select! { () = waking => {}, () = reconciled => {} }
    }
}
