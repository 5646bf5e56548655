//! Measures the control plane: how many jobs a second pass through the operator, against what the same API server does
//! without it; how fast a burst turns into Pods; how soon a job hears that no worker has its model; how little is written
//! while nothing turns; how much memory many jobs take; the same of the HTTP API. Given `bullmq`, `control` or `api`, it
//! measures that alone. Prints a table and gathers the figures of all benchmarks in
//! target/bench/summary.json.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod api;
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
    let only = std::env::args().nth(1);
    let is_asked = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut figures = Figures::default();
    if is_asked("bullmq") {
        bullmq::measure(&mut figures).await?;
    }
    if is_asked("control") {
        pipeline::measure(&mut figures).await?;
    }
    if is_asked("api") {
        api::measure(&mut figures).await?;
    }
    report::finish(figures)
}
