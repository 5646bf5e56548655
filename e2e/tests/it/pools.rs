//! Pools come, go and come again, and what is around them is left alone.

use anyhow::{Context as _, Result, ensure};
use crds::{
    WorkerPool,
    conditions::{ConditionType, PoolReason, find_condition},
};
use e2e::{Studio, World, text_to_image};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Pod, Secret},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

const POOL: &str = "sd15";
const SECRET: &str = "imagejob-sd15";

pub(crate) async fn a_secret_of_somebody_else_is_left_alone(world: &World) -> Result<()> {
    let studio = own_studio(world, "foreign-secret").await?;
    let secrets = studio.api::<Secret>();
    let theirs =
        json!({ "metadata": { "name": "imagejob-orders" }, "stringData": { "url": "postgres://orders" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    studio.add_pool("orders", |spec| spec["default"] = false.into()).await?;
    let conflict = async || {
        let pool = studio.api::<WorkerPool>().get("orders").await.ok()?;
        let ready = find_condition(&pool.status.as_ref()?.conditions, ConditionType::Ready)?.clone();
        (ready.reason == PoolReason::SecretConflict.as_str()).then_some(ready)
    };
    let ready = wait_for("the pool to say so", SOON, conflict).await?;
    ensure!(ready.status == "False" && ready.message.contains("imagejob-orders"), "{ready:?}");
    let after = secrets.get("imagejob-orders").await?;
    ensure!(after.owner_references().is_empty(), "it is owned now: {:?}", after.metadata);
    let url = after.data.and_then(|mut data| data.remove("url")).context("its url is gone")?;
    ensure!(url == ByteString(b"postgres://orders".to_vec()), "another url");
    secrets.delete("imagejob-orders", &DeleteParams::default()).await?;
    let ours = async || Some(secrets.get_opt("imagejob-orders").await.ok()??.owner_references().len());
    ensure!(wait_for("the pool's own Secret", SOON, ours).await? == 1, "nobody owns it");
    Ok(())
}

pub(crate) async fn a_pool_made_again_under_its_name_is_another(world: &World) -> Result<()> {
    let studio = warm_studio(world, "again").await?;
    let pools = studio.api::<WorkerPool>();
    let old = uid(&pools.get(POOL).await?)?;
    pools.delete(POOL, &DeleteParams::background()).await?;
    wait_for("the pool to go", SOON, async || pools.get_opt(POOL).await.ok()?.is_none().then_some(()))
        .await?;
    studio.submit("between", text_to_image("a ford", 10, 1)).await?;
    studio.add_pool(POOL, |_| ()).await?;
    let new = uid(&pools.get(POOL).await?)?;
    studio.complete("between", SOON).await?;
    let owned = async || {
        let secret = studio.api::<Secret>().get_opt(SECRET).await.ok()??;
        let workers = studio.workers().await.ok()?;
        let all = secret.owner_references().iter().chain(workers.iter().flat_map(Pod::owner_references));
        let owners: Vec<&str> = all.map(|owner| owner.uid.as_str()).collect();
        (owners.iter().all(|owner| *owner == new) && workers.len() == owners.len() - 1).then_some(())
    };
    ensure!(old != new, "it is the same pool");
    wait_for("all to be the new pool's", SOON, owned).await?;
    studio.submit("after", text_to_image("a bridge", 10, 2)).await?;
    studio.complete("after", SOON).await?.check_made_once(world).await
}

pub(crate) async fn workers_that_an_orphaning_deletion_leaves_go_and_so_does_the_queue(
    world: &World,
) -> Result<()> {
    let studio = warm_studio(world, "orphans").await?;
    ensure!(has_queue(world, &studio).await?, "no queue to remove");
    let arguments = ["delete", "workerpool", POOL, "--cascade=orphan", "--namespace", &studio.namespace];
    world.cluster.kubectl(arguments)?;
    let none = async || studio.workers().await.ok()?.is_empty().then_some(());
    wait_for("the workers to go", 2 * SOON, none).await?;
    gone_from_redis(world, &studio).await
}

pub(crate) async fn a_namespace_goes_with_its_pool_while_redis_is_away(world: &World) -> Result<()> {
    let studio = warm_studio(world, "leaving").await?;
    world.kill_redis().await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&studio.namespace, &DeleteParams::default()).await?;
    let gone = async || namespaces.get_opt(&studio.namespace).await.ok()?.is_none().then_some(());
    let gone = wait_for("the namespace to go", SOON, gone).await;
    world.start_redis().await?;
    gone?;
    gone_from_redis(world, &studio).await
}

/// One whose workers stay.
async fn warm_studio<'a>(world: &'a World, name: &str) -> Result<Studio<'a>> {
    let studio = own_studio(world, name).await?;
    studio.submit("first", text_to_image("a well", 10, 1)).await?;
    studio.complete("first", SOON).await?;
    Ok(studio)
}

fn uid(pool: &WorkerPool) -> Result<String> {
    pool.uid().context("an object of the API server has a uid")
}

async fn has_queue(world: &World, studio: &Studio<'_>) -> Result<bool> {
    let redis = queue::Redis::connect(world.redis_url()).await?;
    let cluster = Api::<Namespace>::all(world.client.clone()).get("kube-system").await?;
    let owner = cluster.uid().context("an object of the API server has a uid")?;
    Ok(queue::pools::registered(&redis, &owner).await?.contains(&format!("{}/{POOL}", studio.namespace)))
}

async fn gone_from_redis(world: &World, studio: &Studio<'_>) -> Result<()> {
    let gone = async || (!has_queue(world, studio).await.ok()?).then_some(());
    wait_for("the pool's queue to be removed", 2 * SOON, gone).await?;
    let left = studio.queue().await?.jobs(0).await?;
    ensure!(left.jobs.is_empty() && left.next.is_none(), "{left:?}");
    Ok(())
}
