//! The memory of a replica that has read many jobs and has many streams open.

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{connection::Connection, stage::Stage};
use crate::pipeline::settled;

/// Streams, each of a job of its own.
const STREAMS: usize = 1000;
const OPENED_AT_ONCE: usize = 50;

/// What a replica has in memory that was started beside these jobs, once it does not grow any more; in MB.
pub(super) async fn rss_mb(stage: &Stage, jobs: &[String]) -> Result<f64> {
    ensure!(jobs.len() >= STREAMS, "there are {} jobs", jobs.len());
    let replica = stage.replica().await?;
    let address = replica.address;
    let streams = jobs.iter().take(STREAMS).map(|job| async move {
        let request = stage.request(&format!("GET /v1/jobs/{job}/events"), "", "");
        let mut lines = Connection::open(address).await?.stream(&request).await?;
        lines.next("data:").await?;
        let rest = tokio::spawn(async move { while lines.next("data:").await.is_ok() {} });
        Ok::<_, anyhow::Error>(AbortOnDropHandle::new(rest))
    });
    let open: Vec<_> = stream::iter(streams).buffer_unordered(OPENED_AT_ONCE).try_collect().await?;
    let rss = settled(|| replica.rss_mb()).await;
    ensure!(open.iter().all(|stream| !stream.is_finished()), "streams ended");
    rss
}
