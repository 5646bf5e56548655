//! Workers that get a machine and never come up. The pool's owner reads why, and no more machines are bought for it.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use crds::conditions::PoolReason;
use serde_json::{Value, json};

use crate::{World, jobs::Studio, text_to_image};

const SOON: Duration = Duration::from_secs(90);
/// What is wrong is told within this.
const TOLD: Duration = Duration::from_secs(60);
/// Within this nothing more is started for it, …
const WATCHED: Duration = Duration::from_secs(30);
/// … beyond the workers that were wanted at first, and one to try it again.
const MOST_WORKERS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Something that all workers of a pool need.
#[derive(Debug, Clone)]
pub struct Block {
    /// What is blocked, a word.
    pub name: &'static str,
    /// The change to the pool's spec that blocks it.
    change: Value,
    /// The change that puts it right.
    mend: Value,
    /// The reasons that may stand in the pool's Ready condition.
    reasons: &'static [PoolReason],
    /// What its message tells.
    words: &'static str,
}

/// All that is tried.
#[must_use]
pub fn blocks() -> Vec<Block> {
    vec![
        Block {
            name: "image",
            change: json!({ "engine": { "image": "nowhere.example/engine:none" } }),
            mend: json!({ "engine": { "image": "comfyui:sim" } }),
            reasons: &[PoolReason::WorkersFailing, PoolReason::StartupFailed],
            words: "nowhere.example/engine:none",
        },
        Block {
            name: "bucket",
            change: json!({ "output": { "bucket": "elsewhere" } }),
            mend: json!({ "output": { "bucket": "images" } }),
            reasons: &[PoolReason::OutputMissing, PoolReason::OutputDenied],
            words: "elsewhere",
        },
        Block {
            name: "engine",
            // It answers nothing but errors.
            change: json!({ "engine": { "env": [{ "name": "SICK", "value": "1" }], "startupSeconds": 10,
                                        "args": ["--listen=0.0.0.0", "--port=8188", "--fault=system_stats-500"] } }),
            mend: json!({ "engine": { "args": ["--listen=0.0.0.0", "--port=8188", "--step-ms=20"] } }),
            reasons: &[PoolReason::WorkersFailing, PoolReason::StartupFailed],
            words: "engine",
        },
    ]
}

/// A job comes to a pool whose workers can't come up.
///
/// # Errors
/// When the pool does not say why, goes on starting workers, or the job is not done once it is put right.
pub async fn blocked(world: &World, block: &Block) -> Result<Duration> {
    let name = format!("blocked-{}", block.name);
    let studio = Studio::open(world, &name, |spec| {
        spec["output"]["keyPrefix"] = format!("{name}/").into();
        merge(spec, &block.change);
    })
    .await?;
    studio.submit("tower", text_to_image("a tower", 20, 2)).await?;
    let begun = Instant::now();
    let told = |reason: &str, message: &str| {
        block.reasons.iter().any(|of| of.as_str() == reason) && message.contains(block.words)
    };
    studio.pool_says(told, TOLD).await?;
    let took = begun.elapsed();
    let mut seen = HashSet::new();
    while begun.elapsed() < took + WATCHED {
        seen.extend(studio.workers().await?.iter().filter_map(kube::ResourceExt::uid));
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    ensure!(seen.len() <= MOST_WORKERS, "{} workers were started in vain", seen.len());
    let jobs = studio.if_ended("tower").await?;
    ensure!(jobs.is_none(), "the job ended: {:?}", jobs.map(|job| job.ready()));
    studio.change_pool(block.mend.clone()).await?;
    studio.complete("tower", 2 * SOON).await?;
    studio.back_to_zero(SOON).await?;
    Ok(took)
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
