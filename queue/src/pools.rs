//! Which pools have a queue in a Redis: those whose pool is gone are found by it.

use crate::{Redis, Result};

/// A set of `namespace/name`. No pool's user may see it.
const KEY: &str = "ij2:pools";

/// Notes that a pool has a queue.
///
/// # Errors
/// When Redis can't be reached, or has no memory left.
pub async fn register(redis: &Redis, pool: &str) -> Result<()> {
    Ok(redis.query(redis::cmd("SADD").arg(KEY).arg(pool)).await?)
}

/// The pools that have one, and those whose queue is not removed yet.
///
/// # Errors
/// When Redis can't be reached.
pub async fn registered(redis: &Redis) -> Result<Vec<String>> {
    Ok(redis.query(redis::cmd("SMEMBERS").arg(KEY)).await?)
}

/// A pool has none any more.
///
/// # Errors
/// When Redis can't be reached.
pub async fn unregister(redis: &Redis, pool: &str) -> Result<()> {
    Ok(redis.query(redis::cmd("SREM").arg(KEY).arg(pool)).await?)
}
