//! Decides what comes next: for each job that changed ([`jobs`]), and for each pool on a beat of its own ([`fleet`]).
//!
//! A planner reads the index and the keepers' snapshots, takes pure steps ([`crate::imagejob`], [`crate::workerpool`],
//! the policy), and hands orders to keepers and executors. It waits for none of them: how an order went comes back as an
//! answer, which is one more thing to look at.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use queue::{Queue, Redis};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::interval,
};

use crate::{
    credentials::QueueAccess,
    executors::{
        Server,
        events::Events,
        pods::{PodOrder, Pods},
        pools::PoolWriter,
    },
    index::{Index, PoolKey, PoolRecord, Why},
    keeper::{self, Answer, Answers, Keeper, Upkeep},
    lock,
    metrics::Metrics,
    workerpool::{ledger::Images, outlook::Outlook, pod::Given},
};

pub(crate) mod fleet;
pub(crate) mod jobs;
mod removal;
mod timers;

use removal::Removals;

/// Between two looks for workers and queues whose pool is gone.
const ORPHANS_EVERY: Duration = Duration::from_secs(60);

/// What a pool's fleet hears of its jobs.
#[derive(Debug)]
pub(crate) enum JobNews {
    /// How long images took.
    Took { work: String, model: String, units: f64, gpu_ms: Vec<u64> },
    /// What a job's images cost, for its tenant's account.
    Booked { tenant: Arc<str>, images: Images },
}

/// What the others hold of a pool at work.
#[derive(Clone)]
pub(crate) struct PoolHandle {
    /// Another one each time a pool is put to work.
    pub(crate) id: u64,
    pub(crate) keeper: Keeper,
    /// When the pool's work should be done, as of its last plan.
    pub(crate) outlook: watch::Receiver<Arc<Outlook>>,
    pub(crate) news: mpsc::UnboundedSender<JobNews>,
}

/// Every pool at work.
#[derive(Clone, Default)]
pub(crate) struct Handles(Arc<Mutex<HashMap<PoolKey, PoolHandle>>>);

impl Handles {
    /// A pool is at work as the test has it.
    #[cfg(test)]
    pub(crate) fn put(&self, key: PoolKey, handle: PoolHandle) {
        lock(&self.0).insert(key, handle);
    }

    #[cfg(test)]
    pub(crate) fn remove(&self, key: &PoolKey) {
        lock(&self.0).remove(key);
    }

    pub(crate) fn get(&self, key: &PoolKey) -> Option<PoolHandle> {
        lock(&self.0).get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<PoolKey> {
        lock(&self.0).keys().cloned().collect()
    }
}

/// What every pool needs to work.
pub(crate) struct Context {
    pub(crate) given: Given,
    pub(crate) queue_access: QueueAccess,
    /// Runs when Redis first refuses to make a user.
    pub(crate) no_users: Arc<Once>,
    /// The owner of the queues in Redis: this cluster.
    pub(crate) owner: Arc<str>,
    pub(crate) server: Server,
    /// The process's own name, as a reader of results.
    pub(crate) consumer: String,
    pub(crate) index: Index,
    pub(crate) redis: Redis,
    /// The leader's term, without which the queue does nothing for an operator.
    pub(crate) term: u64,
    pub(crate) handles: Handles,
    pub(crate) pods: Pods,
    pub(crate) pools: PoolWriter,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) deposed: mpsc::UnboundedSender<String>,
    /// How many times a pool was started.
    pub(crate) started: AtomicU64,
}

/// A pool's tasks.
struct Working {
    uid: Arc<str>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Has each pool that is there at work, and those that are gone not any more. Ends only when a task does that should
/// not.
pub(crate) async fn run_pools(context: Context) -> anyhow::Result<()> {
    context.index.listings.complete().await;
    let mut members = context.index.pools.members();
    let mut ticks = interval(ORPHANS_EVERY);
    let mut tasks = JoinSet::new();
    let mut working: HashMap<PoolKey, Working> = HashMap::new();
    let (found, mut registered) = mpsc::channel(1);
    let mut removals = Removals::default();
    loop {
        members.mark_unchanged();
        let present: HashMap<PoolKey, PoolRecord> =
            context.index.pools.all().into_iter().map(|record| (record.key.clone(), record)).collect();
        working.retain(|key, pool| {
            let stays = present.get(key).is_some_and(|record| record.uid == pool.uid);
            if !stays {
                context.stop(key);
                if !present.contains_key(key) {
                    removals.begin(key, &context, &mut tasks);
                }
            }
            stays
        });
        for (key, record) in present {
            removals.stop(&key);
            working.entry(key).or_insert_with(|| context.start(&record, &mut tasks));
        }
        tokio::select! {
            _ = ticks.tick() => {
                context.remove_orphans();
                tasks.spawn(removal::find(context.redis.clone(), Arc::clone(&context.owner), found.clone()));
            }
            Some(keys) = registered.recv() => {
                // Pools that were deleted while nobody led, and what could not be removed before.
                let is_gone = |key: &PoolKey| context.index.pools.get(key).is_none();
                keys.iter().filter(|key| is_gone(key)).for_each(|key| removals.begin(key, &context, &mut tasks));
            }
            changed = members.changed() => if changed.is_err() {
                return Ok(());
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(()) => {}
                Err(error) if error.is_cancelled() => {}
                Err(error) => anyhow::bail!("a pool's task failed: {error}"),
            },
        }
    }
}

impl Context {
    /// Workers that were left alone when their pool was deleted (`--cascade=orphan`) would run for ever.
    fn remove_orphans(&self) {
        for key in self.index.workers.pools() {
            if self.index.pools.get(&key).is_some() {
                continue;
            }
            let workers = self.index.workers.of_pool(&key, Timestamp::now());
            for worker in workers.into_iter().filter(|worker| worker.owner.is_none() && !worker.deleting) {
                tracing::info!(pool = %key, worker = worker.name, "deleting a worker whose pool is gone");
                let order = PodOrder::Delete { name: worker.name, uid: worker.uid, grace: None };
                self.pods.order((key.clone(), order, mpsc::unbounded_channel().0));
            }
        }
    }

    fn start(&self, record: &PoolRecord, tasks: &mut JoinSet<()>) -> Working {
        let key = record.key.clone();
        let queue = Queue::new(self.redis.clone(), &key.to_string()).with_term(self.term);
        let (workers, worker_answers) = mpsc::unbounded_channel();
        let answers = Answers { jobs: self.answers.clone(), workers, deposed: self.deposed.clone() };
        let user = self.queue_access.user_of(&key, &record.uid);
        let upkeep = Upkeep {
            owner: Arc::clone(&self.owner),
            password: user.as_ref().map(|user| Arc::clone(&user.password)),
            refused: Arc::clone(&self.no_users),
        };
        let (keeper, keeping) =
            keeper::open(key.clone(), queue.clone(), upkeep, answers, Arc::clone(&self.metrics));
        let consumer = self.consumer.clone();
        let results = keeper::results::read(key.clone(), queue, consumer, self.answers.clone());
        let (news, job_news) = mpsc::unbounded_channel();
        let (outlook_sender, outlook) = watch::channel(Arc::default());
        let fleet = fleet::Fleet::new(
            self,
            record,
            user,
            keeper.clone(),
            fleet::Inbox::new(worker_answers, job_news),
        );
        let id = self.started.fetch_add(1, Ordering::Relaxed);
        let handle = PoolHandle { id, keeper, outlook, news };
        lock(&self.handles.0).insert(key.clone(), handle);
        // What waited for the pool goes on.
        self.index.jobs.mark_pool(&key, Why::Pool);
        let tasks =
            vec![tasks.spawn(keeping.run()), tasks.spawn(results), tasks.spawn(fleet.run(outlook_sender))];
        Working { uid: Arc::clone(&record.uid), tasks }
    }

    fn stop(&self, key: &PoolKey) {
        lock(&self.handles.0).remove(key);
        self.index.pools.forget(key);
        self.metrics.forget_pool(&key.to_string());
        self.index.jobs.mark_pool(key, Why::Pool);
    }
}
