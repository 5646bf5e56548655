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
const ROUNDS: usize = 3;
/// Longer than the pictures' rest.
const NOTICE: Duration = Duration::from_secs(8);
/// 40 s, in segments.
const STEPS: u32 = 1000;
const SOON: Duration = Duration::from_secs(90);

/// What came of all notices.
#[derive(Debug)]
pub struct Report {
    /// From each notice to the moment the worker's picture might be claimed again.
    pub requeued_after: Vec<Duration>,
    /// What became of the jobs.
    pub verdict: Verdict,
}

/// Takes all machines away with a notice, three times over.
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
        spec["capacity"]["spot"]["max"] = MACHINES.into();
    })
    .await?;
    let mut spec = text_to_image("dunes", STEPS, MACHINES);
    spec["class"] = "relaxed".into();
    studio.submit("dunes", spec).await?;
    let mut requeued_after = Vec::new();
    for _ in 0..ROUNDS {
        for lease in all_at_work(&studio).await? {
            requeued_after.push(take_away(&studio, &lease).await?);
        }
    }
    let dunes = studio.complete("dunes", 4 * SOON).await?;
    let (said, counted) = (requeued_after.len(), dunes.interruptions());
    ensure!(usize::try_from(counted)? == said, "{said} notices, {counted} interruptions");
    let verdict = judge(&Facts::gather(&studio, Made::read(steps.path())?).await?);
    Ok(Report { requeued_after, verdict })
}

/// Waits until every machine is in the middle of a picture.
async fn all_at_work(studio: &Studio<'_>) -> Result<Vec<LeaseSeen>> {
    let queue = studio.queue().await?;
    wait_for("every machine to be at work", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        let at_work = leases.iter().filter(|lease| lease.progress.is_some_and(|(done, _)| done > 0)).count();
        (at_work == usize::try_from(MACHINES).ok()?).then_some(leases)
    })
    .await
}

/// Gives notice to a worker's machine: the cloud's, then a second one that says no time. How long the worker kept its
/// picture.
async fn take_away(studio: &Studio<'_>, lease: &LeaseSeen) -> Result<Duration> {
    let queue = studio.queue().await?;
    let machine = studio.node_of(&lease.worker.0).await?.context("a worker at work has a machine")?;
    let begun = Instant::now();
    studio.world.interrupt_machine(&machine, NOTICE)?;
    let asked = begun.elapsed();
    wait_for("the picture to be claimable again", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        let held = |seen: &LeaseSeen| seen.task == lease.task && seen.attempt == lease.attempt;
        (!leases.iter().any(held)).then_some(())
    })
    .await?;
    tracing::info!(machine, ?asked, requeued = ?begun.elapsed(), "notice");
    let took = begun.elapsed();
    say_again(studio, &machine).await?;
    Ok(took)
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
