//! The operator is killed at any moment.

use anyhow::{Context as _, Result, ensure};
use e2e::{PodProcess, World, text_to_image};
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

/// Spot workers that a studio's pool may have.
const MAX_SPOT: usize = 4;

pub(crate) async fn killed_in_mid_picture(world: &World) -> Result<()> {
    let studio = own_studio(world, "operator").await?;
    studio.submit("tower", text_to_image("a tower", 100, 4)).await?;
    studio.caught(SOON).await?;
    kill(world).await?;
    let tower = studio.complete("tower", SOON).await?;
    tower.check_made_once(world).await?;
    ensure!(tower.interruptions() == 0, "work was taken from workers that are well");
    Ok(())
}

/// Each time as soon as it has begun with a new job; while it is away, jobs come and go.
pub(crate) async fn killed_again_and_again(world: &World) -> Result<()> {
    const ROUNDS: usize = 5;
    let studio = own_studio(world, "operators").await?;
    for round in 0..ROUNDS {
        let job = format!("tower-{round}");
        studio.submit(&job, text_to_image("a tower", 40, 3)).await?;
        studio.until(&job, "to be seen by the operator", SOON, |job| job.status.clone()).await?;
        kill(world).await?;
        let brief = format!("brief-{round}");
        studio.submit(&brief, text_to_image("nobody waits for this", 40, 3)).await?;
        studio.delete(&brief).await?;
        let spot = studio.workers().await?.iter().filter(|pod| is_spot(pod)).count();
        ensure!(spot <= MAX_SPOT, "{spot} spot workers");
    }
    for round in 0..ROUNDS {
        studio.complete(&format!("tower-{round}"), SOON).await?.check_made_once(world).await?;
    }
    ensure!(world.objects("operators/").await? == 3 * ROUNDS, "other objects than the jobs'");
    let queue = studio.queue().await?;
    wait_for("the queue to be empty", SOON, async || queue.jobs(0).await.ok()?.jobs.is_empty().then_some(()))
        .await
}

fn is_spot(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    pod.metadata.name.as_ref().is_some_and(|name| name.contains("-spot-"))
}

/// SIGKILLs the operator's process; the kubelet starts it again.
async fn kill(world: &World) -> Result<()> {
    let operators = world.operators().await?;
    PodProcess::of(operators.first().context("no operator")?, "operator")?.kill()
}
