//! The quick part of the fault suite; `make faults` does all of it.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::faults::{
    Stand, Verdict,
    crash::Crash,
    operators, partition, poison,
    split_brain::{self, OldLeader},
    wipe::{self, Loss},
    zone,
};

/// One of ten is spent twice at most: one loss here is a larger share than in the suite's many.
const REDONE: f64 = 0.1;
const REDONE_AFTER_WIPE: f64 = 0.05;
const POISON_SHARE: f64 = 0.1;

pub(crate) async fn the_operator_is_killed_after_some_of_its_effects() -> Result<()> {
    const KILLS: usize = 12;
    let stand = Stand::start().await?;
    let crash = Crash::prepare(&stand).await?;
    let spread = |effects: usize| (1..=KILLS).map(|n| n * effects / (KILLS + 1)).collect();
    clean(&crash.run(spread).await?.verdict)
}

pub(crate) async fn operators_see_late_and_are_restarted_all_the_time() -> Result<()> {
    let stand = Stand::start().await?;
    clean(&operators::late_and_missed_events(&stand).await?)?;
    clean(&operators::restarted_all_the_time(&stand).await?)
}

pub(crate) async fn a_worker_that_is_cut_off_writes_too_late() -> Result<()> {
    clean(&partition::a_late_write(&Stand::start().await?).await?)
}

pub(crate) async fn all_workers_of_a_zone_are_killed() -> Result<()> {
    const IN_THE_SECOND_PICTURE: Duration = Duration::from_secs(7);
    let verdict = zone::kill(&Stand::start().await?, "zone", IN_THE_SECOND_PICTURE).await?;
    clean(&verdict)?;
    ensure!(verdict.redone_share() <= REDONE, "{verdict:?}");
    Ok(())
}

pub(crate) async fn a_leader_without_the_api_server_does_no_harm() -> Result<()> {
    let stand = Stand::start().await?;
    let run = split_brain::without_the_api_server(&stand, "split", OldLeader::Awake).await?;
    clean(&run.verdict)?;
    ensure!(run.lost == 0, "{} images or attempts are lost", run.lost);
    Ok(())
}

pub(crate) async fn a_wiped_redis_and_a_job_that_ends_engines_cost_others_little() -> Result<()> {
    const BUSY: u32 = 4;
    let stand = Stand::start().await?;
    let verdict = wipe::while_all_work(&stand, "flushed", BUSY, Loss::Flushed).await?;
    clean(&verdict)?;
    ensure!(verdict.redone_share() <= REDONE_AFTER_WIPE, "{verdict:?}");
    let run = poison::beside_an_honest_tenant(&stand, "tenants").await?;
    clean(&run.verdict)?;
    ensure!(run.share <= POISON_SHARE, "{run:?}");
    Ok(())
}

fn clean(verdict: &Verdict) -> Result<()> {
    ensure!(verdict.is_clean(), "{verdict:#?}");
    Ok(())
}
