//! The pool's template is changed while all of its workers are busy.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use queue::{Order, WorkerState};
use serde_json::json;
use testkit::wait_for;

use crate::{World, jobs::Studio, text_to_image};

/// So few that a tenth of them is one.
const WORKERS: u32 = 5;
/// More than the pool's least: there is room for a replacement before one goes.
const MOST: u32 = 6;
/// A picture takes 1 s with the engines of the shared world, and there are enough for all of the time.
const STEPS: u32 = 50;
const IMAGES: u32 = 600;
const SOON: Duration = Duration::from_secs(90);
const REPLACED: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Workers that were replaced.
    pub replaced: usize,
    /// How many took work at the worst moment.
    pub least: usize,
    /// How long it took.
    pub took: Duration,
}

/// Every worker is replaced, one after the other, by one of the new template; work goes on.
///
/// # Errors
/// When more than one was away at a time, or one is never replaced.
pub async fn under_load(world: &World, name: &str) -> Result<Report> {
    let studio = Studio::open(world, name, |spec| {
        spec["output"]["keyPrefix"] = format!("{name}/").into();
        spec["capacity"]["spot"]["min"] = WORKERS.into();
        spec["capacity"]["spot"]["max"] = MOST.into();
    })
    .await?;
    let all = usize::try_from(WORKERS)?;
    wait_for("all workers to be ready", SOON, async || (claiming(&studio).await.ok()? == all).then_some(()))
        .await?;
    let old: HashSet<String> = studio.workers().await?.iter().map(kube::ResourceExt::name_any).collect();
    let job = studio.submit("coast", text_to_image("a coast", STEPS, IMAGES)).await?;
    studio.caught(SOON).await?;

    let changed = Instant::now();
    studio.change_pool(json!({ "engine": { "env": [{ "name": "RELEASE", "value": "2" }] } })).await?;
    let mut least = all;
    loop {
        least = least.min(claiming(&studio).await?);
        let workers = studio.workers().await?;
        let left = workers.iter().filter(|pod| old.contains(&pod.name_any())).count();
        if left == 0 && claiming(&studio).await? >= all {
            break;
        }
        ensure!(
            changed.elapsed() < REPLACED,
            "{left} of the old workers are left, {least} worked at the least"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let report = Report { replaced: old.len(), least, took: changed.elapsed() };
    ensure!(least + 1 >= all, "only {least} of {all} workers took work");
    let still = studio.if_ended(&job.name_any()).await?;
    ensure!(still.is_none(), "the work was over before all were replaced: {report:?}");
    let interruptions = studio.until("coast", "its interruptions", SOON, |job| {
        Some(job.status.as_ref()?.interruptions.unwrap_or_default())
    });
    ensure!(interruptions.await? == 0, "a worker was replaced in the middle of a picture");
    studio.change("coast", json!({ "cancel": true })).await?;
    studio.ended("coast", SOON).await?;
    studio.change_pool(json!({ "capacity": { "spot": { "min": 0 } } })).await?;
    studio.back_to_zero(SOON).await?;
    Ok(report)
}

/// Workers that take work.
async fn claiming(studio: &Studio<'_>) -> Result<usize> {
    let workers = studio.queue().await?.stats().await?.workers;
    Ok(workers.iter().filter(|w| w.state == WorkerState::Ready && w.order == Order::Work).count())
}
