//! What is still there but wrong: leaders, clocks, Redis, jobs, workers and pools.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    EngineOptions, World, WorldOptions,
    faults::{
        Stand, Verdict, bad_worker, changes, clocks, large, memory, never_up, poison, shares, slow_api,
        split_brain::{self, OldLeader},
        wipe::{self, Loss},
    },
};

use super::report::{Case, Report};

/// Workers that are busy when Redis forgets everything.
const BUSY: u32 = 16;
/// How long the API server is slow.
const SLOW: Duration = Duration::from_secs(60);
/// Of all steps, those that may be taken again when Redis is wiped.
const REDONE: f64 = 0.05;
/// The operator's memory limit in its Deployment, 256 MiB.
const MEMORY_MB: f64 = 268.0;
/// Claims of a job that ends engines, for each of an honest tenant's.
const POISON: f64 = 0.10;

/// The cases that need no machines.
pub(crate) async fn on_the_stand(report: &mut Report, stand: &Stand) {
    report.case("leader cut off from the API server, or Redis", async || split_brains(stand).await).await;
    report.case("Redis wiped under 16 busy workers", async || wiped(stand).await).await;
    report.case("a job that ends every engine", async || poisoned(stand).await).await;
    report
        .case("clocks that disagree and jump", async || {
            Ok(Case::once(clocks::that_disagree(stand, "clocks").await?))
        })
        .await;
    report
        .case("API server takes 5 s an answer", async || {
            let verdict = slow_api::five_seconds_an_answer(stand, "slow", SLOW).await?;
            Ok(Case::new(format!("{} s", SLOW.as_secs()), verdict))
        })
        .await;
    report
        .case("Redis full, and restarted", async || {
            Ok(Case::once(memory::full_and_restarted(stand, "full").await?))
        })
        .await;
    report.case("Redis drops keys", async || Ok(Case::once(memory::evicted(stand, "evicted").await?))).await;
    report
        .case("class, ConfigMap, pool changed and removed", async || {
            Ok(Case::once(changes::of_what_jobs_refer_to(stand, "changes").await?))
        })
        .await;
    report
        .case("graphs as large as they may be", async || {
            let peak = large::graphs(stand, "large").await?;
            let verdict = Verdict { jobs: large::JOBS, ..Verdict::default() };
            Ok(Case::new(format!("{peak:.0} MB"), verdict).at_most(
                "faults.rss_mb_large_graphs",
                peak,
                MEMORY_MB,
            ))
        })
        .await;
    report
        .case("late bulk job, fresh and urgent ones", async || {
            Ok(Case::once(shares::beside_a_late_bulk_job(stand, "shares").await?))
        })
        .await;
}

/// The cases with kubelets and machines.
pub(crate) async fn on_machines(report: &mut Report) {
    const BAD: &str = "one bad worker among four";
    const NEVER: &str = "workers that never come up";
    if ![BAD, NEVER].iter().any(|name| report.selects(name)) {
        return;
    }
    let options = WorldOptions { engine: EngineOptions::quick(), ..WorldOptions::default() };
    let world = match World::start(&options).await {
        Ok(world) => world,
        Err(error) => return report.fail("a cluster with machines", &error),
    };
    report.case(BAD, async || bad_workers(&world).await).await;
    report.case(NEVER, async || never_up(&world).await).await;
}

async fn split_brains(stand: &Stand) -> Result<Case> {
    let runs = [
        split_brain::without_the_api_server(stand, "split", OldLeader::Awake).await?,
        split_brain::without_the_api_server(stand, "split-frozen", OldLeader::Frozen).await?,
        split_brain::without_redis(stand, "split-redis").await?,
    ];
    let lost: usize = runs.iter().map(|run| run.lost).sum();
    let mut all = Verdict::default();
    runs.iter().for_each(|run| all.add(run.verdict.clone()));
    let acted = runs.map(|run| format!("{:.0}", run.led_on.as_secs_f64())).join(", ");
    Ok(Case::new(format!("acted for {acted} s"), all).at_most("faults.split_brain_lost", number(lost), 0.0))
}

async fn wiped(stand: &Stand) -> Result<Case> {
    let flushed = wipe::while_all_work(stand, "flushed", BUSY, Loss::Flushed).await?;
    let lost = wipe::while_all_work(stand, "disk", BUSY, Loss::Disk).await?;
    let redone = flushed.redone_share().max(lost.redone_share());
    let mut all = flushed;
    all.add(lost);
    Ok(Case::new("flushed; with its disk".to_owned(), all).at_most(
        "faults.redone_after_wipe",
        redone,
        REDONE,
    ))
}

async fn poisoned(stand: &Stand) -> Result<Case> {
    let run = poison::beside_an_honest_tenant(stand, "tenants").await?;
    let done = format!("{} engines died", run.deaths);
    Ok(Case::new(done, run.verdict).at_most("faults.poison_share", run.share, POISON))
}

async fn bad_workers(world: &World) -> Result<Case> {
    let runs = [
        bad_worker::among_four(world, "no-model", &bad_worker::no_models()).await?,
        bad_worker::among_four(world, "no-node", &bad_worker::no_sampler()).await?,
    ];
    let jobs = runs.len() * bad_worker::JOBS;
    let lost: usize = runs.iter().map(|run| run.lost).sum();
    let images = runs.iter().map(|run| run.images).sum();
    let out = runs.map(|run| format!("{:.0}", run.taken_out.as_secs_f64())).join(", ");
    let verdict = Verdict { jobs, images, lost, ..Verdict::default() };
    Ok(Case::new(format!("out after {out} s"), verdict).at_most("faults.bad_worker_lost", number(lost), 0.0))
}

async fn never_up(world: &World) -> Result<Case> {
    let told = never_up::blocked(world).await?;
    let told = told.map(|took| format!("{:.0}", took.as_secs_f64())).join(", ");
    Ok(Case::new(format!("told after {told} s"), Verdict::default()))
}

#[allow(clippy::cast_precision_loss)]
fn number(n: usize) -> f64 {
    n as f64
}
