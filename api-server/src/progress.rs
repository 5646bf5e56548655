//! How far images are that are being made: asked of the queue while somebody wants to know, for all jobs of a pool at
//! once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use queue::{JobUid, Queue, Redis, TaskProgress};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::cache::PoolKey;

/// Between two questions. Workers tell every three seconds.
const EVERY: Duration = Duration::from_millis(200);
/// After somebody wanted to know last, a pool is asked about for so long: who polls comes again within seconds.
const KEPT: Duration = Duration::from_secs(15);

/// The images that the workers of a pool have in hand, by job.
pub(crate) type InHand = Arc<HashMap<JobUid, Vec<TaskProgress>>>;

/// A pool that is asked about.
struct Asked {
    told: watch::Sender<InHand>,
    /// When somebody wanted to know last.
    wanted: Instant,
}

/// The pools that somebody asks about.
#[derive(Clone)]
pub(crate) struct Progress {
    redis: Redis,
    pools: Arc<Mutex<HashMap<PoolKey, Asked>>>,
}

impl Progress {
    pub(crate) fn new(redis: Redis) -> Self {
        Self { redis, pools: Arc::default() }
    }

    /// The queue of a pool.
    pub(crate) fn queue(&self, pool: &PoolKey) -> Queue {
        Queue::new(self.redis.clone(), &pool.queue())
    }

    /// What the pool's workers have in hand, now and whenever it changes, as long as the receiver is kept. While Redis is
    /// away it stays as it was.
    pub(crate) fn of_pool(&self, pool: &PoolKey) -> watch::Receiver<InHand> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = pools.get_mut(pool) {
            asked.wanted = Instant::now();
            return asked.told.subscribe();
        }
        let (told, receiver) = watch::channel(InHand::default());
        pools.insert(pool.clone(), Asked { told: told.clone(), wanted: Instant::now() });
        tokio::spawn(self.clone().ask(pool.clone(), told));
        receiver
    }

    async fn ask(self, pool: PoolKey, told: watch::Sender<InHand>) {
        let queue = self.queue(&pool);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_unwanted(&pool) {
                return;
            }
            match queue.progress_of_all().await {
                Ok(now) => {
                    told.send_if_modified(|told| {
                        let changed = **told != now;
                        if changed {
                            *told = Arc::new(now);
                        }
                        changed
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, ?pool, "the queue does not tell how far its images are");
                }
            }
        }
    }

    /// Forgets a pool that nobody asks about.
    fn is_unwanted(&self, pool: &PoolKey) -> bool {
        // Under the lock nobody can begin to ask.
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let unwanted = pools
            .get(pool)
            .is_none_or(|asked| asked.told.receiver_count() == 0 && asked.wanted.elapsed() > KEPT);
        if unwanted {
            pools.remove(pool);
        }
        unwanted
    }
}
