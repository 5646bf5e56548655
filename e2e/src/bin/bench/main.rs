//! Measures the control plane: how many jobs a second pass through the operator, against what the same API server does
//! without it; how fast a burst turns into Pods; how soon a job hears that no worker has its model; how little is written
//! while nothing turns; how much memory many jobs take. Prints a table and gathers the figures of all benchmarks in
//! target/bench/summary.json.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod bullmq;
mod ceiling;
mod kept;
mod pipeline;
mod reject;
mod report;
mod writes;

use anyhow::Result;
use report::Figures;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let mut figures = Figures::default();
    bullmq::measure(&mut figures).await?;
    pipeline::measure(&mut figures).await?;
    report::finish(figures)
}
