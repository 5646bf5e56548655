//! Measures the HTTP API: api-server processes beside a real API server and Redis. No operator and no worker run; what
//! they would write, the benchmark writes.

mod added;
mod connection;
mod duplicates;
mod lag;
mod memory;
mod read;
mod replica;
mod stage;
mod submit;

use anyhow::Result;
use stage::Stage;

use crate::report::Figures;

/// Runs all of it on a control plane of its own.
pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let stage = Stage::set().await?;
    let replica = stage.replica().await?;
    progress("a picture over HTTP and by kubectl");
    figures.insert("api.added_latency_ms".into(), added::median_ms(&stage, &replica).await?);
    progress("how soon progress is told");
    figures.insert("api.event_lag_ms_p99".into(), lag::p99_ms(&stage, &replica).await?);
    progress("submissions and plain creates");
    let jobs = submit::measure(&stage, &replica, figures).await?;
    progress("reads of jobs");
    figures.insert("api.read_per_s".into(), read::per_second(&stage, &replica, &jobs).await?);
    drop(replica);
    progress("submissions while replicas are killed");
    stage.delete_jobs().await?;
    let jobs = duplicates::measure(&stage, figures).await?;
    progress("the memory of a replica with 10,000 jobs and 1,000 streams");
    figures.insert("api.rss_mb".into(), memory::rss_mb(&stage, &jobs).await?);
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the table alone goes to standard output")]
fn progress(what: &str) {
    eprintln!("measuring {what} …");
}
