//! Operators that see the cluster late, are restarted all the time, or believe that they still lead.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, stream};
use testkit::{Fault, Proxy, wait_for};

use super::{Effects, Gate, InstantEngine, Stand, Verdict, Wire, picture};
use crate::jobs::Studio;

const SOON: Duration = Duration::from_secs(60);
/// Images of each job that stays.
const IMAGES: u32 = 3;

/// The way to the API server is slow, silent and cut, once each, so that the operator sees late what is, and misses
/// what comes and goes meanwhile.
///
/// # Errors
/// When a job does not end.
pub async fn late_and_missed_events(stand: &Stand) -> Result<Verdict> {
    let mut way = Proxy::start(stand.api().to_string()).await?;
    let operator = stand.operator("late", way.address(), stand.redis().await)?;
    operator.leads().await?;
    let studio = stand.studio("late", stand.s3().await, 0).await?;
    let engine = InstantEngine::start(&studio).await?;
    // In the middle of an event, for one.
    let faults =
        [Fault::Delay(Duration::from_millis(300)), Fault::Silent, Fault::CutAfter(1500), Fault::Reset];
    for (n, fault) in faults.into_iter().enumerate() {
        let (stays, goes) = (format!("stays-{n}"), format!("goes-{n}"));
        way.set(fault).await;
        studio.submit(&stays, picture(&stays, 1, IMAGES)).await?;
        // The same name twice: an old result must not be taken for a new one's.
        for time in ["first", "second"] {
            studio.submit(&goes, picture(&format!("{goes}, the {time}"), 1, IMAGES)).await?;
            studio.delete(&goes).await?;
        }
        way.set(Fault::None).await;
        studio.complete(&stays, SOON).await?;
    }
    ended(stand, &studio, &engine).await
}

/// The operator is killed every 100 to 700 ms while jobs are created and deleted: at first before it leads, later in
/// the middle of its work.
///
/// # Errors
/// When a job does not end.
pub async fn restarted_all_the_time(stand: &Stand) -> Result<Verdict> {
    const ROUNDS: u32 = 20;
    let studio = stand.studio("restarted", stand.s3().await, 0).await?;
    let engine = InstantEngine::start(&studio).await?;
    let start = async || stand.operator("restarted", stand.api(), stand.redis().await);
    for round in 0..ROUNDS {
        let mut operator = start().await?;
        let begun = Instant::now();
        let (stays, goes) = (format!("stays-{round}"), format!("goes-{round}"));
        studio.submit(&stays, picture(&stays, 1, IMAGES)).await?;
        studio.submit(&goes, picture(&goes, 1, IMAGES)).await?;
        studio.delete(&goes).await?;
        let life = Duration::from_millis(100 + u64::from(round % 5) * 150);
        tokio::time::sleep_until((begun + life).into()).await;
        operator.process().kill9()?;
    }
    let operator = start().await?;
    operator.leads().await?;
    let names: Vec<_> = (0..ROUNDS).map(|round| format!("stays-{round}")).collect();
    let all = stream::iter(&names).map(|name| studio.complete(name, SOON)).buffer_unordered(4);
    let all: Vec<_> = all.collect().await;
    all.into_iter().collect::<Result<Vec<_>>>()?;
    ended(stand, &studio, &engine).await
}

/// The leader freezes in the middle of its work, what it has just sent still on its way. Another takes over and does
/// the work. Then the old one wakes, its last requests arrive, and it still believes that it leads.
///
/// # Errors
/// When a job does not end, or the old leader goes on.
pub async fn two_leaders(stand: &Stand) -> Result<Verdict> {
    /// By then it has begun with the jobs.
    const EFFECTS: usize = 25;
    let effects = Effects::default();
    let api = Gate::open(stand.api(), Wire::Http, &effects).await?;
    let redis = Gate::open(stand.redis().await, Wire::Redis, &effects).await?;
    let studio = stand.studio("leaders", stand.s3().await, 0).await?;
    let engine = InstantEngine::start(&studio).await?;
    effects.begin(Some(EFFECTS));
    let mut old = stand.operator("leader-old", api.address(), redis.address())?;
    studio.submit("first", picture("first", 1, IMAGES)).await?;
    studio.submit("second", picture("second", 1, IMAGES)).await?;
    tokio::time::timeout(SOON, effects.shut()).await?;
    old.process().pause()?;

    let new = stand.operator("leader-new", stand.api(), stand.redis().await)?;
    new.leads().await?;
    studio.submit("third", picture("third", 1, IMAGES)).await?;
    for job in ["first", "second", "third"] {
        studio.complete(job, SOON).await?;
    }
    effects.open();
    old.process().resume()?;
    let ended_itself = async || (!old.process().is_running()).then_some(());
    wait_for("the old leader to end", SOON, ended_itself).await?;
    studio.submit("fourth", picture("fourth", 1, IMAGES)).await?;
    studio.complete("fourth", SOON).await?;
    ensure!(studio.workers().await?.len() <= 6, "more workers than the pool may have");
    ended(stand, &studio, &engine).await
}

async fn ended(stand: &Stand, studio: &Studio<'_>, engine: &InstantEngine) -> Result<Verdict> {
    let verdict = stand.verdict(studio, engine.made()).await?;
    stand.close(studio).await?;
    Ok(verdict)
}
