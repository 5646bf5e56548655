//! Submissions over HTTP against plain creates of the same spec on the same API server: in turns, so that both have the
//! machine at its better and worse moments.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use crds::ImageJob;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::PostParams;
use serde_json::Value;

use super::{
    connection::Connection,
    replica::Replica,
    stage::{Stage, spec},
};
use crate::report::{Figures, p99};

/// Requests under way at once.
const AT_ONCE: usize = 32;
/// Jobs of each kind in one turn.
const A_TURN: usize = 320;
/// Turns of each kind that count.
const TURNS: usize = 6;
/// Submissions whose latency is measured.
const PACED: usize = 1000;

/// Puts in the figures of submissions; returns the ids of jobs.
pub(super) async fn measure(stage: &Stage, replica: &Replica, figures: &mut Figures) -> Result<Vec<String>> {
    creates(stage, "warm-up").await?;
    let mut ids = vec![];
    submissions(stage, replica, &mut ids).await?;
    let (mut plain, mut http) = (Duration::ZERO, Duration::ZERO);
    for turn in 0..TURNS {
        let name = format!("turn-{turn}");
        if turn % 2 == 0 {
            plain += creates(stage, &name).await?;
            http += submissions(stage, replica, &mut ids).await?;
        } else {
            http += submissions(stage, replica, &mut ids).await?;
            plain += creates(stage, &name).await?;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let per_s = |took: Duration| (TURNS * A_TURN) as f64 / took.as_secs_f64();
    let (plain, http) = (per_s(plain), per_s(http));
    figures.insert("api.creates_per_s".into(), plain);
    figures.insert("api.submit_per_s".into(), http);
    figures.insert("api.submit_vs_ceiling".into(), http / plain);
    figures.insert("api.submit_p99_ms".into(), paced_p99_ms(stage, replica, http / 2.0).await?);
    Ok(ids)
}

/// How long it takes to create the jobs of a turn.
async fn creates(stage: &Stage, turn: &str) -> Result<Duration> {
    let jobs = stage.jobs();
    let begun = Instant::now();
    stream::iter((0..A_TURN).map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(AT_ONCE, |n| {
            let jobs = jobs.clone();
            async move {
                let job = ImageJob::new(&format!("{turn}-{n}"), serde_json::from_value(spec())?);
                jobs.create(&PostParams::default(), &job).await?;
                Ok(())
            }
        })
        .await?;
    Ok(begun.elapsed())
}

/// How long it takes to submit as many.
async fn submissions(stage: &Stage, replica: &Replica, ids: &mut Vec<String>) -> Result<Duration> {
    let request = stage.request("POST /v1/jobs", "", &spec().to_string());
    let left = AtomicUsize::new(A_TURN);
    let mut connections = vec![];
    for _ in 0..AT_ONCE {
        connections.push(Connection::open(replica.address).await?);
    }
    let begun = Instant::now();
    let clients = connections.into_iter().map(async |mut connection| {
        let mut ids = vec![];
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            ids.push(submit(&mut connection, &request).await?);
        }
        Ok::<_, anyhow::Error>(ids)
    });
    let made: Vec<Vec<String>> = stream::iter(clients).buffer_unordered(AT_ONCE).try_collect().await?;
    let took = begun.elapsed();
    ids.extend(made.into_iter().flatten());
    Ok(took)
}

/// The 99th percentile of the time that submissions take at this rate, each from the moment at which it is due,
/// milliseconds.
async fn paced_p99_ms(stage: &Stage, replica: &Replica, per_s: f64) -> Result<f64> {
    let request = stage.request("POST /v1/jobs", "", &spec().to_string());
    let begun = Instant::now();
    let clients = (0..AT_ONCE).map(async |client| {
        let mut connection = Connection::open(replica.address).await?;
        let mut took = vec![];
        for n in (client..PACED).step_by(AT_ONCE) {
            #[allow(clippy::cast_precision_loss)]
            let due = begun + Duration::from_secs_f64(n as f64 / per_s);
            tokio::time::sleep_until(due.into()).await;
            submit(&mut connection, &request).await?;
            took.push(due.elapsed().as_secs_f64() * 1e3);
        }
        Ok::<_, anyhow::Error>(took)
    });
    let took: Vec<Vec<f64>> = stream::iter(clients).buffer_unordered(AT_ONCE).try_collect().await?;
    p99(took.into_iter().flatten().collect()).context("no submissions")
}

/// Submits a job; returns its id.
async fn submit(connection: &mut Connection, request: &[u8]) -> Result<String> {
    let answer = connection.send(request).await?;
    ensure!(answer.status == 201, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    let job: Value = serde_json::from_slice(answer.body)?;
    Ok(job["id"].as_str().context("no id")?.to_owned())
}
