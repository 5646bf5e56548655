//! What jobs refer to is changed or removed while they wait and while they run: the class, the ConfigMap of the workflow,
//! the pool. What was accepted holds, or the job says what it waits for, and goes on.

use std::time::Duration;

use anyhow::Result;
use crds::{
    ImageJob, WorkerPool,
    conditions::{JobReason, PoolReason},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Resource as _,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    Stand, Verdict,
    crew::{Crew, CrewOptions},
};
use crate::{MODEL, graph, jobs::Studio};

/// A picture takes 1 s.
const STEPS: u32 = 20;
const STEP: Duration = Duration::from_millis(50);
/// More than is made before the changes.
const IMAGES: u32 = 6;
const FLOW: &str = "flow";
const SOON: Duration = Duration::from_secs(60);

/// The class of jobs goes and comes back, then the ConfigMap and with it all that Redis knows, then the pool.
///
/// # Errors
/// When a job does not say what it waits for, or does not end.
pub async fn of_what_jobs_refer_to(stand: &Stand, name: &str) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    let options = CrewOptions { machines: 1, steps: STEPS, step: STEP, engine: &[] };
    let crew = Crew::start(stand, studio, &options).await?;
    class(&crew).await?;
    config_map(stand, &crew).await?;
    pool(&crew).await?;
    let verdict = crew.close().await?;
    operator.process().terminate()?;
    Ok(verdict)
}

/// The class of a job that runs is renamed: the image at hand is finished, the pool says that images wait in vain, others go
/// first; with the class the job goes on.
async fn class(crew: &Crew<'_>) -> Result<()> {
    let studio = &crew.studio;
    crew.submit("classified", IMAGES).await?;
    crew.all_at_work().await?;
    let before = studio.api::<WorkerPool>().get("sd15").await?.spec.classes;
    let mut renamed = before.clone();
    renamed[1].name = "normal".to_owned();
    studio.change_pool(json!({ "classes": renamed })).await?;
    studio.reason("classified", JobReason::ClassNotFound, SOON).await?;
    studio.pool_says(|reason, _| reason == PoolReason::ClassNotFound.as_str(), SOON).await?;
    crew.submit_as("normal", 1, |spec| spec["class"] = "normal".into()).await?;
    studio.complete("normal", SOON).await?;
    studio.change_pool(json!({ "classes": before })).await?;
    studio.complete("classified", SOON).await.map(drop)
}

/// The workflow of a job that runs is removed, and Redis loses it as well: the job waits for it, and goes on once the very
/// same is back. One that was edited meanwhile is not mixed into a job.
async fn config_map(stand: &Stand, crew: &Crew<'_>) -> Result<()> {
    let (studio, gone) = (&crew.studio, DeleteParams::default());
    let maps = studio.api::<ConfigMap>();
    for job in ["kept", "edited"] {
        create(studio, job, 1).await?;
        let reference = json!({ "name": job, "key": FLOW });
        studio.submit(job, json!({ "work": { "type": "Workflow", "workflow": { "configMapRef": reference } }, "count": IMAGES })).await?;
        let accepted = |job: &ImageJob| job.status.as_ref()?.accepted_time.clone();
        studio.until(job, "to be accepted", SOON, accepted).await?;
    }
    crew.all_at_work().await?;
    for job in ["kept", "edited"] {
        maps.delete(job, &gone).await?;
    }
    create(studio, "edited", 2).await?;
    stand.world.wipe_redis().await?;
    studio.reason("kept", JobReason::ConfigMapNotFound, SOON).await?;
    let edited = studio.ended("edited", SOON).await?;
    let (reason, message) = edited.ready();
    anyhow::ensure!(reason == JobReason::WorkflowChanged.as_str(), "it ends as {reason}: {message}");
    create(studio, "kept", 1).await?;
    studio.complete("kept", SOON).await.map(drop)
}

/// The pool is deleted under a job that runs, and made again.
async fn pool(crew: &Crew<'_>) -> Result<()> {
    let studio = &crew.studio;
    crew.submit("pooled", IMAGES).await?;
    crew.all_at_work().await?;
    let mut pool = studio.api::<WorkerPool>().get("sd15").await?;
    studio.delete_pool().await?;
    studio.reason("pooled", JobReason::PoolNotFound, SOON).await?;
    pool.meta_mut().resource_version = None;
    pool.meta_mut().uid = None;
    pool.status = None;
    studio.api().create(&PostParams::default(), &pool).await?;
    studio.complete("pooled", SOON).await.map(drop)
}

async fn create(studio: &Studio<'_>, name: &str, seed: u32) -> Result<()> {
    let map = json!({ "metadata": { "name": name }, "data": { FLOW: workflow(seed).to_string() } });
    let map: ConfigMap = serde_json::from_value(map)?;
    studio.api().create(&PostParams::default(), &map).await?;
    Ok(())
}

/// A picture that takes as many steps as the others.
fn workflow(seed: u32) -> Value {
    let mut workflow = graph(MODEL);
    (workflow["5"]["inputs"]["width"], workflow["5"]["inputs"]["height"]) = (512.into(), 512.into());
    (workflow["3"]["inputs"]["seed"], workflow["3"]["inputs"]["steps"]) = (seed.into(), STEPS.into());
    workflow
}
