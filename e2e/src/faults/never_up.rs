//! Workers that get a machine and never come up. The pool's owner reads why, and no more machines are bought for it.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use crds::conditions::PoolReason;
use futures::future::try_join;
use kube::ResourceExt as _;
use serde_json::json;

use crate::{World, jobs::Studio, text_to_image, world::BUCKET};

/// What is wrong is told within this.
const TOLD: Duration = Duration::from_secs(60);
/// For so long after that it is watched that no more is started, …
const WATCHED: Duration = Duration::from_secs(15);
/// … beyond the workers that were wanted at first, and one to try it again.
const MOST_WORKERS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(90);

/// A field of a pool's spec whose value keeps all workers from coming up.
struct Wrong {
    namespace: &'static str,
    section: &'static str,
    field: &'static str,
    value: &'static str,
    right: &'static str,
    /// The reasons that may stand in the pool's Ready condition; its message names the value.
    reasons: &'static [PoolReason],
}

/// A job each comes to a pool whose engine's image is nowhere, and to one whose bucket is nowhere. When the spec is corrected
/// it is done. How long it took until the pools said why.
///
/// # Errors
/// When a pool does not say why, goes on starting workers, or the job is not done in the end.
pub async fn blocked(world: &World) -> Result<[Duration; 2]> {
    let image = Wrong {
        namespace: "no-image",
        section: "engine",
        field: "image",
        value: "nowhere.example/engine:none",
        right: "comfyui:sim",
        reasons: &[PoolReason::WorkersFailing, PoolReason::StartupFailed],
    };
    let bucket = Wrong {
        namespace: "no-bucket",
        section: "output",
        field: "bucket",
        value: "elsewhere",
        right: BUCKET,
        reasons: &[PoolReason::OutputMissing, PoolReason::OutputDenied],
    };
    let (image, bucket) = try_join(blocked_by(world, &image), blocked_by(world, &bucket)).await?;
    Ok([image, bucket])
}

async fn blocked_by(world: &World, wrong: &Wrong) -> Result<Duration> {
    let Wrong { namespace, section, field, value, right, reasons } = *wrong;
    let studio = Studio::open(world, namespace, |spec| {
        spec["output"]["keyPrefix"] = format!("{namespace}/").into();
        spec[section][field] = value.into();
    })
    .await?;
    studio.submit("tower", text_to_image("a tower", 20, 2)).await?;
    let begun = Instant::now();
    let told = |reason: &str, message: &str| {
        reasons.iter().any(|of| of.as_str() == reason) && message.contains(value)
    };
    studio.pool_says(told, TOLD).await?;
    let took = begun.elapsed();
    let mut seen = HashSet::new();
    while begun.elapsed() < took + WATCHED {
        seen.extend(studio.workers().await?.iter().filter_map(|pod| pod.uid()));
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    ensure!(seen.len() <= MOST_WORKERS, "{namespace}: {} workers were started in vain", seen.len());
    let ended = studio.if_ended("tower").await?;
    ensure!(ended.is_none(), "the job ended: {:?}", ended.map(|job| job.ready()));
    studio.change_pool(json!({ section: { field: right } })).await?;
    studio.complete("tower", SOON).await?;
    studio.back_to_zero(SOON).await?;
    Ok(took)
}
