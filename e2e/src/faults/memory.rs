//! Redis at its memory limit, and Redis that drops what it holds.

use std::time::Duration;

use anyhow::{Result, ensure};
use crds::conditions::{JobReason, PoolReason};
use testkit::wait_for;

use super::{InstantEngine, Stand, Verdict, picture};
use crate::jobs::Studio;

const JOBS: u32 = 6;
const IMAGES: u32 = 5;
const SOON: Duration = Duration::from_secs(60);
/// By then the operator, which looks once a minute, has found what Redis dropped.
const HEALED: Duration = Duration::from_secs(90);
/// Less than Redis itself takes.
const NO_MEMORY: &str = "500kb";
const NO_LIMIT: &str = "0";

/// Redis is at its limit when some jobs are queued and others are not; then it is restarted. What is queued runs; the others
/// say what they wait for, and are queued once there is room.
///
/// # Errors
/// When a job does not end, or does not say what it waits for.
pub async fn full_and_restarted(stand: &Stand, name: &str) -> Result<Verdict> {
    let result = fill_and_restart(stand, name).await;
    limit(stand, NO_LIMIT).await?;
    result
}

async fn fill_and_restart(stand: &Stand, name: &str) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    submit(&studio, "queued").await?;
    for n in 0..JOBS {
        queued(&studio, &format!("queued-{n}")).await?;
    }
    limit(stand, NO_MEMORY).await?;
    submit(&studio, "refused").await?;
    for n in 0..JOBS {
        studio.reason(&format!("refused-{n}"), JobReason::QueueUnavailable, SOON).await?;
    }
    stand.world.kill_redis().await?;
    stand.world.start_redis().await?;
    let engine = InstantEngine::start(&studio).await?;
    for n in 0..JOBS {
        studio.complete(&format!("queued-{n}"), SOON).await?;
    }
    limit(stand, NO_LIMIT).await?;
    for n in 0..JOBS {
        studio.complete(&format!("refused-{n}"), SOON).await?;
    }
    let verdict = stand.verdict(&studio, engine.made()).await?;
    stand.close(&studio).await?;
    operator.process().terminate()?;
    Ok(verdict)
}

/// Redis may evict, and does: the order of the tenants' turns and the line of the jobs. All jobs are made in the end, and
/// the pool's owner is told.
///
/// # Errors
/// When a job stays, or nobody is told.
pub async fn evicted(stand: &Stand, name: &str) -> Result<Verdict> {
    let may_evict = async |policy| {
        stand.world.redis_command(&["CONFIG", "SET", "maxmemory-policy", policy]).await?;
        limit(stand, if policy == "noeviction" { NO_LIMIT } else { "1gb" }).await
    };
    may_evict("allkeys-lru").await?;
    let result = evict(stand, name).await;
    may_evict("noeviction").await?;
    result
}

async fn evict(stand: &Stand, name: &str) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    studio.pool_says(|reason, _| reason == PoolReason::QueueLosesData.as_str(), SOON).await?;
    submit(&studio, "dropped").await?;
    for n in 0..JOBS {
        queued(&studio, &format!("dropped-{n}")).await?;
    }
    for keys in ["turns:*", "line:*"] {
        ensure!(drop_keys(stand, name, keys).await? > 0, "Redis has no keys like {keys}");
    }
    let engine = InstantEngine::start(&studio).await?;
    for n in 0..JOBS {
        studio.complete(&format!("dropped-{n}"), HEALED).await?;
    }
    let verdict = stand.verdict(&studio, engine.made()).await?;
    stand.close(&studio).await?;
    operator.process().terminate()?;
    Ok(verdict)
}

async fn submit(studio: &Studio<'_>, name: &str) -> Result<()> {
    for n in 0..JOBS {
        let job = format!("{name}-{n}");
        studio.submit(&job, picture(&job, 1, IMAGES)).await?;
    }
    Ok(())
}

async fn queued(studio: &Studio<'_>, job: &str) -> Result<()> {
    studio.reason(job, JobReason::Waiting, SOON).await?;
    let queue = studio.queue().await?;
    let uid = studio.until(job, "its uid", SOON, |job| job.metadata.uid.clone()).await?;
    let known = async || queue.job(&queue::JobUid(uid.clone())).await.ok()?;
    wait_for("the job to be on the queue", SOON, known).await.map(drop)
}

/// Drops keys of a namespace's pools, as an eviction does; how many.
async fn drop_keys(stand: &Stand, namespace: &str, keys: &str) -> Result<u32> {
    const SCRIPT: &str = "local found = redis.call('KEYS', ARGV[1]) \
                          for _, key in ipairs(found) do redis.call('DEL', key) end \
                          return #found";
    let keys = format!("*{{{namespace}/*}}:{keys}");
    Ok(stand.world.redis_command(&["EVAL", SCRIPT, "0", &keys]).await?.parse()?)
}

/// Sets the limit, also for the time after a restart.
async fn limit(stand: &Stand, bytes: &str) -> Result<()> {
    stand.world.redis_command(&["CONFIG", "SET", "maxmemory", bytes]).await?;
    stand.world.redis_command(&["CONFIG", "REWRITE"]).await.map(drop)
}
