//! What the way over HTTP costs a picture: a request that waits for it, against a plain create and a watch until it is
//! finished. The picture itself takes no time: whoever watches for new jobs writes at once that they are done.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use crds::{
    ImageJob,
    conditions::{ConditionType, is_true},
};
use futures::TryStreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    connection::Connection,
    replica::Replica,
    stage::{NAMESPACE, POOL, Stage, spec},
};

/// Pictures of each kind, in turn.
const PAIRS: usize = 100;
/// Pairs before those that count.
const WARM_UP: usize = 10;
const PICTURE_WITHIN: Duration = Duration::from_secs(30);

/// The median over the pairs of what the way over HTTP takes longer, milliseconds.
pub(super) async fn median_ms(stage: &Stage, replica: &Replica) -> Result<f64> {
    let _maker = AbortOnDropHandle::new(tokio::spawn(make_all(stage.jobs())));
    let mut connection = Connection::open(replica.address).await?;
    let mut differences = vec![];
    for n in 0..WARM_UP + PAIRS {
        let (http, plain) = if n % 2 == 0 {
            let http = over_http(stage, &mut connection).await?;
            (http, by_watch(stage, n).await?)
        } else {
            let plain = by_watch(stage, n).await?;
            (over_http(stage, &mut connection).await?, plain)
        };
        if n >= WARM_UP {
            differences.push((http.as_secs_f64() - plain.as_secs_f64()) * 1e3);
        }
    }
    differences.sort_by(f64::total_cmp);
    differences.get(PAIRS / 2).copied().context("no pairs")
}

async fn over_http(stage: &Stage, connection: &mut Connection) -> Result<Duration> {
    let request = stage.request("POST /v1/jobs", "prefer: wait=30\r\n", &spec().to_string());
    let begun = Instant::now();
    let answer = timeout(PICTURE_WITHIN, connection.send(&request)).await??;
    let took = begun.elapsed();
    let job: Value = serde_json::from_slice(answer.body)?;
    ensure!(answer.status == 201 && job["state"] == "completed", "{}: {job}", answer.status);
    Ok(took)
}

async fn by_watch(stage: &Stage, n: usize) -> Result<Duration> {
    let jobs = stage.jobs();
    let job = ImageJob::new(&format!("plain-{n}"), serde_json::from_value(spec())?);
    let begun = Instant::now();
    let created = jobs.create(&PostParams::default(), &job).await?;
    let this = WatchParams::default().fields(&format!("metadata.name={}", created.name_any()));
    let version = created.resource_version().context("no version")?;
    let mut events = pin!(jobs.watch(&this, &version).await?);
    let finished = async {
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Modified(job) = event
                && is_true(&job.status.unwrap_or_default().conditions, ConditionType::Complete)
            {
                return Ok(begun.elapsed());
            }
        }
        anyhow::bail!("the watch ended")
    };
    timeout(PICTURE_WITHIN, finished).await?
}

/// Finishes every job as soon as a watch shows it, until it is dropped.
async fn make_all(jobs: Api<ImageJob>) -> Result<()> {
    let mut seen = pin!(watcher(jobs.clone(), watcher::Config::default()).applied_objects());
    while let Some(job) = seen.try_next().await? {
        if job.status.is_none() {
            let patch = Patch::Merge(json!({ "status": finished() }));
            jobs.patch_status(&job.name_any(), &PatchParams::default(), &patch).await?;
        }
    }
    Ok(())
}

fn finished() -> Value {
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "True", "reason": "Completed", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    json!({
        "pool": { "namespace": NAMESPACE, "name": POOL },
        "counts": { "total": 1, "waiting": 0, "running": 0, "succeeded": 1, "failed": 0 },
        "conditions": [condition("Ready"), condition("Complete")],
    })
}
