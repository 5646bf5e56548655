//! BullMQ beside our queue: the same kind of Redis, in the same run.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use testkit::{Persistence, Redis, RedisOptions};
use tokio::process::Command;

use crate::report::Figures;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/bullmq.sh");

/// Jobs per second, as `e2e/bullmq/bench.js` prints them.
#[derive(Deserialize)]
struct Rates {
    /// Added one by one.
    single: f64,
    /// Added in bulk.
    bulk: f64,
}

/// Measures it, where there is Node; says so where there is none.
///
/// # Errors
/// When Redis does not start, or BullMQ fails.
#[allow(clippy::print_stderr, reason = "the table alone goes to standard output")]
pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let found = Command::new(SCRIPT).output().await.with_context(|| format!("can't run {SCRIPT}"))?;
    if !found.status.success() {
        eprintln!("BullMQ is left out: {}", String::from_utf8_lossy(&found.stderr).trim());
        return Ok(());
    }
    let folder = String::from_utf8(found.stdout)?;
    // As the queue's benchmark starts its own.
    let redis =
        Redis::start(RedisOptions { persistence: Persistence::AppendOnly, ..RedisOptions::default() })
            .await?;
    let bench = Path::new(folder.trim()).join("bench.js");
    let output = Command::new("node").arg(&bench).arg(redis.url()).output().await?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {words}", bench.display());
    let Rates { single, bulk } =
        serde_json::from_slice(&output.stdout).context("what BullMQ's bench printed")?;
    figures.extend([
        ("queue.bullmq_single_per_s".to_owned(), single),
        ("queue.bullmq_bulk_per_s".to_owned(), bulk),
    ]);
    Ok(())
}
