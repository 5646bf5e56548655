//! The fault suite: does what may go wrong to the system as it is deployed, prints a table case by case and writes
//! target/faults/summary.json. Fails when anything was lost, made twice, or told wrongly.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod report;
mod wrong;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use e2e::faults::{Stand, Verdict, crash::Crash, notices, operators, partition, zone};
use report::{Case, Report};

/// Does what may go wrong to the system as it is deployed.
#[derive(Parser)]
struct Options {
    /// Only cases whose name contains this.
    #[arg(default_value = "")]
    filter: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("warn,kube_client=off,e2e=info")
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let mut report = Report::new(options.filter);
    tokio::select! {
        result = suite(&mut report) => result?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    report.finish()
}

async fn suite(report: &mut Report) -> Result<()> {
    let stand = Stand::start().await?;
    let every = |effects: usize| (0..=effects).collect();
    report
        .case("operator killed after every effect", async || {
            let crash = Crash::prepare(&stand).await?;
            let run = crash.run(every).await?;
            let done = format!("{} of {} effects", run.killed_after.len(), run.effects);
            Ok(Case::new(done, run.verdict))
        })
        .await;
    report
        .case("watch slow, silent, cut", async || {
            Ok(Case::once(operators::late_and_missed_events(&stand).await?))
        })
        .await;
    report
        .case("operator restarted all the time", async || {
            Ok(Case::once(operators::restarted_all_the_time(&stand).await?))
        })
        .await;
    report.case("two leaders", async || Ok(Case::once(operators::two_leaders(&stand).await?))).await;
    report
        .case("worker cut off, writes late", async || Ok(Case::once(partition::a_late_write(&stand).await?)))
        .await;
    report.case("16 of 16 workers of a zone killed", async || zone_kills(&stand).await).await;
    wrong::on_the_stand(report, &stand).await;
    drop(stand);
    report.case("notices on real machines", notices).await;
    Ok(())
}

/// From notice to claimable again; of so few, the 99th percentile is the longest.
async fn notices() -> Result<Case> {
    let notices::Report { mut requeued_after, verdict } = notices::requeue().await?;
    requeued_after.sort();
    let p99 = requeued_after.get((requeued_after.len() * 99).div_ceil(100) - 1).context("no notices")?;
    let mut case = Case::new(format!("{} notices", requeued_after.len()), verdict);
    case.figures.insert("faults.requeue_p99_ms".to_owned(), p99.as_secs_f64() * 1e3);
    Ok(case)
}

/// Ten zones, each killed at another moment of the first ten seconds.
async fn zone_kills(stand: &Stand) -> Result<Case> {
    const TRIALS: u32 = 10;
    let mut all = Verdict::default();
    for trial in 0..TRIALS {
        // Evenly spread whatever their number, and none at a round second.
        let after = Duration::from_millis(u64::from(trial * 6180 % 10_000));
        all.add(zone::kill(stand, &format!("zone-{trial}"), after).await?);
    }
    let mut case = Case::new(format!("{TRIALS} trials"), all.clone());
    #[allow(clippy::cast_precision_loss)]
    let figures = [
        ("faults.zone_kill_lost", all.lost as f64),
        ("faults.zone_kill_doubled", all.doubled as f64),
        ("faults.zone_kill_redone", all.redone_share()),
    ];
    case.figures.extend(figures.map(|(key, figure)| (key.to_owned(), figure)));
    Ok(case)
}
