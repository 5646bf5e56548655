//! The API server or S3 goes away while jobs run, and comes back.

use anyhow::{Result, ensure};
use e2e::{World, text_to_image};
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

pub(crate) async fn pictures_are_made_while_the_api_server_is_away(world: &World) -> Result<()> {
    let studio = own_studio(world, "no-api-server").await?;
    studio.submit("valley", text_to_image("a valley", 100, 3)).await?;
    studio.caught(SOON).await?;
    world.control_plane("kill", "kube-apiserver")?;
    wait_for("every picture to be uploaded meanwhile", SOON, async || {
        world.objects("no-api-server/").await.ok().filter(|n| *n == 3)
    })
    .await?;
    world.control_plane("start", "kube-apiserver")?;
    studio.complete("valley", SOON).await?.check_made_once(world).await
}

pub(crate) async fn a_picture_waits_for_s3(world: &World) -> Result<()> {
    let studio = own_studio(world, "no-s3").await?;
    studio.submit("island", text_to_image("an island", 60, 2)).await?;
    studio.caught(SOON).await?;
    world.stop_s3().await;
    let queue = studio.queue().await?;
    wait_for("a picture to be made but not uploaded", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        leases.iter().any(|lease| lease.progress.is_some_and(|(done, all)| done == all)).then_some(())
    })
    .await?;
    world.start_s3().await?;
    let island = studio.complete("island", SOON).await?;
    island.check_made_once(world).await?;
    ensure!(island.retries() == 0, "S3's absence is no failure of the image");
    Ok(())
}
