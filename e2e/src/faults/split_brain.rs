//! A leader that has lost half of its network: the API server or Redis. Another one takes over, and whatever the first
//! one still does is of no consequence.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::{Fault, Proxy, wait_for};

use super::{
    Stand, Verdict,
    crew::{Crew, CrewOptions, thrown_away},
    machine::vanish,
};
use crate::{Finished, Operator};

const SOON: Duration = Duration::from_secs(60);
/// A Lease lasts as long; by its end the old leader has stopped.
const LEASE: Duration = Duration::from_secs(15);
/// A picture takes 3 s.
const STEPS: u32 = 60;
const STEP: Duration = Duration::from_millis(50);
const MACHINES: usize = 2;
/// More than is made until another leads.
const LONG: u32 = 10;
const SHORT: u32 = 4;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What became of the jobs.
    pub verdict: Verdict,
    /// Images that are missing, and attempts that were thrown away.
    pub lost: usize,
    /// How long the old leader still acted.
    pub led_on: Duration,
}

/// How the old leader is, besides being cut off from the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldLeader {
    /// It runs on.
    Awake,
    /// It is frozen until another has taken over and put jobs of its own on the queue.
    Frozen,
}

/// The leader is cut off from the API server, not from Redis. It does not see what is created meanwhile, and must not
/// take it for gone.
///
/// # Errors
/// When a job does not end, or the old leader goes on.
pub async fn without_the_api_server(stand: &Stand, name: &str, old: OldLeader) -> Result<Report> {
    let mut way = Proxy::start(stand.api().to_string()).await?;
    let redis = stand.redis().await;
    let mut first = stand.operator(&format!("{name}-first"), way.address(), redis)?;
    first.leads().await?;
    let mut second = stand.operator(&format!("{name}-second"), stand.api(), redis)?;
    let crew = start(stand, name).await?;
    crew.submit("seen", LONG).await?;
    crew.all_at_work().await?;

    way.set(Fault::Silent).await;
    let cut = Instant::now();
    if old == OldLeader::Frozen {
        first.process().pause()?;
    }
    crew.submit("unseen", LONG).await?;
    if old == OldLeader::Awake {
        ended(&mut first).await?;
    }
    let mut led_on = cut.elapsed();
    second.leads().await?;
    crew.studio
        .until("unseen", "to be queued", SOON, |job| job.status.as_ref()?.accepted_time.clone())
        .await?;
    if old == OldLeader::Frozen {
        first.process().resume()?;
        let woken = Instant::now();
        ended(&mut first).await?;
        led_on = woken.elapsed();
    }
    ensure!(led_on <= LEASE, "the old leader acted for {led_on:?}\n{}", stand.log(&format!("{name}-first")));
    crew.all_at_work().await.context("the workers are evicted")?;
    let jobs = [crew.studio.ended("seen", SOON).await?, crew.studio.ended("unseen", SOON).await?];
    let verdict = crew.close().await?;
    second.process().terminate()?;
    Ok(Report { verdict, lost: lost(&jobs), led_on })
}

/// The leader is cut off from Redis, not from the API server, so it keeps its Lease; and a worker dies, whose picture
/// nobody takes back while it leads.
///
/// # Errors
/// When no other leads, or a job does not end.
pub async fn without_redis(stand: &Stand, name: &str) -> Result<Report> {
    let mut way = Proxy::start(stand.redis().await.to_string()).await?;
    let first = stand.operator(&format!("{name}-first"), stand.api(), way.address())?;
    first.leads().await?;
    let mut second = stand.operator(&format!("{name}-second"), stand.api(), stand.redis().await)?;
    let mut crew = start(stand, name).await?;
    crew.submit("before", SHORT).await?;
    crew.all_at_work().await?;

    way.set(Fault::Silent).await;
    let cut = Instant::now();
    vanish(&crew.machines[..1])?;
    crew.machines.remove(0);
    crew.submit("after", SHORT).await?;
    second.leads().await?;
    let led_on = cut.elapsed();
    ensure!(first.metric("imagejob_leader").await? == 0.0, "two leaders");
    let jobs = [crew.studio.ended("before", SOON).await?, crew.studio.ended("after", SOON).await?];
    way.set(Fault::None).await;
    let verdict = crew.close().await?;
    second.process().terminate()?;
    // One attempt died with its machine.
    Ok(Report { verdict, lost: lost(&jobs).saturating_sub(1), led_on })
}

async fn start<'a>(stand: &'a Stand, name: &str) -> Result<Crew<'a>> {
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    let options = CrewOptions { machines: MACHINES, steps: STEPS, step: STEP, engine: &[] };
    Crew::start(stand, studio, &options).await
}

async fn ended(operator: &mut Operator) -> Result<()> {
    let ended = async || (!operator.process().is_running()).then_some(());
    wait_for("the old leader to end", SOON, ended).await
}

/// What was lost of these jobs: images, and attempts that were thrown away.
fn lost(jobs: &[Finished]) -> usize {
    jobs.iter().map(Finished::missing).sum::<usize>() + thrown_away(jobs)
}
