//! Which pools have a queue in a Redis: the queue of a pool that was deleted is found by it.
//!
//! Clusters may share a Redis. Each pool is registered with the owner of its queue, and an owner removes only what is its
//! own.

use std::collections::HashMap;

use crate::{Redis, Result};

/// A hash: the owner's name by `namespace/name`. No pool's user may see it.
const KEY: &str = "ij2:pools";

/// Registers a pool's queue for an owner.
///
/// # Errors
/// When Redis can't be reached, or has no memory left.
pub async fn register(redis: &Redis, pool: &str, owner: &str) -> Result<()> {
    Ok(redis.query(redis::cmd("HSET").arg(KEY).arg(pool).arg(owner)).await?)
}

/// The pools whose queues belong to an owner, those included whose queue is not removed yet.
///
/// # Errors
/// When Redis can't be reached.
pub async fn registered(redis: &Redis, owner: &str) -> Result<Vec<String>> {
    let all: HashMap<String, String> = redis.query(redis::cmd("HGETALL").arg(KEY)).await?;
    Ok(all.into_iter().filter(|(_, of)| of == owner).map(|(pool, _)| pool).collect())
}

/// Forgets a pool whose queue is removed.
///
/// # Errors
/// When Redis can't be reached.
pub async fn unregister(redis: &Redis, pool: &str) -> Result<()> {
    Ok(redis.query(redis::cmd("HDEL").arg(KEY).arg(pool)).await?)
}
