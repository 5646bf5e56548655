//! A whole zone dies at once: 16 workers of 16, in the middle of their pictures.
//!
//! A picture takes 50 steps of 0.15 s, in about seven segments: one of 70 s with the default segments of 10 s, nine
//! times as fast.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Result, ensure};
use testkit::wait_for;

use super::{
    Made, Stand, Verdict,
    machine::{Machine, MachineOptions, vanish},
    picture,
};
use crate::jobs::Studio;

/// Workers in the zone.
pub const WORKERS: usize = 16;
const STEPS: u32 = 50;
const STEP: Duration = Duration::from_millis(150);
/// By what a pool takes for granted before it has made any, such a picture takes about 15 s.
const SEGMENT_SECONDS: u32 = 2;
const SEGMENTS: RangeInclusive<u32> = 6..=8;
const JOBS: u32 = 4;
/// Three for each worker.
const IMAGES: u32 = 48 / JOBS;
const SOON: Duration = Duration::from_secs(60);
/// Replacements do the rest; their work alone takes 25 s.
const ALL: Duration = Duration::from_secs(120);

/// The zone vanishes `after` all of its workers have begun with a picture. Another zone takes over.
///
/// # Errors
/// When a job does not end.
pub async fn kill(stand: &Stand, name: &str, after: Duration) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = Studio::open(&stand.world, name, |spec| {
        spec["output"]["keyPrefix"] = format!("{name}/").into();
        spec["segmentSeconds"] = SEGMENT_SECONDS.into();
    })
    .await?;
    let record = stand.world.files().join(format!("{name}.steps"));
    let redis = stand.redis().await;
    let zone = async |zone: &str| {
        let name = format!("{name}-{zone}");
        let options = MachineOptions { name: &name, redis, step: STEP, record: &record, engine: &[] };
        Machine::start_many(stand, &studio, &options, WORKERS).await
    };
    let zone_a = zone("a").await?;
    for n in 0..JOBS {
        let spec = picture(&format!("a coast, {n}"), STEPS, IMAGES);
        studio.submit(&format!("coast-{n}"), spec).await?;
    }
    let queue = studio.queue().await?;
    wait_for("every worker to have begun", SOON, async || {
        let leases = queue.stats().await.ok()?.leases;
        let begun = leases.iter().filter(|lease| lease.progress.is_some_and(|(done, _)| done > 0)).count();
        (begun >= WORKERS).then_some(())
    })
    .await?;
    tokio::time::sleep(after).await;
    vanish(&zone_a)?;
    let zone_b = zone("b").await?;
    for n in 0..JOBS {
        let job = studio.complete(&format!("coast-{n}"), ALL).await?;
        let segments = job.job.status.and_then(|status| status.segments);
        ensure!(segments.is_some_and(|n| SEGMENTS.contains(&n)), "{segments:?} segments");
    }
    let verdict = stand.verdict(&studio, Made::read(&record)?).await?;
    stand.close(&studio).await?;
    drop((zone_a, zone_b));
    operator.process().terminate()?;
    Ok(verdict)
}
