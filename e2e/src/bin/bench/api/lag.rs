//! How soon a stream shows how far an image is: from the moment at which Redis has a worker's heartbeat until a client has
//! the event.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use crds::ImageJob;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use queue::{Beat, Claim, ClassSetting, HeldLease, Job, JobUid, Lease, Queue, Settings, TaskSpec, WorkerId};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    connection::{Connection, Lines},
    replica::Replica,
    stage::{NAMESPACE, POOL, Stage, spec},
};
use crate::report::p99;

/// Workers of the pool, with an image each of several jobs in hand.
const WORKERS: u32 = 20;
const JOBS_OF_WORKER: u32 = 5;
const JOBS: u32 = WORKERS * JOBS_OF_WORKER;
/// Jobs created, and streams opened, at once.
const AT_ONCE: usize = 20;
/// Heartbeats of each worker; all of them tell another step.
const BEATS: u32 = 12;
/// Between two heartbeats of a worker: longer than a client waits for the event of the first.
const EVERY: Duration = Duration::from_secs(1);
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// A job's step, and when it was told or seen.
type Moments = Vec<((JobUid, u32), Instant)>;

/// The 99th percentile over all steps of all jobs, milliseconds.
pub(super) async fn p99_ms(stage: &Stage, replica: &Replica) -> Result<f64> {
    let redis = queue::Redis::connect(&stage.redis.url()).await?;
    let queue = Queue::new(redis, &format!("{NAMESPACE}/{POOL}"));
    let class = ClassSetting {
        name: "standard".into(),
        sla: Duration::from_secs(300),
        capacities: vec!["spot".into()],
    };
    queue.configure(&Settings { suspended: false, classes: vec![class] }).await?;
    let jobs: Vec<(String, JobUid)> =
        stream::iter((0..JOBS).map(|n| running_job(stage, n))).buffered(AT_ONCE).try_collect().await?;
    for (_, uid) in &jobs {
        queue.enqueue(&queued(uid)?).await?;
    }
    let mut workers = vec![];
    for n in 0..WORKERS {
        let worker = WorkerId(format!("w-{n}"));
        let claim =
            Claim { worker: worker.clone(), capacity: "spot".into(), loaded: None, max: JOBS_OF_WORKER };
        let leases = queue.claim(&claim).await?;
        ensure!(leases.len() == JOBS_OF_WORKER as usize, "{} images are claimed", leases.len());
        workers.push((worker, leases));
    }
    let streams = jobs.iter().map(|(name, uid)| async move {
        let request = stage.request(&format!("GET /v1/jobs/{name}/events"), "", "");
        let mut lines = Connection::open(replica.address).await?.stream(&request).await?;
        lines.next("data:").await?;
        Ok::<_, anyhow::Error>((uid.clone(), lines))
    });
    let streams: Vec<_> = stream::iter(streams).buffered(AT_ONCE).try_collect().await?;
    let seen = streams.into_iter().map(|(uid, lines)| tokio::spawn(see(uid, lines))).collect::<Vec<_>>();
    let begun = Instant::now();
    let told = (0..).zip(workers).map(|(n, (worker, leases))| {
        // The workers' heartbeats are spread over the time between two.
        let first = begun + EVERY * n / WORKERS;
        tokio::spawn(tell(queue.clone(), worker, leases, first))
    });
    let (told, seen) = (all(told.collect()).await?, all(seen).await?);
    let told: HashMap<(JobUid, u32), Instant> = told.into_iter().collect();
    let lag =
        |(step, at): (_, Instant)| Some(at.saturating_duration_since(*told.get(&step)?).as_secs_f64() * 1e3);
    let lags: Vec<f64> = seen.into_iter().filter_map(lag).collect();
    ensure!(lags.len() == told.len(), "{} of {} steps are seen", lags.len(), told.len());
    p99(lags).context("no steps")
}

async fn all(tasks: Vec<tokio::task::JoinHandle<Result<Moments>>>) -> Result<Moments> {
    let mut moments = vec![];
    for task in tasks {
        moments.extend(timeout(SEEN_WITHIN, task).await???);
    }
    Ok(moments)
}

/// The heartbeats of a worker.
async fn tell(queue: Queue, worker: WorkerId, leases: Vec<Lease>, first: Instant) -> Result<Moments> {
    let mut told = vec![];
    for step in 1..=BEATS {
        tokio::time::sleep_until((first + EVERY * step).into()).await;
        let held = |lease: &Lease| HeldLease {
            task: lease.task.clone(),
            attempt: lease.attempt,
            progress: Some((step, BEATS)),
            nodes: None,
        };
        queue.beat(&worker, &Beat { leases: leases.iter().map(held).collect(), ..Beat::default() }).await?;
        let now = Instant::now();
        told.extend(leases.iter().map(|lease| ((lease.task.job.clone(), step), now)));
    }
    Ok(told)
}

/// The steps that a client sees, up to the last.
async fn see(uid: JobUid, mut lines: Lines) -> Result<Moments> {
    let mut seen: Moments = vec![];
    loop {
        let frame: Value = serde_json::from_str(&lines.next("data:").await?)?;
        let now = Instant::now();
        let Some(step) = frame["running"][0]["step"].as_u64().and_then(|step| u32::try_from(step).ok())
        else {
            continue;
        };
        if step > 0 && seen.last().is_none_or(|((_, last), _)| *last != step) {
            seen.push(((uid.clone(), step), now));
        }
        if step == BEATS {
            return Ok(seen);
        }
    }
}

/// A job that is running, as the operator would say.
async fn running_job(stage: &Stage, n: u32) -> Result<(String, JobUid)> {
    let jobs = stage.jobs();
    let job = ImageJob::new(&format!("lag-{n}"), serde_json::from_value(spec())?);
    let job = jobs.create(&PostParams::default(), &job).await?;
    let status = json!({
        "pool": { "namespace": NAMESPACE, "name": POOL },
        "conditions": [{ "type": "Ready", "status": "False", "reason": "Running", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z" }],
    });
    let patch = Patch::Merge(json!({ "status": status }));
    jobs.patch_status(&job.name_any(), &PatchParams::default(), &patch).await?;
    Ok((job.name_any(), JobUid(job.uid().context("no uid")?)))
}

fn queued(uid: &JobUid) -> Result<Job> {
    let task = TaskSpec {
        graph: serde_json::Map::new(),
        seeds: vec![],
        inputs: vec![],
        cut: None,
        outputs: vec![],
        form: queue::Form::default(),
        black_is_wrong: false,
        labels: BTreeMap::new(),
        timeout_seconds: 300,
        traceparent: None,
    };
    Ok(Job {
        uid: uid.clone(),
        tenant: NAMESPACE.into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        model: String::new(),
        work: "w".into(),
        unit_ms: 1000.0,
        arrival_ms: 0,
        sla: Duration::from_secs(300),
        units: 1.0,
        total: 1,
        retries: 2,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: task.to_payload()?,
    })
}
