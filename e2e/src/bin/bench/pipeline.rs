//! Jobs through the real API server, operator and queue; the engine alone is left out: tasks are claimed and
//! completed at once.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use crds::{
    ImageJob, ImageJobSpec, WorkerPool,
    conditions::{ConditionType, is_true},
    names,
};
use e2e::{Operator, OperatorOptions};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
    runtime::{WatchStreamExt as _, watcher},
};
use queue::{Claim, Completion, Queue, StoredFile, TaskResult, WorkerId};
use serde_json::{Value, json};
use testkit::{Cluster, ClusterOptions, Redis, RedisOptions, wait_for};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ceiling, kept, reject,
    report::{Figures, p99},
    writes,
};

pub(crate) const NAMESPACE: &str = "bench";
/// Jobs timed end to end, and at the ceiling.
const JOBS: usize = 2000;
/// Requests under way at once.
const AT_ONCE: usize = 32;
/// Jobs applied at once for a burst.
const BURST: usize = 200;
/// Bursts, each on a pool of its own.
const BURSTS: usize = 10;
/// The most spot workers of those pools.
const BURST_FLEET: u32 = 20;
/// ImageJobs in the API server when the operator's memory is read.
const MANY: usize = 10_000;
/// Jobs that run while status writes are counted.
const RUNNING: usize = 20;
/// Finished jobs in the API server when the operator's memory is read again.
const KEPT: usize = 100_000;
/// A process' memory is read when it has not grown for so long.
const SETTLED: Duration = Duration::from_secs(5);
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// After so long without another Pod, scaling has what it wants.
const QUIET: Duration = Duration::from_secs(3);
/// What the operator writes for a job that goes well and fast.
const STATUS_WRITES: u32 = 2;

/// Runs all of it on a control plane of its own.
pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let programs = tokio::task::spawn_blocking(e2e::Programs::build).await??;
    let (cluster, redis) =
        tokio::try_join!(Cluster::start(ClusterOptions::default()), Redis::start(RedisOptions::default()))?;
    let client = e2e::client(cluster.kubeconfig()).await?;
    let crds = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/yaml"));
    cluster.kubectl(["apply", "-k", &crds.display().to_string()])?;
    cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    namespace(&client).await?;

    progress("what the API server does by itself");
    let ceiling = ceiling::jobs_per_s(&client, NAMESPACE, JOBS, STATUS_WRITES, AT_ONCE).await?;
    let jobs: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    jobs.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;

    let redis_url = redis.url();
    let options = OperatorOptions {
        kubeconfig: cluster.kubeconfig(),
        redis_url: &redis_url,
        identity: "bench",
        log: None,
        clock: None,
    };
    let operator = Operator::start(&programs, &options).await?;
    pool(&client, "instant", 0).await?;
    let queue = Queue::new(queue::Redis::connect(&redis.url()).await?, &format!("{NAMESPACE}/instant"));
    let engine = AbortOnDropHandle::new(tokio::spawn(instant_engine(queue)));
    progress("jobs through the operator");
    let writes_before = operator.metric("imagejob_status_writes_total").await?;
    let rate = jobs_per_s(&client).await?;
    let writes = operator.metric("imagejob_status_writes_total").await? - writes_before;
    figures.insert("control.ceiling_jobs_per_s".into(), ceiling);
    figures.insert("control.jobs_per_s".into(), rate);
    figures.insert("control.jobs_vs_ceiling".into(), rate / ceiling);
    #[allow(clippy::cast_precision_loss)]
    figures.insert("control.status_writes_per_job".into(), writes / JOBS as f64);

    progress("bursts of jobs");
    figures.insert("control.burst_to_pods_p99_ms".into(), bursts(&client).await?);

    progress("status writes while jobs run and pools wait");
    let slow = slow_jobs(&client, &redis_url).await?;
    // Besides the pools that wait there are those of the running jobs and of those that were instant.
    match writes::per_minute(&operator, &jobs, &slow, RUNNING, BURSTS + 2).await {
        Ok((of_jobs, of_pools)) => {
            figures.insert("control.status_writes_per_running_job_per_minute".into(), of_jobs);
            figures.insert("control.status_writes_per_waiting_pool_per_minute".into(), of_pools);
        }
        Err(error) => progress(&format!("… no status writes: {error:#};")),
    }

    progress("jobs whose model no worker has");
    match reject::p99_ms(&client, &programs, &redis_url).await {
        Ok(p99) => drop(figures.insert("control.reject_ms_p99".into(), p99)),
        Err(error) => progress(&format!("… no refusals: {error:#};")),
    }

    drop(engine);
    progress("10,000 jobs in the API server");
    fill(&client, MANY - JOBS - BURSTS * BURST - RUNNING - reject::JOBS).await?;
    figures.insert("control.rss_mb_10k".into(), operator.rss_mb()?);

    progress("100,000 finished jobs that are kept");
    let state = cluster.state().context("the cluster's folder")?;
    if let Err(error) = kept::put(&client, state, "job-0", KEPT).await {
        progress(&format!("… no finished jobs: {error:#};"));
        return Ok(());
    }
    // As after each upgrade: one that has all of them listed.
    drop(operator);
    let operator = Operator::start(&programs, &options).await?;
    figures.insert("control.rss_mb_100k_ended".into(), settled(|| operator.rss_mb()).await?);
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the table alone goes to standard output")]
fn progress(what: &str) {
    eprintln!("measuring {what} …");
}

/// A small picture job for a pool.
pub(crate) fn job(name: &str) -> Result<ImageJob> {
    job_for(name, "instant")
}

/// Jobs of many images on a pool of their own; its queue.
async fn slow_jobs(client: &Client, redis_url: &str) -> Result<Queue> {
    pool(client, "slow", 0).await?;
    let jobs = (0..RUNNING).map(|n| {
        let mut job = job_for(&format!("{}{n}", writes::NAMES), "slow")?;
        job.spec.count = writes::IMAGES;
        Ok(job)
    });
    create(Api::namespaced(client.clone(), NAMESPACE), jobs).await?;
    Ok(Queue::new(queue::Redis::connect(redis_url).await?, &format!("{NAMESPACE}/slow")))
}

/// A process' memory once it does not grow any more, MB.
pub(crate) async fn settled(rss_mb: impl Fn() -> Result<f64>) -> Result<f64> {
    let (mut most, mut grown) = (0.0, Instant::now());
    while grown.elapsed() < SETTLED {
        let now = rss_mb()?;
        if now > most {
            (most, grown) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(most)
}

pub(crate) fn job_for(name: &str, pool: &str) -> Result<ImageJob> {
    let spec: ImageJobSpec = serde_json::from_value(json!({
        "poolRef": { "name": pool },
        "work": {
            "type": "TextToImage",
            "textToImage": { "model": "m.safetensors", "prompt": "a lighthouse at dusk", "steps": 4, "seed": 42 },
        },
    }))?;
    Ok(ImageJob::new(name, spec))
}

async fn namespace(client: &Client) -> Result<()> {
    let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

pub(crate) async fn pool(client: &Client, name: &str, max: u32) -> Result<()> {
    let fleet = |name: &str, machines: &str, price: &str| json!({ "name": name, "type": machines, "max": max, "pricePerHour": price });
    let pool: Value = json!({
        "apiVersion": "imagejob.dev/v1alpha1", "kind": "WorkerPool",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "engine": { "image": "none" },
            "fleets": [fleet("spot", "Spot", "0.90"), fleet("on-demand", "OnDemand", "3.06")],
            "classes": [
                { "name": "immediate", "slaSeconds": 30, "fleets": ["on-demand"] },
                { "name": "standard", "slaSeconds": 300, "fleets": ["spot", "on-demand"], "default": true },
            ],
            "output": { "bucket": "none", "publicURL": "https://images.example.com" },
        },
    });
    let pool: WorkerPool = serde_json::from_value(pool)?;
    Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &pool).await?;
    Ok(())
}

/// Claims and completes until it is dropped.
async fn instant_engine(queue: Queue) -> Result<()> {
    let worker = WorkerId("instant-engine".to_owned());
    let claim = Claim { worker: worker.clone(), capacity: "spot".to_owned(), loaded: None, max: 64 };
    loop {
        let leases = queue.claim(&claim).await?;
        if leases.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let done: Vec<Completion> = leases
            .into_iter()
            .map(|lease| Completion {
                task: lease.task.clone(),
                attempt: lease.attempt,
                result: result(&worker),
            })
            .collect();
        queue.complete_many(&worker, &done).await?;
    }
}

pub(crate) fn result(worker: &WorkerId) -> TaskResult {
    TaskResult {
        outputs: vec![StoredFile {
            node: "9".to_owned(),
            name: "image_00000.png".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: 400_000,
            sha256: Some("0".repeat(64)),
            width: Some(512),
            height: Some(512),
            duration_ms: None,
            key: "generated/00000000-0000-5000-8000-000000000000.png".to_owned(),
            url: None,
            etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        }],
        seed: Some(42),
        gpu_ms: 1,
        capacity: "spot".to_owned(),
        worker: worker.clone(),
        found: false,
        timings: None,
    }
}

/// From the first create to the moment a watch has shown every job Complete.
async fn jobs_per_s(client: &Client) -> Result<f64> {
    let api: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    let jobs = watcher(api.clone(), watcher::Config::default()).applied_objects();
    let mut jobs = std::pin::pin!(jobs);
    let begun = Instant::now();
    let created = create(api, (0..JOBS).map(|n| job(&format!("job-{n}"))));
    let mut created = std::pin::pin!(created);
    let mut complete = HashSet::new();
    let mut all_created = false;
    while complete.len() < JOBS {
        tokio::select! {
            result = &mut created, if !all_created => {
                result?;
                all_created = true;
            }
            job = jobs.try_next() => {
                let job = job?.context("the watch ended")?;
                let conditions = job.status.as_ref().map(|status| status.conditions.as_slice());
                if is_true(conditions.unwrap_or_default(), ConditionType::Complete) {
                    complete.insert(job.name_any());
                }
            }
            () = tokio::time::sleep_until((begun + DEADLINE).into()) => {
                anyhow::bail!("{} of {JOBS} jobs complete after {DEADLINE:?}", complete.len());
            }
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let rate = JOBS as f64 / begun.elapsed().as_secs_f64();
    Ok(rate)
}

async fn create(api: Api<ImageJob>, jobs: impl Iterator<Item = Result<ImageJob>>) -> Result<()> {
    stream::iter(jobs)
        .try_for_each_concurrent(AT_ONCE, |job| {
            let api = api.clone();
            async move { Ok(api.create(&PostParams::default(), &job).await.map(drop)?) }
        })
        .await
}

/// The 99th percentile over the Pods of all bursts of how long each came after the jobs it is for, milliseconds.
async fn bursts(client: &Client) -> Result<f64> {
    let mut waits = Vec::new();
    for n in 0..BURSTS {
        let name = format!("burst-{n}");
        pool(client, &name, BURST_FLEET).await?;
        waits.extend(burst(client, &name).await?);
    }
    p99(waits).context("no Pods")
}

/// Applies a burst of jobs for a pool, whose scaling wants a Pod per several. When the k-th of n Pods is there, k/n
/// of the jobs should just have been applied: the times between, milliseconds.
async fn burst(client: &Client, pool: &str) -> Result<Vec<f64>> {
    let jobs: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let of_pool = watcher::Config::default().labels(&format!("{}={pool}", names::LABEL_POOL));
    let watch = watcher(pods, of_pool).applied_objects();
    let mut watch = std::pin::pin!(watch);
    let applied = stream::iter((0..BURST).map(|n| {
        let jobs = jobs.clone();
        async move {
            let job = job_for(&format!("{pool}-{n}"), pool)?;
            jobs.create(&PostParams::default(), &job).await?;
            Ok::<_, anyhow::Error>(Instant::now())
        }
    }))
    .buffer_unordered(BURST)
    .try_collect::<Vec<Instant>>();
    let mut applied = std::pin::pin!(applied);
    let mut applied_at = None;
    let mut seen = HashSet::new();
    let mut pods_at = Vec::new();
    let mut deadline = Instant::now() + DEADLINE;
    loop {
        tokio::select! {
            times = &mut applied, if applied_at.is_none() => applied_at = Some(times?),
            pod = watch.try_next() => {
                let pod = pod?.context("the watch ended")?;
                if seen.insert(pod.name_any()) {
                    pods_at.push(Instant::now());
                    deadline = Instant::now() + QUIET;
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => break,
        }
    }
    let mut applied = applied_at.context("the jobs were not all applied")?;
    applied.sort();
    let n = pods_at.len();
    let wait = |(k, pod): (usize, &Instant)| {
        let job = applied.get(k * applied.len() / n)?;
        Some(pod.saturating_duration_since(*job).as_secs_f64() * 1e3)
    };
    Ok(pods_at.iter().enumerate().filter_map(wait).collect())
}

/// Adds jobs that nobody makes, and waits until the operator has queued them all.
async fn fill(client: &Client, more: usize) -> Result<()> {
    let api: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    create(api.clone(), (0..more).map(|n| job(&format!("more-{n}")))).await?;
    let last = format!("more-{}", more - 1);
    wait_for("the last job to be queued", DEADLINE, async || {
        api.get(&last).await.ok().filter(|job| job.status.is_some())
    })
    .await
    .map(drop)
}
