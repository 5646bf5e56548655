//! What the tests share: a queue on a Redis of its own, and short ways to say what happens to it.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use bytes::Bytes;
use queue::{
    Beat, Claim, ClassSetting, HeldLease, Job, JobState, JobUid, Lease, Options, Queue, Reason, Redis,
    Release, Renewed, Settings, StoredFile, TaskError, TaskId, TaskResult, WorkerId, Written,
};
use testkit::RedisOptions;

/// Long enough for a busy machine, short enough to wait for.
pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(250);
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const SLA: Duration = Duration::from_secs(300);

/// A queue, and the Redis it is alone in.
pub(crate) struct Fixture {
    pub(crate) server: testkit::Redis,
    pub(crate) queue: Queue,
}

impl std::ops::Deref for Fixture {
    type Target = Queue;
    fn deref(&self) -> &Queue {
        &self.queue
    }
}

pub(crate) async fn start() -> Result<Fixture> {
    start_with(RedisOptions::default(), Options::default()).await
}

/// With leases that end while a test waits.
pub(crate) async fn start_hasty() -> Result<Fixture> {
    start_with(RedisOptions::default(), Options { lease: SHORT_LEASE }).await
}

pub(crate) async fn start_with(options: RedisOptions, queue: Options) -> Result<Fixture> {
    let server = testkit::Redis::start(options).await?;
    let redis = Redis::connect(&server.url()).await?;
    let queue = Queue::with_options(redis, "studio/sd15", queue);
    queue.configure(&settings()).await?;
    Ok(Fixture { server, queue })
}

/// The classes of most tests: `standard` for any machine, and others for machines that say so.
pub(crate) fn settings() -> Settings {
    let class = |name: &str, sla: Duration, capacities: &[&str]| ClassSetting {
        name: name.into(),
        sla,
        capacities: capacities.iter().map(|&name| name.into()).collect(),
    };
    let classes = vec![
        class("immediate", SLA / 10, &["all"]),
        class("standard", SLA, &["spot", "all"]),
        class("relaxed", SLA * 2, &["all"]),
    ];
    Settings { suspended: false, classes }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or_default())
}

/// One task of tenant `acme` in class `standard`.
pub(crate) fn job(uid: &str) -> Job {
    Job {
        uid: JobUid(uid.into()),
        tenant: "acme".into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        model: "sd15".into(),
        work: "picture sd15".into(),
        unit_ms: 100.0,
        arrival_ms: now_ms(),
        sla: SLA,
        units: 20.0,
        total: 1,
        retries: 2,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn tasks(uid: &str, total: u32) -> Job {
    Job { total, ..job(uid) }
}

pub(crate) fn of(tenant: &str, job: Job) -> Job {
    Job { tenant: tenant.into(), ..job }
}

pub(crate) fn uid(uid: &str) -> JobUid {
    JobUid(uid.into())
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

pub(crate) fn a_claim(name: &str) -> Claim {
    Claim { worker: worker(name), capacity: "spot".into(), loaded: None, max: 1 }
}

pub(crate) fn error(reason: Reason) -> TaskError {
    TaskError { reason, message: "it went wrong".into() }
}

pub(crate) fn failed(delay_ms: u64) -> Release {
    Release::Failed { error: error(Reason::EngineError), retry_after: Duration::from_millis(delay_ms) }
}

pub(crate) fn image_of(name: &str, task: &TaskId) -> TaskResult {
    TaskResult {
        outputs: vec![StoredFile {
            node: "9".into(),
            name: format!("image_{:05}.png", task.index),
            media_type: "image/png".into(),
            bytes: 1000,
            sha256: None,
            width: Some(512),
            height: Some(512),
            duration_ms: None,
            key: format!("generated/{task}.png"),
            url: None,
            etag: "\"e\"".into(),
        }],
        seed: Some(7),
        gpu_ms: 1500,
        capacity: "spot".into(),
        worker: worker(name),
        found: false,
        timings: None,
    }
}

/// Shorter ways to say what a worker does.
pub(crate) trait Worker {
    /// Claims one task.
    async fn claim_one(&self, name: &str) -> Result<Option<Lease>>;
    /// Claims one task; there must be one.
    async fn must_claim(&self, name: &str) -> Result<Lease>;
    async fn finish(&self, name: &str, lease: &Lease) -> Result<Written>;
    async fn give_back(&self, name: &str, lease: &Lease, release: &Release) -> Result<Written>;
    async fn renew(&self, name: &str, lease: &Lease) -> Result<Renewed>;
    async fn state(&self, job: &str) -> Result<JobState>;
    /// Claims one task after another until there is none; returns them as `job/index`.
    async fn drain(&self, name: &str) -> Result<Vec<String>>;
}

impl Worker for Queue {
    async fn claim_one(&self, name: &str) -> Result<Option<Lease>> {
        Ok(self.claim(&a_claim(name)).await?.pop())
    }

    async fn must_claim(&self, name: &str) -> Result<Lease> {
        self.claim_one(name).await?.context("nothing to claim")
    }

    async fn finish(&self, name: &str, lease: &Lease) -> Result<Written> {
        let result = image_of(name, &lease.task);
        Ok(self.complete(&worker(name), &lease.task, lease.attempt, &result).await?)
    }

    async fn give_back(&self, name: &str, lease: &Lease, release: &Release) -> Result<Written> {
        Ok(self.release(&worker(name), &lease.task, lease.attempt, release, 0).await?)
    }

    async fn renew(&self, name: &str, lease: &Lease) -> Result<Renewed> {
        let held =
            HeldLease { task: lease.task.clone(), attempt: lease.attempt, progress: None, nodes: None };
        let reply = self.beat(&worker(name), &Beat { leases: vec![held], ..Beat::default() }).await?;
        reply.leases.first().copied().context("no answer for the lease")
    }

    async fn state(&self, job: &str) -> Result<JobState> {
        self.job(&uid(job)).await?.with_context(|| format!("{job} is not known"))
    }

    async fn drain(&self, name: &str) -> Result<Vec<String>> {
        let mut order = Vec::new();
        while let Some(lease) = self.claim_one(name).await? {
            order.push(lease.task.to_string());
            self.finish(name, &lease).await?;
        }
        Ok(order)
    }
}

/// A command past the queue's back.
pub(crate) async fn raw<T: redis::FromRedisValue>(
    server: &testkit::Redis,
    command: &redis::Cmd,
) -> Result<T> {
    let client = redis::Client::open(server.url())?;
    Ok(command.query_async(&mut client.get_multiplexed_async_connection().await?).await?)
}

/// How often a command was called since the last CONFIG RESETSTAT; `` is all of them, those of scripts included.
pub(crate) async fn commands(server: &testkit::Redis, name: &str) -> Result<u64> {
    let stats: String = raw(server, redis::cmd("INFO").arg("commandstats")).await?;
    let calls = |line: &str| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = rest.split_once(',')?;
        (name.is_empty() || command == name).then(|| calls.parse::<u64>().ok())?
    };
    Ok(stats.lines().filter_map(calls).sum())
}
