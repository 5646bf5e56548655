//! Redis dies or forgets everything while jobs run.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use e2e::{Studio, World, text_to_image};
use kube::ResourceExt as _;
use queue::JobUid;
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

pub(crate) async fn killed_in_mid_picture_and_away_when_it_is_uploaded(world: &World) -> Result<()> {
    let studio = own_studio(world, "redis-killed").await?;
    studio.submit("harbour", text_to_image("a harbour", 120, 3)).await?;
    studio.caught(SOON).await?;
    world.kill_redis().await?;
    wait_for("a picture to be uploaded meanwhile", SOON, async || {
        world.objects("redis-killed/").await.ok().filter(|n| *n > 0)
    })
    .await?;
    world.start_redis().await?;
    let harbour = studio.complete("harbour", SOON).await?;
    harbour.check_made_once(world).await?;
    ensure!(world.objects("redis-killed/").await? == 3, "other objects than the job's");
    Ok(())
}

pub(crate) async fn wiped_while_jobs_run(world: &World) -> Result<()> {
    let studio = own_studio(world, "redis-wiped").await?;
    made_before_is_not_made_again(&studio, async || world.wipe_redis().await).await
}

pub(crate) async fn lost_with_its_disk(world: &World) -> Result<()> {
    let studio = own_studio(world, "redis-lost").await?;
    made_before_is_not_made_again(&studio, async || {
        world.wipe_redis().await?;
        world.kill_redis().await?;
        world.start_redis().await
    })
    .await
}

async fn made_before_is_not_made_again(
    studio: &Studio<'_>,
    lose: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    const COUNT: u32 = 6;
    let job = studio.submit("garden", text_to_image("a garden", 60, COUNT)).await?;
    let uid = JobUid(job.uid().context("an object of the API server has a uid")?);
    let queue = studio.queue().await?;
    let made = wait_for("two images to be made", SOON, async || {
        queue.outcomes(&uid, 0, COUNT).await.ok().filter(|made| made.len() >= 2)
    })
    .await?;
    lose().await?;
    let garden = studio.complete("garden", SOON).await?;
    garden.check_images().await?;
    let made: HashSet<u32> = made.iter().map(|outcome| outcome.index).collect();
    for image in garden.results().iter().filter(|image| made.contains(&image.index)) {
        let uploads = studio.world.uploads(&garden.file(image.index)?.key).await;
        ensure!(uploads == 1, "image {} was made before and uploaded {uploads} times", image.index);
    }
    let objects = studio.world.objects(&format!("{}/", studio.namespace)).await?;
    ensure!(objects == garden.results().len(), "{objects} objects");
    Ok(())
}
