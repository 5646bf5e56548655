//! Notices on real machines: how long it takes until what a worker can't finish may be claimed again, and whether one
//! that is said twice, or not understood, counts twice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use queue::LeaseSeen;
use serde_json::json;
use testkit::wait_for;

use super::{Facts, Made, Verdict, judge};
use crate::{
    cloud::CloudOptions,
    deploy::EngineOptions,
    jobs::{Studio, text_to_image},
    world::{World, WorldOptions},
};

/// Machines at a time.
const MACHINES: u32 = 6;
/// At least so many in all.
const NOTICES: usize = 18;
/// Shorter than what is left of the pictures.
const NOTICE: Duration = Duration::from_secs(8);
/// 40 s, in segments.
const STEPS: u32 = 1000;
/// Whoever has more steps ahead than these can't finish within the notice: 12 s.
const TOO_MANY: u32 = 300;
const SOON: Duration = Duration::from_secs(90);

/// What came of all notices.
#[derive(Debug)]
pub struct Report {
    /// From each notice to the moment the worker's picture might be claimed again.
    pub requeued_after: Vec<Duration>,
    /// What became of the jobs.
    pub verdict: Verdict,
}

/// Takes machines away with a notice, as soon as they work.
///
/// # Errors
/// When a picture stays with its worker, or a job does not end.
pub async fn requeue() -> Result<Report> {
    let steps = tempfile::NamedTempFile::new()?;
    let record = steps.path().display().to_string();
    let args = ["--step-ms", "40", "--load-ms", "300", "--record", &record].map(str::to_owned).into();
    let world = World::start(&WorldOptions {
        cloud: CloudOptions { spot: MACHINES, ..CloudOptions::default() },
        engine: EngineOptions { args, ..EngineOptions::default() },
        ..WorldOptions::default()
    })
    .await?;
    let grace = json!({ "spec": { "terminationGracePeriodSeconds": NOTICE.as_secs() } });
    let studio = Studio::open(&world, "noticed", |spec| {
        spec["podTemplate"] = grace;
        spec["output"]["keyPrefix"] = "noticed/".into();
        spec["fleets"][0]["max"] = MACHINES.into();
        // So short that every picture gets a machine of its own.
        spec["classes"][2]["slaSeconds"] = 30.into();
    })
    .await?;
    let mut spec = text_to_image("dunes", STEPS, 2 * MACHINES);
    spec["class"] = "relaxed".into();
    studio.submit("dunes", spec).await?;
    let mut requeued_after = Vec::new();
    while requeued_after.len() < NOTICES {
        for lease in at_work(&studio).await? {
            requeued_after.push(take_away(&studio, &lease).await?);
        }
    }
    let dunes = studio.complete("dunes", 4 * SOON).await?;
    let (said, counted) = (requeued_after.len(), dunes.interruptions());
    // A busy machine may miss heartbeats, too; but nothing comes back because of what is said twice.
    let taken_back = world.operator_metric("imagejob_tasks_requeued_total").await?;
    let (least, most) = (f64::from(u32::try_from(said)?), f64::from(u32::try_from(said)?) + taken_back);
    ensure!(
        (least..=most).contains(&f64::from(counted)),
        "{said} notices and {taken_back} leases taken back, yet {counted} interruptions"
    );
    let verdict = judge(&Facts::gather(&studio, Made::read(steps.path())?).await?);
    Ok(Report { requeued_after, verdict })
}

/// Waits until there are workers in the middle of a picture that they can't finish in time; their leases.
async fn at_work(studio: &Studio<'_>) -> Result<Vec<LeaseSeen>> {
    let queue = studio.queue().await?;
    wait_for("workers to be at work", SOON, async || {
        let mut leases = queue.stats().await.ok()?.leases;
        leases.retain(|lease| lease.progress.is_some_and(|(done, all)| done > 0 && done + TOO_MANY < all));
        (!leases.is_empty()).then_some(leases)
    })
    .await
}

/// Gives notice to a worker's machine: the cloud's, then a second one that says no time. How long the worker kept its
/// picture.
async fn take_away(studio: &Studio<'_>, lease: &LeaseSeen) -> Result<Duration> {
    let queue = studio.queue().await?;
    let machine = studio.node_of(&lease.worker.0).await?.context("a worker at work has a machine")?;
    let begun = Instant::now();
    interrupt(studio.world, &machine).await?;
    wait_for("the picture to be claimable again", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        let held = |seen: &LeaseSeen| seen.task == lease.task && seen.attempt == lease.attempt;
        (!leases.iter().any(held)).then_some(())
    })
    .await?;
    let took = begun.elapsed();
    tracing::info!(machine, ?took, "noticed, and claimable again");
    say_again(studio, &machine).await?;
    Ok(took)
}

/// Straight from the control socket: a command would take longer to start than what is measured.
async fn interrupt(world: &World, machine: &str) -> Result<()> {
    let socket = world.cluster.state().context("the cluster has no state folder")?.join("control.sock");
    let control = reqwest::Client::builder().unix_socket(socket).build()?;
    let url = format!("http://localcluster/nodes/{machine}/interrupt?notice={}s", NOTICE.as_secs());
    control.post(url).send().await?.error_for_status()?;
    Ok(())
}

async fn say_again(studio: &Studio<'_>, machine: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(studio.world.client.clone());
    let of_it = ListParams::default().fields(&format!("metadata.name={machine}"));
    let Some(node) = nodes.list(&of_it).await?.items.pop() else { return Ok(()) };
    let mut taints = node.spec.clone().unwrap_or_default().taints.unwrap_or_default();
    taints.push(serde_json::from_value(json!({
        "key": "aws-node-termination-handler/spot-itn", "value": "at-noon", "effect": "NoExecute",
    }))?);
    let patch = Patch::Merge(json!({ "spec": { "taints": taints } }));
    nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await?;
    Ok(())
}
