//! Machines, engines and workers that die or stop in the middle of a picture.

use std::time::Duration;

use anyhow::{Result, ensure};
use crds::ImageJob;
use e2e::{Caught, Finished, PodProcess, Studio, World, text_to_image};
use serde_json::json;
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

/// A lease lasts 10 s; what a dead worker held must be free again soon after.
const FREE: Duration = Duration::from_secs(15);

/// What a user should know is in the status this soon.
const TOLD: Duration = Duration::from_secs(5);

pub(crate) async fn a_machine_killed_in_mid_picture_loses_nothing(world: &World) -> Result<()> {
    let studio = own_studio(world, "machine").await?;
    studio.submit("castle", text_to_image("a castle", 120, 3)).await?;
    let caught = studio.caught(SOON).await?;
    world.kill_machine(&caught.machine)?;
    taken_from(&studio, &caught, FREE).await?;
    let told = |job: &ImageJob| {
        let status = job.status.as_ref()?;
        (status.interruptions == Some(1) && status.completion_time.is_none()).then_some(())
    };
    studio.until("castle", "to tell of the loss", TOLD, told).await?;
    let castle = studio.complete("castle", SOON).await?;
    castle.check_made_once(world).await?;
    ensure!(world.objects("machine/").await? == 3, "other objects than the job's");
    second_attempt(&castle, &caught)
}

pub(crate) async fn a_machine_killed_between_segments_costs_no_finished_one(world: &World) -> Result<()> {
    // By what a pool takes for granted before it has made any, 64 s: six segments of 10 s. They really take 1 s.
    const SEGMENTS: u32 = 6;
    let mut spec = text_to_image("a cathedral", 300, 1);
    // A sampler that shows where it was cut.
    spec["work"]["textToImage"]["sampler"] = "dpmpp_2m".into();
    spec["work"]["textToImage"]["seed"] = 7.into();
    let studio = own_studio(world, "segments").await?;
    studio.submit("cathedral", spec.clone()).await?;
    wait_for("the first segment to be kept", SOON, async || {
        world.objects("segments/latents/").await.ok().filter(|n| *n == 1)
    })
    .await?;
    let caught = studio.caught(SOON).await?;
    world.kill_machine(&caught.machine)?;
    studio.submit("undisturbed", spec).await?;

    let cathedral = studio.complete("cathedral", SOON).await?;
    let undisturbed = studio.complete("undisturbed", SOON).await?;
    for job in [&cathedral, &undisturbed] {
        job.check_made_once(world).await?;
        let segments = job.job.status.as_ref().and_then(|status| status.segments);
        ensure!(segments == Some(SEGMENTS), "{segments:?} segments");
    }
    second_attempt(&cathedral, &caught)?;
    let latent = cathedral.file(0)?.key.replace("segments/", "segments/latents/").replace(".png", ".latent");
    let kept = world.uploads(&latent).await;
    ensure!(kept < SEGMENTS as usize, "{kept} segments kept: some were made twice");
    ensure!(cathedral.pixels(0).await? == undisturbed.pixels(0).await?, "the interruption shows");
    let left = world.objects("segments/latents/").await?;
    ensure!(left == 0, "{left} latents left");
    Ok(())
}

pub(crate) async fn an_engine_killed_in_mid_picture_costs_no_retry(world: &World) -> Result<()> {
    let studio = own_studio(world, "engine").await?;
    studio.submit("bridge", text_to_image("a bridge", 120, 2)).await?;
    let caught = studio.caught(SOON).await?;
    PodProcess::of(&caught.pod, "comfyui-sim")?.kill()?;
    let bridge = studio.complete("bridge", SOON).await?;
    bridge.check_made_once(world).await?;
    second_attempt(&bridge, &caught)
}

pub(crate) async fn a_worker_lets_go_at_the_notice_before_its_machine_ends(world: &World) -> Result<()> {
    const NOTICE: Duration = Duration::from_secs(8);
    let grace = json!({ "spec": { "terminationGracePeriodSeconds": NOTICE.as_secs() } });
    let studio = Studio::open(world, "notice", |spec| spec["podTemplate"] = grace).await?;
    // More work than fits into the notice.
    studio.submit("forest", text_to_image("a forest", 600, 1)).await?;
    let caught = studio.caught(SOON).await?;
    world.interrupt_machine(&caught.machine, NOTICE)?;
    // Its lease alone would last longer.
    taken_from(&studio, &caught, NOTICE / 2).await?;
    let forest = studio.complete("forest", SOON).await?;
    forest.check_made_once(world).await?;
    second_attempt(&forest, &caught)
}

pub(crate) async fn a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(
    world: &World,
) -> Result<()> {
    let studio = own_studio(world, "frozen").await?;
    studio.submit("lake", text_to_image("a lake", 120, 1)).await?;
    let caught = studio.caught(SOON).await?;
    let worker = PodProcess::of(&caught.pod, "gpu-worker")?;
    worker.pause()?;
    taken_from(&studio, &caught, FREE).await?;
    worker.resume()?;
    let lake = studio.complete("lake", SOON).await?;
    lake.check_images().await?;
    ensure!(world.objects("frozen/").await? == 1, "more than one object for one image");
    second_attempt(&lake, &caught)
}

/// Waits until a worker no longer holds what it was caught with.
async fn taken_from(studio: &Studio<'_>, caught: &Caught, within: Duration) -> Result<()> {
    let queue = studio.queue().await?;
    let (task, attempt) = (&caught.lease.task, caught.lease.attempt);
    wait_for("the task to be taken from its worker", within, async || {
        let leases = queue.stats().await.ok()?.leases;
        (!leases.iter().any(|lease| lease.task == *task && lease.attempt == attempt)).then_some(())
    })
    .await
}

/// The picture took a second attempt, and none of its retries.
fn second_attempt(finished: &Finished, caught: &Caught) -> Result<()> {
    let attempts = finished.result(caught.lease.task.index)?.attempts;
    ensure!(attempts == 2, "{attempts} attempts");
    let (interruptions, retries) = (finished.interruptions(), finished.retries());
    ensure!(interruptions >= 1 && retries == 0, "{interruptions} interruptions, {retries} retries");
    Ok(())
}
