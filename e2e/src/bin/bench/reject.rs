//! How soon a job is told that no worker of its pool has the model that it names: a real worker, whose engine is the
//! simulator, has told the queue what the engine has.

use std::{
    collections::HashMap,
    ffi::OsString,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use crds::{
    ImageJob, WorkerPool,
    conditions::{ConditionType, JobReason, find_condition},
};
use e2e::Programs;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use testkit::{Process, S3, S3Options, free_port, wait_for};

use crate::{
    pipeline::{DEADLINE, NAMESPACE, job_for, pool},
    report::p99,
};

const POOL: &str = "rejects";
/// Jobs that are told, which stay.
pub(crate) const JOBS: usize = 100;
/// One is created after the other, so often: far less than the API server can do, or it would be measured.
const EVERY: Duration = Duration::from_millis(50);
/// From the worker's start until the pool's status says what its engine has.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// The 99th percentile over the jobs of the time from a job's creation until a watch shows that it waits for a worker
/// with its model, milliseconds.
pub(crate) async fn p99_ms(client: &Client, programs: &Programs, redis_url: &str) -> Result<f64> {
    pool(client, POOL, 0).await?;
    let s3 = S3::start(S3Options::default()).await?;
    let port = free_port()?.to_string();
    let arguments = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let _engine = Process::spawn(programs.path("comfyui-sim"), arguments(&["--port", &port]))?;
    let program = programs.path("gpu-worker").display().to_string();
    let _worker = Process::spawn(
        "env",
        arguments(&[
            &format!("AWS_ACCESS_KEY_ID={}", s3.options().access_key),
            &format!("AWS_SECRET_ACCESS_KEY={}", s3.options().secret_key),
            "RUST_LOG=warn",
            &program,
            "--redis",
            redis_url,
            "--pool",
            &format!("{NAMESPACE}/{POOL}"),
            "--engine",
            &format!("http://127.0.0.1:{port}"),
            "--listen",
            "127.0.0.1:0",
            "--bucket",
            "images",
            "--s3-endpoint",
            &s3.endpoint(),
            "--s3-path-style",
            "--metadata",
            "off",
        ]),
    )?;
    engine_is_told(client).await?;

    let api: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    let watch = watcher(api.clone(), watcher::Config::default()).applied_objects();
    let mut watch = std::pin::pin!(watch);
    let ticks = stream::unfold(tokio::time::interval(EVERY), async |mut ticks| {
        ticks.tick().await;
        Some(((), ticks))
    });
    let created = ticks.take(JOBS).enumerate().map(|(n, ())| {
        let api = api.clone();
        async move {
            let job = job_for(&format!("{POOL}-{n}"), POOL)?;
            let begun = Instant::now();
            api.create(&PostParams::default(), &job).await?;
            Ok::<_, anyhow::Error>((job.name_any(), begun))
        }
    });
    let created = created.buffer_unordered(JOBS).try_collect::<HashMap<String, Instant>>();
    let mut created = std::pin::pin!(created);
    let (mut begun, mut told) = (None, HashMap::new());
    let deadline = Instant::now() + DEADLINE;
    while told.len() < JOBS || begun.is_none() {
        tokio::select! {
            times = &mut created, if begun.is_none() => begun = Some(times?),
            job = watch.try_next() => {
                let job = job?.context("the watch ended")?;
                if is_told(&job)? {
                    told.entry(job.name_any()).or_insert_with(Instant::now);
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                bail!("{} of {JOBS} jobs are told within {DEADLINE:?}", told.len());
            }
        }
    }
    let begun = begun.unwrap_or_default();
    let wait =
        |(name, told): (&String, &Instant)| Some(told.duration_since(*begun.get(name)?).as_secs_f64() * 1e3);
    p99(told.iter().filter_map(wait).collect()).context("no jobs")
}

/// Of a job of ours, whether it has heard. One that is queued is an error: nothing would ever be told.
fn is_told(job: &ImageJob) -> Result<bool> {
    if !job.name_any().starts_with(POOL) {
        return Ok(false);
    }
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let Some(accepted) = find_condition(conditions, ConditionType::Accepted) else { return Ok(false) };
    if accepted.status == "False" && accepted.reason == JobReason::NotOnWorkers.as_str() {
        return Ok(true);
    }
    bail!("{} is {}: {}", job.name_any(), accepted.reason, accepted.message)
}

/// Until the pool's status says what the worker's engine has.
async fn engine_is_told(client: &Client) -> Result<()> {
    let api: Api<WorkerPool> = Api::namespaced(client.clone(), NAMESPACE);
    wait_for("the pool to say what its engine has", TOLD_WITHIN, async || {
        api.get(POOL).await.ok()?.status?.engine.map(drop)
    })
    .await
}
