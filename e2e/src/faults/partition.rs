//! A worker that is cut off from Redis alone: it works on, and writes too late.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Fault, Proxy, wait_for};

use super::{
    Made, Stand, Verdict,
    machine::{Machine, MachineOptions},
};
use crate::jobs::text_to_image;

const SOON: Duration = Duration::from_secs(60);
/// The picture takes twice as long as a lease lasts: another worker has it long before the first one is done.
const STEPS: u32 = 80;
const STEP: Duration = Duration::from_millis(250);

/// A worker is cut off in the middle of a picture. Another gets the picture; both finish and upload it. Then the first
/// one is back.
///
/// # Errors
/// When the job does not end, or not by the second worker.
pub async fn a_late_write(stand: &Stand) -> Result<Verdict> {
    let mut operator = stand.leader("partition").await?;
    let studio = stand.studio("partition", stand.s3().await, 0).await?;
    let mut way = Proxy::start(stand.redis().await.to_string()).await?;
    let record = stand.world.files().join("partition.steps");
    let machine =
        |name: &'static str, redis| MachineOptions { name, redis, step: STEP, record: &record, engine: &[] };
    let first = Machine::start(stand, &studio, &machine("cut-off", way.address())).await?;
    studio.submit("island", text_to_image("an island", STEPS, 1)).await?;
    let queue = studio.queue().await?;
    wait_for("the first worker to have begun", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        leases.iter().any(|lease| lease.progress.is_some_and(|(done, _)| done > 0)).then_some(())
    })
    .await?;
    way.set(Fault::Silent).await;
    let second = Machine::start(stand, &studio, &machine("reachable", stand.redis().await)).await?;
    wait_for("the second worker to have the picture", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        leases.iter().any(|lease| lease.worker.0 == "reachable").then_some(())
    })
    .await?;
    // The first one's picture is in the bucket, or will be; what it then has to say is of no use any more.
    wait_for("a picture to be uploaded", SOON, async || {
        let objects = stand.world.objects("partition/").await.ok()?;
        (objects > 0).then_some(())
    })
    .await?;
    way.set(Fault::None).await;
    let island = studio.complete("island", SOON).await?;
    let attempts = island.result(0)?.attempts;
    ensure!(attempts == 2, "{attempts} attempts");
    let verdict = stand.verdict(&studio, Made::read(&record)?).await?;
    stand.close(&studio).await?;
    drop((first, second));
    operator.process().terminate()?;
    Ok(verdict)
}
