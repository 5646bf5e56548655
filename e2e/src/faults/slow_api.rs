//! The API server answers, but every answer takes five seconds.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::{Fault, Proxy};

use super::{
    Stand, Verdict,
    crew::{Crew, CrewOptions},
};

/// In each direction.
const SLOW: Fault = Fault::Delay(Duration::from_millis(2500));
/// A lease lasts 10 s, and one may have been renewed just before its worker died.
const TAKEN_BACK: Duration = Duration::from_secs(12);
/// A picture takes 4 s.
const STEPS: u32 = 40;
const STEP: Duration = Duration::from_millis(100);
const MACHINES: usize = 3;
const SOON: Duration = Duration::from_secs(120);

/// The API server is slow for so long: the operator starts to lead and leads on, and what dead workers held comes back
/// in time, at the beginning and at the end of that time.
///
/// # Errors
/// When leadership is lost, a picture comes back late, or a job does not end.
pub async fn five_seconds_an_answer(stand: &Stand, name: &str, lasts: Duration) -> Result<Verdict> {
    let mut way = Proxy::start(stand.api().to_string()).await?;
    way.set(SLOW).await;
    let mut operator = stand.operator(name, way.address(), stand.redis().await)?;
    operator.leads().await?;
    let since = Instant::now();
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    let options = CrewOptions { machines: MACHINES, steps: STEPS, step: STEP, engine: &[] };
    let mut crew = Crew::start(stand, studio, &options).await?;
    // Enough for the two that are left for most of this time.
    let images = u32::try_from(lasts.as_secs())? / 4 * 2 + 2;
    crew.submit("slow", images).await?;
    crew.all_at_work().await?;
    for round in 0..2 {
        if round > 0 {
            tokio::time::sleep_until((since + lasts.saturating_sub(TAKEN_BACK)).into()).await;
        }
        let took = crew.lose_one().await?;
        ensure!(took <= TAKEN_BACK, "a dead worker's picture came back after {took:?}");
        ensure!(operator.process().is_running(), "the operator ended:\n{}", stand.log(name));
        ensure!(operator.metric("imagejob_leader").await? > 0.0, "it leads no more:\n{}", stand.log(name));
    }
    way.set(Fault::None).await;
    crew.studio.complete("slow", SOON).await?;
    let verdict = crew.close().await?;
    operator.process().terminate()?;
    Ok(verdict)
}
