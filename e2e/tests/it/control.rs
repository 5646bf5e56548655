//! A job is cancelled, suspended or deleted while it runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{ImageJob, conditions::JobReason};
use e2e::{Caught, World, text_to_image};
use kube::ResourceExt as _;
use queue::{JobUid, Queue};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{
    SOON,
    stage::{own_studio, studio},
};

pub(crate) async fn cancel_keeps_what_was_made_and_stops_the_engine(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let job = studio.submit("cancelled", text_to_image("a road", 60, 30)).await?;
    made(&studio.queue().await?, &job, 2).await?;
    let caught = studio.caught(SOON).await?;
    studio.change("cancelled", json!({ "cancel": true })).await?;
    let ended = studio.ended("cancelled", SOON).await?;
    let (reason, message) = ended.ready();
    ensure!(reason == JobReason::Cancelled.as_str(), "{reason}: {message}");
    ensure!(ended.results().len() >= 2, "images made before are not listed: {:?}", ended.results());
    for file in ended.results().iter().flat_map(|result| &result.outputs) {
        reqwest::get(&file.url).await?.error_for_status()?;
    }
    engine_idle(&caught).await
}

pub(crate) async fn suspend_starts_nothing_more_until_resumed(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let job = studio.submit("suspended", text_to_image("a river", 60, 30)).await?;
    let queue = studio.queue().await?;
    made(&queue, &job, 1).await?;
    studio.change("suspended", json!({ "suspend": true })).await?;
    studio.reason("suspended", JobReason::Suspended, SOON).await?;
    let uid = uid(&job)?;
    let at_rest = wait_for("what runs to be finished", SOON, async || {
        queue.job(&uid).await.ok()?.filter(|state| state.running == 0)
    })
    .await?;
    ensure!(at_rest.succeeded < 30, "it was over before it was suspended");
    // The workers that are there take another job instead.
    studio.submit("meanwhile", text_to_image("a ferry", 10, 2)).await?;
    studio.complete("meanwhile", SOON).await?;
    let still = queue.job(&uid).await?.context("a suspended job stays on the queue")?;
    ensure!(still == at_rest, "a suspended job went on: {at_rest:?}, then {still:?}");
    studio.change("suspended", json!({ "suspend": false })).await?;
    studio.complete("suspended", SOON).await?.check_made_once(world).await
}

pub(crate) async fn deleted_while_it_runs_leaves_nothing(world: &World) -> Result<()> {
    let studio = own_studio(world, "deleted").await?;
    let job = studio.submit("mistake", text_to_image("a mistake", 200, 20)).await?;
    let caught = studio.caught(SOON).await?;
    studio.delete("mistake").await?;
    gone(&studio.queue().await?, &job).await?;
    engine_idle(&caught).await?;
    let before = world.objects("deleted/").await.unwrap_or_default();
    // Its workers are free for another job, which is all that is made from now on.
    studio.submit("right", text_to_image("the right one", 20, 2)).await?;
    studio.complete("right", SOON).await?.check_made_once(world).await?;
    let after = world.objects("deleted/").await?;
    ensure!(after == before + 2, "{before} objects, then {after}");
    Ok(())
}

pub(crate) async fn a_new_job_of_an_old_name_has_its_own_results(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let old = studio.submit("twin", text_to_image("the old one", 100, 4)).await?;
    made(&studio.queue().await?, &old, 1).await?;
    studio.delete("twin").await?;
    let new = studio.submit("twin", text_to_image("the new one", 20, 2)).await?;
    let twin = studio.complete("twin", SOON).await?;
    ensure!(twin.job.uid() == new.uid(), "the job was replaced");
    twin.check_made_once(world).await?;
    ensure!(twin.interruptions() == 0, "the old one's workers count for the new one");
    gone(&studio.queue().await?, &old).await
}

async fn made(queue: &Queue, job: &ImageJob, count: u32) -> Result<()> {
    let uid = uid(job)?;
    wait_for("images to be made", SOON, async || {
        queue.job(&uid).await.ok()?.filter(|state| state.succeeded >= count)
    })
    .await
    .map(drop)
}

/// Waits until the queue knows nothing of a job and nobody works on it.
async fn gone(queue: &Queue, job: &ImageJob) -> Result<()> {
    let uid = uid(job)?;
    wait_for("the queue to forget the job", SOON, async || {
        let known = queue.job(&uid).await.ok()?;
        let leases = queue.stats().await.ok()?.leases;
        (known.is_none() && leases.iter().all(|lease| lease.task.job != uid)).then_some(())
    })
    .await
}

/// Waits until the engine of a worker has nothing to do, well before its picture would be finished.
async fn engine_idle(caught: &Caught) -> Result<()> {
    let ip = caught.pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
    let url = format!("http://{ip}:8188/queue");
    wait_for("the engine to stop", Duration::from_secs(15), async || {
        let queue: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
        queue["queue_running"].as_array()?.is_empty().then_some(())
    })
    .await
}

fn uid(job: &ImageJob) -> Result<JobUid> {
    job.uid().map(JobUid).context("an object of the API server has a uid")
}
