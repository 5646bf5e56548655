//! Redis forgets everything while all workers are in the middle of a picture.

use std::time::Duration;

use anyhow::Result;

use super::{
    Stand, Verdict,
    crew::{Crew, CrewOptions},
};

/// A picture takes 7.5 s.
const STEPS: u32 = 50;
const STEP: Duration = Duration::from_millis(150);
/// For each worker.
const PICTURES: u32 = 2;
const JOBS: u32 = 4;
const ALL: Duration = Duration::from_secs(120);

/// How Redis loses what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// FLUSHALL.
    Flushed,
    /// It is killed, and starts again on an empty disk.
    Disk,
}

/// All of so many workers are at work when Redis loses everything; what they are making must not be made again.
///
/// # Errors
/// When a job does not end.
pub async fn while_all_work(stand: &Stand, name: &str, workers: u32, loss: Loss) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    let options = CrewOptions { machines: usize::try_from(workers)?, steps: STEPS, step: STEP, engine: &[] };
    let crew = Crew::start(stand, studio, &options).await?;
    let jobs: Vec<_> = (0..JOBS).map(|n| format!("meadow-{n}")).collect();
    for job in &jobs {
        crew.submit(job, workers * PICTURES / JOBS).await?;
    }
    crew.all_at_work().await?;
    match loss {
        Loss::Flushed => stand.world.wipe_redis().await?,
        Loss::Disk => stand.world.lose_redis().await?,
    }
    for job in &jobs {
        crew.studio.complete(job, ALL).await?;
    }
    let verdict = crew.close().await?;
    operator.process().terminate()?;
    Ok(verdict)
}
