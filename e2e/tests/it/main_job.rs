//! A user applies jobs; pictures come out.

use anyhow::{Context as _, Result, ensure};
use crds::{
    Capacity, ImageJob,
    conditions::{ConditionType, find_condition},
};
use e2e::{Finished, World, text_to_image};
use kube::ResourceExt as _;
use queue::JobUid;
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{
    SOON,
    stage::{own_studio, studio},
};

pub(crate) async fn four_images_are_made_and_the_pool_goes_back_to_zero(world: &World) -> Result<()> {
    let studio = own_studio(world, "first").await?;
    studio.submit("lighthouse", text_to_image("a lighthouse at dusk", 20, 4)).await?;
    let lighthouse = studio.complete("lighthouse", SOON).await?;
    lighthouse.check_made_once(world).await?;
    ensure!(world.objects("first/").await? == 4, "other objects than the job's");
    studio.back_to_zero(SOON).await
}

/// kstatus, as `kubectl wait`, Argo CD and Flux read it; and no more writes than needed.
pub(crate) async fn the_status_tells_each_turn_once(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    // Workers are there: this is about a job that runs at once.
    studio.submit("before", text_to_image("somebody else's", 10, 2)).await?;
    studio.complete("before", SOON).await?;

    let job = studio.submit("quick", text_to_image("a kite", 10, 2)).await?;
    world.cluster.kubectl([
        "wait",
        "-n",
        &studio.namespace,
        "--for=condition=Complete",
        "--timeout=90s",
        "imagejob/quick",
    ])?;
    let versions = studio.history(&job).await?;
    let first = versions.first().context("no status was written")?;
    let observed = first.status.as_ref().and_then(|status| status.observed_generation);
    ensure!(observed == first.metadata.generation, "the first status is of generation {observed:?}");
    ensure!(condition(first, ConditionType::Ready) == "False", "the first status: {:?}", first.status);
    ensure!(condition(first, ConditionType::Reconciling) == "True", "the first status: {:?}", first.status);
    let last = versions.last().context("no status was written")?;
    for (kind, is) in [
        (ConditionType::Ready, "True"),
        (ConditionType::Complete, "True"),
        (ConditionType::Reconciling, "False"),
    ] {
        ensure!(condition(last, kind) == is, "{kind} at the end: {:?}", last.status);
    }
    ensure!(versions.len() <= 3, "{} writes: {versions:#?}", versions.len());

    let events = wait_for("the Event of its end", SOON, async || {
        studio.events(&job).await.ok().filter(|events| events.iter().any(|reason| reason == "Completed"))
    })
    .await?;
    let once = |reason| events.iter().filter(|r| *r == reason).count() <= 1;
    ensure!(["Queued", "Started", "Completed"].into_iter().all(once), "Events: {events:?}");
    ensure!(events.iter().any(|reason| reason == "Queued"), "Events: {events:?}");
    Ok(())
}

fn condition(job: &ImageJob, kind: ConditionType) -> &str {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, kind).map_or("absent", |condition| condition.status.as_str())
}

pub(crate) async fn an_urgent_job_gets_a_machine_on_demand(world: &World) -> Result<()> {
    let studio = own_studio(world, "urgent").await?;
    let mut spec = text_to_image("a poster for tonight", 100, 1);
    spec["class"] = "immediate".into();
    studio.submit("poster", spec).await?;
    let caught = studio.caught(SOON).await?;
    let machines = world.machines()?;
    let machine =
        machines.iter().find(|machine| machine.name == caught.machine).context("an unknown machine")?;
    ensure!(machine.group.starts_with("on-demand"), "made on {machine:?}");
    let poster = studio.complete("poster", SOON).await?;
    poster.check_made_once(world).await?;
    ensure!(poster.result(0)?.capacity == Capacity::OnDemand, "{:?}", poster.results());
    Ok(())
}

pub(crate) async fn a_finished_job_goes_when_its_time_is_over(world: &World) -> Result<()> {
    let studio = own_studio(world, "ttl").await?;
    studio.change_pool(json!({ "defaultTTLSecondsAfterFinished": 2 })).await?;
    let own = |seconds: u32| {
        let mut spec = text_to_image("a mayfly", 5, 1);
        spec["ttlSecondsAfterFinished"] = seconds.into();
        spec
    };
    studio.submit("stays", own(3600)).await?;
    studio.complete("stays", SOON).await?;
    studio.submit("by-itself", own(2)).await?;
    studio.submit("by-the-pool", text_to_image("a mayfly", 5, 1)).await?;
    let jobs = studio.api::<ImageJob>();
    for name in ["by-the-pool", "by-itself"] {
        wait_for("the job to be deleted", SOON, async || {
            jobs.get_opt(name).await.ok()?.is_none().then_some(())
        })
        .await?;
    }
    ensure!(jobs.get_opt("stays").await?.is_some(), "its own time is not over");
    Ok(())
}

/// For who asks more often than a status is written.
pub(crate) async fn how_far_an_image_is_is_told_while_it_is_made(world: &World) -> Result<()> {
    const STEPS: u32 = 1000;
    let studio = studio(world).await?;
    let job = studio.submit("slow", text_to_image("a glacier", STEPS, 1)).await?;
    let uid = JobUid(job.uid().context("a job has a uid")?);
    let queue = studio.queue().await?;
    let sampling = async || {
        let image = queue.progress(&uid).await.ok()?.pop()?;
        let (done, all) = image.steps?;
        let nodes = image.nodes?;
        let samples =
            nodes.running.and_then(|node| node.class).is_some_and(|class| class.starts_with("KSampler"));
        (samples && done > 0 && all == STEPS && nodes.done > 0 && nodes.done < nodes.total).then_some(())
    };
    wait_for("steps and nodes", SOON, sampling).await?;
    studio.complete("slow", SOON).await?;
    ensure!(queue.progress(&uid).await?.is_empty(), "nobody makes it any more");
    Ok(())
}

pub(crate) async fn a_job_of_many_images_has_a_manifest_also_when_it_is_cancelled(
    world: &World,
) -> Result<()> {
    const COUNT: usize = 101;
    let studio = own_studio(world, "many").await?;
    let picture = json!({ "model": e2e::MODEL, "prompt": "a stamp", "steps": 1, "width": 64, "height": 64 });
    studio
        .submit(
            "stamps",
            json!({ "count": COUNT, "work": { "type": "TextToImage", "textToImage": picture } }),
        )
        .await?;
    let stamps = studio.complete("stamps", SOON).await?;
    ensure!(stamps.results().len() == 100, "{} images in the status", stamps.results().len());
    let indices = in_manifest(&stamps).await?;
    ensure!(indices == (0..COUNT as u64).collect::<Vec<_>>(), "{indices:?}");

    let job = studio
        .submit("album", json!({ "count": 1000, "work": { "type": "TextToImage", "textToImage": picture } }))
        .await?;
    let (queue, uid) = (studio.queue().await?, JobUid(job.uid().context("a uid")?));
    let enough = async || queue.job(&uid).await.ok()?.filter(|state| state.succeeded as usize > COUNT);
    wait_for("more images than a status lists", SOON, enough).await?;
    studio.change("album", json!({ "cancel": true })).await?;
    let album = studio.ended("album", SOON).await?;
    let counts = album.job.status.as_ref().and_then(|status| status.counts).context("no counts")?;
    let listed = in_manifest(&album).await?.len();
    ensure!(listed == counts.succeeded as usize && listed < 1000, "{listed} listed of {counts:?}");
    Ok(())
}

/// The indices in a job's manifest; all that it lists is there.
async fn in_manifest(job: &Finished) -> Result<Vec<u64>> {
    let url = job.job.status.as_ref().and_then(|status| status.manifest_url.as_deref());
    let url = url.context("no manifestURL")?;
    let manifest: Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    ensure!(manifest["uid"].as_str() == job.job.uid().as_deref(), "{manifest}");
    let results = manifest["results"].as_array().context("no results")?;
    for result in results {
        let url = result["outputs"][0]["url"].as_str().context("no url")?;
        reqwest::get(url).await?.error_for_status()?;
    }
    Ok(results.iter().filter_map(|result| result["index"].as_u64()).collect())
}
