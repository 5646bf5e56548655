//! Clocks that disagree: Redis is a minute behind the operator and the API server six seconds ahead of it; then Redis'
//! clock jumps, while pictures are made.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::conditions::{ConditionType, is_true};
use testkit::Clock;

use super::{
    Stand, Verdict,
    crew::{Crew, CrewOptions, thrown_away},
};

/// The API server keeps the machine's time, so the operator's is behind.
const OPERATOR_MS: i64 = -6_000;
const REDIS_MS: i64 = OPERATOR_MS - 60_000;
const JUMP_MS: i64 = 20_000;
/// A picture takes 3 s.
const STEPS: u32 = 60;
const STEP: Duration = Duration::from_millis(50);
const MACHINES: usize = 3;
/// For each machine, in two jobs.
const PICTURES: u32 = 4;
/// Longer than the work takes, and much shorter than the clocks are apart.
const SLA_SECONDS: u32 = 45;
const TAKEN_BACK: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(90);

/// All clocks differ, and Redis' jumps forth and back: no lease ends for it, a job that is in time is not said to be late,
/// and the picture of a worker that did die comes back as ever.
///
/// # Errors
/// When a job does not end, or anything of the above is not so.
pub async fn that_disagree(stand: &Stand, name: &str) -> Result<Verdict> {
    let of_redis = stand.redis_clock().context("this machine can give a process no clock of its own")?;
    let restored = Restored(of_redis);
    of_redis.set_ms(REDIS_MS)?;
    let of_operator = Clock::new()?;
    of_operator.set_ms(OPERATOR_MS)?;
    let mut operator = stand.operator_by(name, stand.api(), stand.redis().await, Some(of_operator))?;
    operator.leads().await?;
    let studio =
        stand.studio_with(name, |spec| spec["classes"][1]["slaSeconds"] = SLA_SECONDS.into()).await?;
    let options = CrewOptions { machines: MACHINES, steps: STEPS, step: STEP, engine: &[] };
    let mut crew = Crew::start(stand, studio, &options).await?;
    let images = PICTURES / 2 * u32::try_from(MACHINES)?;
    crew.submit("calm", images).await?;
    for jump in [JUMP_MS, 0] {
        crew.all_at_work().await?;
        of_redis.set_ms(REDIS_MS + jump)?;
    }
    let calm = crew.studio.complete("calm", SOON).await?;
    let conditions = calm.job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    ensure!(!is_true(&conditions, ConditionType::Late), "a job in time is said to be late: {conditions:#?}");
    let again = thrown_away(&[calm]);
    ensure!(again == 0, "{again} pictures were begun again, as their leases ended");

    crew.submit("rough", images).await?;
    crew.all_at_work().await?;
    let took = crew.lose_one().await?;
    ensure!(took <= TAKEN_BACK, "a dead worker's picture came back after {took:?}");
    crew.studio.complete("rough", SOON).await?;
    let verdict = crew.close().await?;
    operator.process().terminate()?;
    drop(restored);
    Ok(verdict)
}

/// Sets Redis' clock right when it goes: other cases use the same Redis.
struct Restored<'a>(&'a Clock);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_ms(0) {
            tracing::error!(%error, "Redis' clock stays wrong");
        }
    }
}
