//! What a pool's workers have, and jobs that ask for something else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::{WorkerPool, WorkerPoolStatus, conditions::JobReason};
use e2e::{MODEL, Studio, World, graph, text_to_image, workflow};
use serde_json::json;
use testkit::wait_for;

use crate::{
    SOON,
    stage::{own_studio, studio},
};

/// A second where the machine has nothing else to do.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Of every studio.
const POOL: &str = "sd15";
const FINE_MODEL: &str = "fine-tuned-by-us.safetensors";

pub(crate) async fn a_pool_says_what_its_workers_have(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let status = known(&studio, "who-has").await?;
    let engine = status.engine.context("no engine")?;
    ensure!(engine.version.as_deref() == Some("0.33.0"), "{engine:?}");
    ensure!(engine.nodes > 100, "{engine:?}");
    ensure!(engine.digest.starts_with("sha256:"), "{engine:?}");
    let key = engine.key.as_ref().context("its definitions are not stored")?;
    let url = format!("{}/images/{key}", world.s3_endpoint());
    let stored = reqwest::get(url).await?.error_for_status()?;
    let kind = stored.headers().get("content-type").map(|kind| kind.as_bytes().to_owned());
    ensure!(kind.as_deref() == Some(b"application/gzip") && key.ends_with(".json.gz"), "{key} is {kind:?}");
    ensure!(stored.bytes().await?.starts_with(&[0x1f, 0x8b]), "{key} is no gzip");
    let model = status.models.iter().find(|model| model.name == MODEL).context("the model is not listed")?;
    ensure!(model.folder == "checkpoints" && model.bytes.is_some(), "{model:?}");
    ensure!(model.family.is_some(), "{model:?}");
    Ok(())
}

pub(crate) async fn a_model_that_no_worker_has_is_told_with_the_nearest_and_waited_for(
    world: &World,
) -> Result<()> {
    let studio = own_studio(world, "models").await?;
    known(&studio, "who-may-have").await?;
    let asks_for = |model: &str| {
        let mut job = text_to_image("a lighthouse", 4, 1);
        job["work"]["textToImage"]["model"] = model.into();
        job
    };
    let began = Instant::now();
    studio.submit("typo", asks_for("v1-5-prunned.safetensors")).await?;
    let message = studio.reason("typo", JobReason::NotOnWorkers, SOON).await?;
    ensure!(began.elapsed() <= TOLD_WITHIN, "told after {:?}", began.elapsed());
    ensure!(message.contains("\"v1-5-prunned.safetensors\"") && message.contains(MODEL), "{message}");
    studio.delete("typo").await?;

    studio.back_to_zero(SOON).await?;
    studio.submit("fine", asks_for(FINE_MODEL)).await?;
    let message = studio.reason("fine", JobReason::NotOnWorkers, SOON).await?;
    ensure!(message.contains("no workers") && message.contains(" ago"), "how old the list is: {message}");
    ensure!(message.contains(FINE_MODEL), "{message}");
    ensure!(studio.workers().await?.is_empty(), "a worker was started in vain");

    // Workers of another make may have it: the job is tried.
    let mut args = studio.api::<WorkerPool>().get(POOL).await?.spec.engine.args;
    args.extend(["--more-models", FINE_MODEL].map(str::to_owned));
    studio.change_pool(json!({ "engine": { "args": args } })).await?;
    studio.complete("fine", SOON).await?.check_made_once(world).await
}

pub(crate) async fn a_workflow_that_no_engine_takes_is_told_before_it_is_queued(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    known(&studio, "who-takes").await?;
    let mut misspelt = graph(MODEL);
    let sampler = misspelt["3"]["inputs"].as_object_mut().context("a node has inputs")?;
    let steps = sampler.remove("steps").context("the sampler has steps")?;
    sampler.insert("stepps".to_owned(), steps);
    studio.submit("stepps", workflow(&misspelt)).await?;
    let ended = studio.ended("stepps", SOON).await?;
    let (reason, message) = ended.ready();
    ensure!(reason == JobReason::WorkflowInvalid.as_str(), "{reason}: {message}");
    ensure!(
        ["node 3 (KSampler)", "\"stepps\"", "\"steps\""].iter().all(|word| message.contains(word)),
        "{message}"
    );
    let status = ended.job.status.as_ref().context("a status")?;
    ensure!(status.accepted_time.is_none() && status.start_time.is_none(), "it was queued: {status:?}");

    let mut unknown = graph(MODEL);
    unknown["3"]["inputs"]["sampler_name"] = "eulerr".into();
    studio.submit("eulerr", workflow(&unknown)).await?;
    let message = studio.reason("eulerr", JobReason::NotOnWorkers, SOON).await?;
    ensure!(
        ["node 3 (KSampler)", "sampler_name", "eulerr", "did you mean", "euler"]
            .iter()
            .all(|word| message.contains(word)),
        "{message}"
    );
    studio.delete("eulerr").await
}

/// Has a worker come, and returns the pool's status once it says what the engine has.
async fn known(studio: &Studio<'_>, job: &str) -> Result<WorkerPoolStatus> {
    studio.submit(job, text_to_image("a pier", 4, 1)).await?;
    studio.complete(job, SOON).await?;
    wait_for("the pool to say what its engine has", SOON, async || {
        let status = studio.api::<WorkerPool>().get(POOL).await.ok()?.status?;
        (status.engine.is_some() && !status.models.is_empty()).then_some(status)
    })
    .await
}
