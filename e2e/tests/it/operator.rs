//! The operator is killed at any moment.

use anyhow::{Context as _, Result, ensure};
use e2e::{PodProcess, World, text_to_image};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, api::DeleteParams};
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

/// Spot workers that a studio's pool may have.
const MAX_SPOT: usize = 4;
/// The operators' namespace.
const SYSTEM: &str = "imagejob-system";

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

/// Nobody has to wait for the end of its Lease.
pub(crate) async fn told_to_stop(world: &World) -> Result<()> {
    replicas(world, 2).await?;
    let leader = leader(world).await?.context("nobody leads")?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), SYSTEM);
    pods.delete(&leader, &DeleteParams::default()).await?;
    let gone = async || pods.get_opt(&leader).await.ok()?.is_none().then_some(());
    wait_for("the leader to be gone", SOON, gone).await?;
    ensure!(self::leader(world).await?.as_ref() != Some(&leader), "it took the Lease with it");
    wait_for("another to lead", SOON, async || self::leader(world).await.ok()?).await?;
    replicas(world, 1).await
}

async fn leader(world: &World) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), SYSTEM);
    let spec = leases.get("imagejob-operator").await?.spec;
    Ok(spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty()))
}

/// Sets how many operators there are, and waits until it is so.
async fn replicas(world: &World, n: usize) -> Result<()> {
    let count = format!("--replicas={n}");
    world.cluster.kubectl(["-n", SYSTEM, "scale", "deployment/imagejob-operator", &count])?;
    let as_many = async || {
        let pods = world.operators().await.ok()?;
        (pods.len() == n && pods.iter().all(is_ready)).then_some(())
    };
    wait_for(&format!("{n} operators"), SOON, as_many).await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_spot(pod: &Pod) -> bool {
    pod.metadata.name.as_ref().is_some_and(|name| name.contains("-spot-"))
}

/// SIGKILLs the operator's process; the kubelet starts it again.
async fn kill(world: &World) -> Result<()> {
    let operators = world.operators().await?;
    PodProcess::of(operators.first().context("no operator")?, "operator")?.kill()
}
