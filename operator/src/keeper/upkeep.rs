//! Keeps a pool registered in Redis and its user made, and finds out how Redis is configured. This is done once a minute:
//! Redis keeps its users in memory only.

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

/// The interval, as long as Redis loses nothing.
const EVERY: Duration = Duration::from_secs(60);

/// Which user a pool's workers are in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The pool's own.
    Own,
    /// The one of all pools.
    Shared,
}

/// What is known of Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RedisSeen {
    /// `None`: not known yet.
    pub(crate) access: Option<Access>,
    /// The policy by which it drops what is queued when it is full.
    pub(crate) evicts: Option<String>,
}

/// What a keeper looks after besides the queue.
#[derive(Clone)]
pub(crate) struct Upkeep {
    /// The owner of the queue.
    pub(crate) owner: Arc<str>,
    /// The password of the pool's user; `None`: it has no user.
    pub(crate) password: Option<Arc<str>>,
    /// Runs when Redis first refuses to make a user; shared by all pools.
    pub(crate) refused: Arc<Once>,
}

impl Keeping {
    /// Does what is due. What fails is tried again a second later; the queue works without it.
    pub(super) async fn look_after_redis(&mut self) {
        if self.looked_after.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        match self.register_and_grant().await {
            Ok(()) => {
                self.looked_after = Some(Instant::now());
                if self.redis.evicts.is_some() {
                    // The jobs that Redis dropped need not wait for the next sweep.
                    self.look_through = true;
                }
            }
            Err(error) => {
                tracing::debug!(pool = %self.key, %error, "the pool is not registered in Redis yet");
            }
        }
    }

    async fn register_and_grant(&mut self) -> queue::Result<()> {
        let (redis, pool) = (self.queue.redis().clone(), self.key.to_string());
        self.redis.access = Some(match &self.upkeep.password {
            None => Access::Shared,
            Some(password) => match grant(&redis, &pool, &[password]).await? {
                Granted::Yes => Access::Own,
                Granted::Refused(why) => {
                    self.upkeep.refused.call_once(|| {
                        tracing::warn!(
                            why,
                            "Redis refuses to make a user for each pool: the workers of all pools use the same credentials"
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
        // This comes last because a full Redis refuses it.
        pools::register(&redis, &pool, &self.upkeep.owner).await
    }
}
