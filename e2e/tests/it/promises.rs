//! What a job and its pool say of time and money.

use anyhow::{Context as _, Result, ensure};
use crds::{
    ImageJob, WorkerPool,
    conditions::{ConditionType, JobReason, find_condition},
};
use e2e::{Studio, World, text_to_image};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::wait_for;

use crate::{SOON, stage::own_studio};

pub(crate) async fn a_pool_costs_no_less_than_its_jobs(world: &World) -> Result<()> {
    let studio = own_studio(world, "bill").await?;
    studio.submit("paid", text_to_image("a coin", 20, 2)).await?;
    let paid = studio.complete("paid", SOON).await?;
    let cost = paid.job.status.as_ref().and_then(|status| status.cost.as_ref()).context("no cost")?;
    let images = paid.results().iter().map(|image| image.amount.micros()).sum::<u64>();
    ensure!(cost.amount.micros() == images && images > 0, "{cost:?} of {:?}", paid.results());
    let (_, message) = paid.ready();
    let told = format!("2 images made, {} USD, {} % below on-demand", cost.amount, cost.saving_percent);
    ensure!(message == told, "{message}");

    let bill = wait_for("the job to be on its pool's bill", SOON, async || {
        let pool = studio.api::<WorkerPool>().get("sd15").await.ok()?;
        pool.status?.cost.filter(|bill| bill.images.made == 2 && bill.total >= cost.amount)
    })
    .await?;
    ensure!(bill.images.amount == cost.amount, "{:?} instead of {cost:?}", bill.images);
    let [tenant] = bill.tenants.as_slice() else { anyhow::bail!("tenants: {:?}", bill.tenants) };
    ensure!((tenant.name.as_str(), tenant.images) == ("bill", bill.images), "{tenant:?}");
    ensure!(bill.on_demand_total > bill.total && bill.saving_percent > 0, "{bill:?}");
    Ok(())
}

pub(crate) async fn a_job_says_that_it_will_be_late_and_that_it_is(world: &World) -> Result<()> {
    let studio = own_studio(world, "late").await?;
    suspend(&studio, true).await?;
    let mut spec = text_to_image("a snail", 5, 1);
    spec["class"] = "immediate".into();
    let job = studio.submit("snail", spec).await?;
    let (was, message) =
        studio.until("snail", "at risk", SOON, |job| promise(job, JobReason::SlaAtRisk)).await?;
    ensure!(was == "SlaAtRisk" && message.contains("no worker"), "{was}: {message}");
    let (was, message) =
        studio.until("snail", "missed", SOON, |job| promise(job, JobReason::SlaMissed)).await?;
    ensure!(was == "SlaMissed" && message.ends_with("0 of 1 images done"), "{was}: {message}");
    suspend(&studio, false).await?;
    let snail = studio.complete("snail", SOON).await?;
    ensure!(promise(&snail.job, JobReason::SlaMissed).is_some(), "{:?}", snail.job.status);
    let events = studio.events(&job).await?;
    for reason in ["SlaAtRisk", "SlaMissed"] {
        ensure!(events.iter().filter(|event| *event == reason).count() == 1, "{reason} among {events:?}");
    }
    Ok(())
}

/// The reason and message of Late, once it is True for this reason.
fn promise(job: &ImageJob, reason: JobReason) -> Option<(String, String)> {
    let late = find_condition(&job.status.as_ref()?.conditions, ConditionType::Late)?;
    (late.status == "True" && late.reason == reason.as_str())
        .then(|| (late.reason.clone(), late.message.clone()))
}

async fn suspend(studio: &Studio<'_>, suspend: bool) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "suspend": suspend } }));
    studio.api::<WorkerPool>().patch("sd15", &PatchParams::default(), &patch).await?;
    Ok(())
}
