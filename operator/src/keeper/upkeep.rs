//! What a pool has in Redis besides its queue, and what Redis itself is like. Looked at now and then: Redis keeps its users
//! in memory only.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use queue::{
    access::{Granted, grant},
    pools,
};
use tokio::time::Instant;

use super::Keeping;

/// Between two looks, while Redis has lost nothing.
const EVERY: Duration = Duration::from_secs(60);

/// How a pool's workers get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// By a user of the pool's own.
    Own,
    /// As those of every pool.
    Shared,
}

/// What is known of Redis itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RedisSeen {
    /// `None`: it was not asked yet.
    pub(crate) access: Option<Access>,
    /// The policy by which it drops what is queued when it is full.
    pub(crate) evicts: Option<String>,
}

/// A pool's own user.
#[derive(Clone)]
pub(crate) struct User {
    /// `None`: it has none.
    pub(crate) password: Option<Arc<str>>,
    /// Shared by all pools: that Redis makes no users is told once.
    pub(crate) refusal: Arc<Once>,
}

impl Default for User {
    /// None.
    fn default() -> Self {
        Self { password: None, refusal: Arc::new(Once::new()) }
    }
}

impl Keeping {
    /// What is not done now is done with the next look; the queue works without.
    pub(super) async fn look_after_redis(&mut self) {
        if self.looked_after.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        match self.look_after().await {
            Ok(()) => {
                self.looked_after = Some(Instant::now());
                if self.redis.evicts.is_some() {
                    // What it has dropped is not to wait for the next sweep.
                    self.list().await;
                }
            }
            Err(error) => tracing::debug!(pool = %self.key, %error, "Redis is not as it should be yet"),
        }
    }

    async fn look_after(&mut self) -> queue::Result<()> {
        let (redis, pool) = (self.queue.redis().clone(), self.key.to_string());
        self.redis.access = Some(match &self.user.password {
            None => Access::Shared,
            Some(password) => match grant(&redis, &pool, &[password]).await? {
                Granted::Yes => Access::Own,
                Granted::Refused(why) => {
                    self.user.refusal.call_once(|| {
                        tracing::warn!(
                            why,
                            "Redis makes no users for us: workers of all pools enter as they were given"
                        );
                    });
                    Access::Shared
                }
            },
        });
        let evicts = redis.eviction().await?;
        if evicts != self.redis.evicts
            && let Some(policy) = &evicts
        {
            tracing::error!(
                pool,
                policy,
                "Redis may drop what is queued: set its maxmemory-policy to noeviction"
            );
        }
        self.metrics.evicts.set(i64::from(evicts.is_some()));
        self.redis.evicts = evicts;
        // Last: a Redis that is full takes no name, and the rest should be known all the same.
        pools::register(&redis, &pool).await
    }
}
