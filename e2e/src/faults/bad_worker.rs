//! One worker of four is wrong but alive: its models are not there, or a custom node does not load. It refuses all work
//! quicker than the others do it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use queue::{Order, WorkerState};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{World, jobs::Studio, text_to_image};

/// Workers of the pool.
const WORKERS: u32 = 4;
/// A picture takes 0.8 s with the engines of the shared world.
const STEPS: u32 = 40;
/// Jobs of one case.
pub const JOBS: usize = 3;
/// Of each job.
const IMAGES: u32 = 16;
const SOON: Duration = Duration::from_secs(90);
/// A worker that is at fault is taken out within this.
const TAKEN_OUT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Images that were asked for.
    pub images: usize,
    /// Images that failed for good.
    pub lost: usize,
    /// From the moment the worker went wrong until its Pod was to be deleted.
    pub taken_out: Duration,
}

/// Its models are gone.
#[must_use]
pub fn no_models() -> Value {
    json!({ "kind": "noModels" })
}

/// A node that every picture needs is not there.
#[must_use]
pub fn no_sampler() -> Value {
    json!({ "kind": { "missingNode": { "class": "KSampler" } } })
}

/// One of four workers goes wrong in this way, then jobs come.
///
/// # Errors
/// When a job does not end, or the worker stays for longer than a minute.
pub async fn among_four(world: &World, name: &str, fault: &Value) -> Result<Report> {
    let studio = Studio::open(world, name, |spec| {
        spec["output"]["keyPrefix"] = format!("{name}/").into();
        spec["fleets"][0]["min"] = WORKERS.into();
        spec["fleets"][0]["max"] = WORKERS.into();
    })
    .await?;
    let pods = ready(&studio).await?;
    let bad = pods.into_iter().next().context("a pool of four has a worker")?;
    break_engine(&bad, fault).await?;
    let broken = Instant::now();
    let jobs: Vec<_> = (0..JOBS).map(|n| format!("hill-{n}")).collect();
    for job in &jobs {
        studio.submit(job, text_to_image(job, STEPS, IMAGES)).await?;
    }
    let name = bad.metadata.name.clone().unwrap_or_default();
    let leaves = async || {
        let pod = studio.api::<Pod>().get_opt(&name).await.ok()?;
        pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
    };
    wait_for("the bad worker to be taken out", TAKEN_OUT, leaves).await?;
    let taken_out = broken.elapsed();
    let (mut images, mut lost) = (0, 0);
    for job in &jobs {
        let job = studio.ended(job, SOON).await?;
        images += usize::try_from(job.job.spec.count)?;
        lost += job.missing();
        if lost == 0 {
            job.check_made_once(world).await?;
        }
    }
    close(&studio).await?;
    Ok(Report { images, lost, taken_out })
}

/// The pool's Pods, once all of them take tasks.
async fn ready(studio: &Studio<'_>) -> Result<Vec<Pod>> {
    let queue = studio.queue().await?;
    wait_for("all workers to be ready", SOON, async || {
        let workers = queue.stats().await.ok()?.workers;
        let ready = workers.iter().filter(|w| w.state == WorkerState::Ready && w.order == Order::Work);
        (ready.count() == usize::try_from(WORKERS).ok()?).then_some(())
    })
    .await?;
    studio.workers().await
}

async fn break_engine(pod: &Pod, fault: &Value) -> Result<()> {
    const PORT: u16 = 8188;
    let ip =
        pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("a Pod without address")?;
    let url = format!("http://{ip}:{PORT}/sim/faults");
    reqwest::Client::new().put(url).json(&json!([fault])).send().await?.error_for_status()?;
    Ok(())
}

async fn close(studio: &Studio<'_>) -> Result<()> {
    studio.change_fleet("spot", |fleet| fleet.min = 0).await?;
    studio.back_to_zero(SOON).await?;
    ensure!(studio.deleted().is_empty(), "no job was deleted");
    Ok(())
}
