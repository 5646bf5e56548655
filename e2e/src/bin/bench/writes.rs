//! What the operator writes while jobs run and pools wait: as little as their users read.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use crds::ImageJob;
use e2e::Operator;
use futures::TryStreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use queue::{Beat, Claim, Completion, HeldLease, Lease, Queue, WorkerId, WorkerState};

use crate::pipeline::result;

/// Counted for so long, …
const WINDOW: Duration = Duration::from_secs(60);
/// … once the jobs have run for so long: what is told of a start is told by then.
const SETTLED: Duration = Duration::from_secs(30);
/// Each running job has an image finished this often, and all leases are renewed: half of what a lease may be silent.
const IMAGE_EVERY: Duration = Duration::from_secs(3);
/// The images that each job needs, so that it runs all the time.
pub(crate) const IMAGES: u32 = 40;

/// What the names of the running jobs begin with.
pub(crate) const NAMES: &str = "slow-";

/// Counts status writes in a minute, per running job and per pool. The jobs of `queue` run on, image by image, and the
/// pools wait for machines or have little to tell.
pub(crate) async fn per_minute(
    operator: &Operator,
    api: &Api<ImageJob>,
    queue: &Queue,
    jobs: usize,
    pools: usize,
) -> Result<(f64, f64)> {
    let count = async {
        tokio::time::sleep(SETTLED).await;
        let before = of_pools(operator).await?;
        let of_jobs = of_running_jobs(api).await?;
        Ok::<_, anyhow::Error>((of_jobs, of_pools(operator).await? - before))
    };
    let (of_jobs, of_pools) = tokio::select! {
        counted = count => counted?,
        ended = make_images(queue, jobs) => bail!("the jobs did not last: {ended:?}"),
    };
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let each = |writes: f64, of: usize| writes / of as f64 * 60.0 / WINDOW.as_secs_f64();
    Ok((each(of_jobs, jobs), each(of_pools, pools)))
}

/// The status patches of pools so far.
async fn of_pools(operator: &Operator) -> Result<f64> {
    operator.metric_with("imagejob_status_writes_total", "kind=\"workerpool\"").await
}

/// How often the running jobs change within the window. Others, which wait, are written too.
async fn of_running_jobs(api: &Api<ImageJob>) -> Result<f64> {
    let now = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let mut events = pin!(api.watch(&WatchParams::default(), &now.context("a list has a version")?).await?);
    let mut end = pin!(tokio::time::sleep(WINDOW));
    let mut writes = 0.0;
    loop {
        let event = tokio::select! {
            () = &mut end => return Ok(writes),
            event = events.try_next() => event?.context("the watch has ended")?,
        };
        if matches!(event, WatchEvent::Modified(job) if job.name_any().starts_with(NAMES)) {
            writes += 1.0;
        }
    }
}

/// Claims all images of all jobs, holds them, and finishes one of each job now and then.
async fn make_images(queue: &Queue, jobs: usize) -> Result<()> {
    let worker = WorkerId("slow-engine".to_owned());
    let claim = Claim { worker: worker.clone(), capacity: "spot".to_owned(), loaded: None, max: 100 };
    let mut held: BTreeMap<String, Vec<Lease>> = BTreeMap::new();
    loop {
        for lease in queue.claim(&claim).await? {
            held.entry(lease.task.job.0.clone()).or_default().push(lease);
        }
        let leases = held.values().flatten().map(|lease| HeldLease {
            task: lease.task.clone(),
            attempt: lease.attempt,
            progress: None,
            nodes: None,
        });
        let (leases, state) = (leases.collect(), WorkerState::Ready);
        let capacity = claim.capacity.clone();
        queue.beat(&worker, &Beat { leases, state, capacity, ..Beat::default() }).await?;
        if held.len() < jobs {
            continue; // not all of them run yet
        }
        tokio::time::sleep(IMAGE_EVERY).await;
        let done: Vec<Completion> = held
            .values_mut()
            .filter_map(Vec::pop)
            .map(|lease| Completion { task: lease.task, attempt: lease.attempt, result: result(&worker) })
            .collect();
        ensure!(done.len() == jobs, "{} of {jobs} jobs have images left", done.len());
        queue.complete_many(&worker, &done).await?;
    }
}
