//! Reads of jobs, which come from the cache of the replica.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{connection::Connection, replica::Replica, stage::Stage};

/// Connections, each with one request after the other.
const CONNECTIONS: usize = 64;
/// The clients are spread over tasks: as many as the machine of the published figures has cores.
const TASKS: usize = 2;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

/// Reads per second, of the middle round.
pub(super) async fn per_second(stage: &Stage, replica: &Replica, jobs: &[String]) -> Result<f64> {
    ensure!(jobs.len() >= CONNECTIONS, "there are {} jobs", jobs.len());
    let request = |job: &String| stage.request(&format!("GET /v1/jobs/{job}"), "", "");
    let requests: Vec<Vec<u8>> = jobs.iter().take(CONNECTIONS).map(request).collect();
    let mut rates = vec![];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let tasks = requests.chunks(CONNECTIONS / TASKS).map(|requests| {
            let (address, requests) = (replica.address, requests.to_vec());
            tokio::spawn(async move {
                let reads = requests.into_iter().map(|request| async move {
                    let mut connection = Connection::open(address).await?;
                    let mut reads = 0_u32;
                    while begun.elapsed() < ROUND {
                        let answer = connection.send(&request).await?;
                        ensure!(answer.status == 200, "a read is answered with {}", answer.status);
                        reads += 1;
                    }
                    Ok::<_, anyhow::Error>(reads)
                });
                stream::iter(reads)
                    .buffer_unordered(CONNECTIONS)
                    .try_fold(0, async |all, one| Ok(all + one))
                    .await
            })
        });
        let mut reads = 0;
        for task in tasks.collect::<Vec<_>>() {
            reads += task.await??;
        }
        rates.push(f64::from(reads) / begun.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    rates.get(ROUNDS / 2).copied().context("no rounds")
}
