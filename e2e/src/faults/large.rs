//! Many jobs at once whose graphs are as large as they may be.

use std::time::Duration;

use anyhow::Result;
use crds::conditions::JobReason;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};
use testkit::wait_for;

use super::{Stand, picture};

/// Jobs at once.
pub const JOBS: usize = 100;
const AT_ONCE: usize = 8;
/// About 490 KB: the API server refuses a graph of more than 10,000 inputs.
const NODES: usize = 99;
const INPUTS: usize = 100;
const SOON: Duration = Duration::from_secs(120);

/// Small things in great number take the most memory for their size. The jobs are queued, and then the operator is started
/// again, which reads them all once more. Returns the most memory that it used, MB (10^6 bytes).
///
/// # Errors
/// When a job is not queued.
pub async fn graphs(stand: &Stand, name: &str) -> Result<f64> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio(name, stand.s3().await, 0).await?;
    let graph = graph();
    let submit = |n: usize| {
        let (studio, spec) =
            (&studio, json!({ "work": { "type": "Workflow", "workflow": { "graph": graph } }, "count": 1 }));
        async move { studio.submit(&format!("large-{n}"), spec).await }
    };
    stream::iter(0..JOBS).map(submit).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let queue = studio.queue().await?;
    let queued = async || {
        let tasks: u64 = queue.stats().await.ok()?.backlog.iter().map(|bucket| bucket.tasks).sum();
        (tasks == JOBS as u64).then_some(())
    };
    wait_for("the jobs to be queued", SOON, queued).await?;
    let peak = operator.peak_rss_mb()?;
    operator.process().kill9()?;
    let mut operator = stand.leader(name).await?;
    studio.submit("small", picture("a pebble", 1, 1)).await?;
    studio.reason("small", JobReason::Waiting, SOON).await?;
    let peak = peak.max(operator.peak_rss_mb()?);
    stand.close(&studio).await?;
    operator.process().terminate()?;
    Ok(peak)
}

fn graph() -> Value {
    let input = |n: usize| (format!("input_{n:03}"), json!(format!("a value of its own, {n:013}")));
    let inputs: Map<String, Value> = (0..INPUTS).map(input).collect();
    let node = |n: usize| (n.to_string(), json!({ "class_type": "EmptyImage", "inputs": inputs }));
    Value::Object((1..=NODES).map(node).collect())
}
