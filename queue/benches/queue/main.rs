//! What the queue can do beside its Redis on one machine: `make bench`.
//! Prints a table and writes `target/bench/queue.json`.
#![allow(clippy::print_stdout)] // a command-line tool

mod beside;
mod operator;
mod work;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use queue::{EventKind, Job, JobUid, Queue, Redis, Results};
use testkit::{Persistence, RedisOptions};
use tokio::{sync::Mutex, task::JoinSet, time::interval};

use crate::{
    beside::Beside,
    operator::Operator,
    work::{Jobs, claim, complete, settings},
};

const CONNECTIONS: usize = 4;
/// Concurrent callers on each connection: their commands are pipelined.
const CALLERS: usize = 2;
/// So many jobs each of them does at once.
const TOGETHER: u64 = 32;
/// Callers on each connection where each does one job at a time.
const SINGLE_CALLERS: usize = 25;
/// With work waiting at once, where throughput is measured; and where a long backlog is.
const TENANTS: u64 = 32;
const MANY_TENANTS: u64 = 1000;
const LIFECYCLES: u64 = 96_000;
const BATCH: u32 = 100;

// One thread for us, so that Redis has the other core to itself.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|part| name.contains(part));
    let mut figures = BTreeMap::new();
    // A caller does several jobs at once, as where a pool has much to do; or one job, as workers do.
    for (kind, rate, redis_us, client_us) in [
        (Kind::Many, "queue.lifecycle_per_s", "queue.lifecycle_redis_us", "queue.lifecycle_client_us"),
        (Kind::Single, "queue.single_per_s", "queue.single_redis_us", "queue.single_client_us"),
    ] {
        if wanted(rate) {
            let bench = Bench::start(Persistence::AppendOnly, TENANTS).await?;
            let before = bench.cpu().await?;
            let took = match kind {
                Kind::Many => bench.lifecycles(LIFECYCLES, TOGETHER, CALLERS).await?,
                Kind::Single => bench.singles(LIFECYCLES).await?,
            };
            let after = bench.cpu().await?;
            ensure!(bench.all_jobs().await?.is_empty(), "jobs are left");
            let each = |used: Duration| 1e6 / per_second(LIFECYCLES, used);
            figures.extend([
                (rate, per_second(LIFECYCLES, took)),
                (redis_us, each(after.0.saturating_sub(before.0))),
                (client_us, each(after.1.saturating_sub(before.1))),
            ]);
        }
    }
    if wanted("batch") {
        let bench = Bench::start(Persistence::AppendOnly, TENANTS).await?;
        figures.insert("queue.lifecycle_batch_per_s", bench.batches(10_000).await?);
    }
    if wanted("p99") {
        let bench = Bench::start(Persistence::AppendOnly, MANY_TENANTS).await?;
        bench.fill(100_000).await?;
        let (p50, p99) = bench.latency(Duration::from_secs(10)).await?;
        figures.extend([("queue.p50_ms", p50), ("queue.p99_ms", p99)]);
    }
    if wanted("reap") {
        let bench = Bench::start(Persistence::None, 100_000).await?;
        bench.fill(100_000).await?;
        figures.insert("queue.reap_ms_100k", bench.longest_reap(100).await?);
    }
    if wanted("growth") {
        let (growth, bytes_per_job) = growth().await?;
        figures.extend([("queue.growth", growth), ("queue.bytes_per_job", bytes_per_job)]);
    }
    report(&figures)
}

fn report(figures: &BTreeMap<&str, f64>) -> Result<()> {
    let aims = [
        ("queue.lifecycle_per_s", "≥ 30000"),
        ("queue.lifecycle_batch_per_s", "≥ 60000"),
        ("queue.p99_ms", "≤ 5"),
        ("queue.reap_ms_100k", "≤ 5"),
        ("queue.growth", "≤ 1.3"),
    ];
    println!("{:<36} {:>12}  aim", "figure", "measured");
    for (name, value) in figures {
        let aim = aims.iter().find(|(of, _)| of == name).map_or("", |(_, aim)| aim);
        println!("{name:<36} {value:>12.2}  {aim}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("queue.json"), serde_json::to_string_pretty(figures)?)?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Many,
    Single,
}

/// A Redis and some connections to a queue in it.
struct Bench {
    server: Arc<testkit::Redis>,
    operator: Queue,
    /// Of the workers, one a connection.
    queues: Vec<Queue>,
    jobs: Arc<Jobs>,
}

impl Bench {
    async fn start(persistence: Persistence, tenants: u64) -> Result<Self> {
        let server = testkit::Redis::start(RedisOptions { persistence, ..RedisOptions::default() }).await?;
        Self::on(Arc::new(server), "bench/pool", tenants).await
    }

    async fn on(server: Arc<testkit::Redis>, pool: &str, tenants: u64) -> Result<Self> {
        let operator = connect(&server, pool).await?;
        operator.configure(&settings()).await?;
        let mut queues = Vec::new();
        for _ in 0..CONNECTIONS {
            queues.push(connect(&server, pool).await?);
        }
        Ok(Self { server, operator, queues, jobs: Arc::new(Jobs::of(tenants)?) })
    }

    /// Calls `run` on every connection so often at once; returns how long it all took.
    async fn everywhere<F: Future<Output = Result<()>> + Send + 'static>(
        &self,
        callers: usize,
        run: impl Fn(Queue, String) -> F,
    ) -> Result<Duration> {
        let start = Instant::now();
        let mut callers_running = JoinSet::new();
        for (i, queue) in self.queues.iter().enumerate() {
            for caller in 0..callers {
                callers_running.spawn(run(queue.clone(), format!("worker-{i}-{caller}")));
            }
        }
        while let Some(done) = callers_running.join_next().await {
            done??;
        }
        Ok(start.elapsed())
    }

    /// Processor time used by Redis, and by us.
    async fn cpu(&self) -> Result<(Duration, Duration)> {
        let user = info(&self.server, "cpu", "used_cpu_user").await?;
        let system = info(&self.server, "cpu", "used_cpu_sys").await?;
        Ok((Duration::from_secs_f64(user + system), own_cpu()?))
    }

    /// So many lifecycles; they leave the backlog as it is.
    async fn lifecycles(&self, count: u64, together: u64, callers: usize) -> Result<Duration> {
        let left = Arc::new(AtomicU64::new(count / together));
        self.everywhere(callers, |queue, worker| {
            let (left, jobs) = (left.clone(), self.jobs.clone());
            async move {
                while take(&left) {
                    let batch: Vec<Job> = (0..together).map(|_| jobs.next(1)).collect();
                    lifecycle(&queue, &worker, &batch).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// So many lifecycles of one-image jobs, one at a time by each caller: a job is queued, a task is claimed (perhaps of
    /// another job), completed, and its job forgotten. Workers claim and complete each for itself; what is queued and
    /// forgotten goes through one operator.
    async fn singles(&self, count: u64) -> Result<Duration> {
        let left = Arc::new(AtomicU64::new(count));
        let operator = Operator::start(self.operator.clone());
        let took = self
            .everywhere(SINGLE_CALLERS, |queue, worker| {
                let (left, jobs, operator) = (left.clone(), self.jobs.clone(), operator.clone());
                async move {
                    while take(&left) {
                        operator.enqueue(jobs.next(1)).await?;
                        let leases = queue.claim(&claim(&worker, 1)).await?;
                        complete(&queue, &worker, &leases).await?;
                        for lease in leases {
                            operator.forget(lease.task.job).await?;
                        }
                    }
                    Ok(())
                }
            })
            .await?;
        Ok(took)
    }

    /// Images per second of jobs of a hundred; a consumer of the results forgets them as they finish.
    async fn batches(&self, jobs: u64) -> Result<f64> {
        let left = Arc::new(AtomicU64::new(jobs));
        let mut results = Results::open(&self.operator, "operator-0").await?;
        let operator = self.operator.clone();
        let forgetting = tokio::spawn(async move {
            let mut finished = 0;
            while finished < jobs {
                let events = results.next(500, Duration::from_secs(1)).await?;
                let over = events.iter().filter(|event| event.kind == EventKind::Finished);
                let uids: Vec<JobUid> = over.map(|event| event.job.clone()).collect();
                operator.forget_many(&uids).await?;
                results.ack(events.iter().map(|event| event.id.as_str())).await?;
                finished += u64::try_from(uids.len())?;
            }
            anyhow::Ok(())
        });
        let start = Instant::now();
        self.everywhere(4, |queue, worker| {
            let (left, jobs) = (left.clone(), self.jobs.clone());
            async move {
                while take(&left) {
                    let job = jobs.next(BATCH);
                    queue.enqueue(&job).await?;
                    let mut claimed = 0;
                    while claimed < BATCH {
                        let leases = queue.claim(&claim(&worker, BATCH - claimed)).await?;
                        claimed += u32::try_from(leases.len())?;
                        complete(&queue, &worker, &leases).await?;
                    }
                }
                Ok(())
            }
        })
        .await?;
        forgetting.await??;
        ensure!(self.all_jobs().await?.is_empty(), "jobs are left");
        Ok(per_second(jobs * u64::from(BATCH), start.elapsed()))
    }

    async fn all_jobs(&self) -> Result<Vec<JobUid>> {
        let (mut uids, mut cursor) = (Vec::new(), Some(0));
        while let Some(at) = cursor {
            let page = self.operator.jobs(at).await?;
            uids.extend(page.jobs);
            cursor = page.next;
        }
        uids.sort();
        uids.dedup();
        Ok(uids)
    }

    /// Lets so many one-image jobs wait.
    async fn fill(&self, count: u64) -> Result<()> {
        let left = Arc::new(AtomicU64::new(count / 100));
        self.everywhere(2, |queue, _| {
            let (left, jobs) = (left.clone(), self.jobs.clone());
            async move {
                while take(&left) {
                    let batch: Vec<Job> = (0..100).map(|_| jobs.next(1)).collect();
                    queue.enqueue_many(&batch).await?;
                }
                Ok(())
            }
        })
        .await?;
        Ok(())
    }

    /// The longest of so many looks of the reaper, ms.
    async fn longest_reap(&self, looks: u32) -> Result<f64> {
        let mut longest: f64 = 0.0;
        for _ in 0..looks {
            let began = Instant::now();
            self.operator.reap().await?;
            longest = longest.max(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(longest)
    }

    /// The median and the 99th percentile of claim and complete together, ms, at half of what this machine can do, while
    /// other workers hold tasks and send heartbeats, and an operator reaps and looks. What is taken is queued again.
    async fn latency(&self, time: Duration) -> Result<(f64, f64)> {
        const WORKERS: usize = 200;
        const TRIED: u64 = 10_000;
        let capacity = per_second(TRIED, self.singles(TRIED).await?);
        let beside = Beside::start(&self.operator, &self.queues, WORKERS).await?;
        let operator = Operator::start(self.operator.clone());
        let pace = Arc::new(Mutex::new(interval(Duration::from_secs_f64(2.0 / capacity))));
        let all = Arc::new(Mutex::new(Vec::new()));
        self.everywhere(SINGLE_CALLERS, |queue, worker| {
            let (jobs, operator) = (self.jobs.clone(), operator.clone());
            let (pace, all) = (pace.clone(), all.clone());
            async move {
                let start = Instant::now();
                while start.elapsed() < time {
                    pace.lock().await.tick().await;
                    let began = Instant::now();
                    let leases = queue.claim(&claim(&worker, 1)).await?;
                    complete(&queue, &worker, &leases).await?;
                    all.lock().await.push(began.elapsed().as_secs_f64() * 1e3);
                    for lease in leases {
                        operator.forget(lease.task.job).await?;
                    }
                    operator.enqueue(jobs.next(1)).await?;
                }
                Ok(())
            }
        })
        .await?;
        beside.stop().await?;
        let mut all = std::mem::take(&mut *all.lock().await);
        all.sort_by(f64::total_cmp);
        Ok((all[all.len() / 2], all[all.len() * 99 / 100]))
    }
}

/// The cost of a lifecycle with a million jobs waiting, against a thousand; and the memory of a waiting job.
async fn growth() -> Result<(f64, f64)> {
    const ROUNDS: usize = 9;
    const PER_ROUND: u64 = 10_000;
    // Without the append-only file: its rewrites of a gigabyte would be what is measured.
    let small = Bench::start(Persistence::None, MANY_TENANTS).await?;
    small.fill(1_000).await?;
    let large = Bench::on(small.server.clone(), "bench/large", MANY_TENANTS).await?;
    let before = used_memory(&small.server).await?;
    large.fill(1_000_000).await?;
    let bytes_per_job = (used_memory(&small.server).await? - before) / 1e6;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let at_small = small.lifecycles(PER_ROUND, 1, CALLERS).await?;
        ratios.push(large.lifecycles(PER_ROUND, 1, CALLERS).await?.as_secs_f64() / at_small.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    Ok((ratios[ROUNDS / 2], bytes_per_job))
}

async fn connect(server: &testkit::Redis, pool: &str) -> Result<Queue> {
    Ok(Queue::new(Redis::connect(&server.url()).await?, pool))
}

async fn info(server: &testkit::Redis, section: &str, field: &str) -> Result<f64> {
    let client = redis::Client::open(server.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await?;
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("no {field}"))?.trim().parse()?)
}

async fn used_memory(server: &testkit::Redis) -> Result<f64> {
    info(server, "memory", "used_memory").await
}

/// Processor time this process has used, of /proc/self/stat, whose unit is 10 ms.
fn own_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("no command in stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(10 * ticks))
}

/// Enqueues one-image jobs, claims as many tasks (perhaps others'), completes them and forgets their jobs.
async fn lifecycle(queue: &Queue, worker: &str, jobs: &[Job]) -> Result<()> {
    queue.enqueue_many(jobs).await?;
    let leases = queue.claim(&claim(worker, u32::try_from(jobs.len())?)).await?;
    complete(queue, worker, &leases).await?;
    let uids: Vec<JobUid> = leases.into_iter().map(|lease| lease.task.job).collect();
    queue.forget_many(&uids).await?;
    Ok(())
}

fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[allow(clippy::cast_precision_loss)] // far below 2^53
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
