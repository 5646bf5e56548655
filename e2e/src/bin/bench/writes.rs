//! What the operator writes while jobs run and pools wait: as little as their users read.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use e2e::Operator;
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

/// Counts status writes in a minute, per running job and per pool. The jobs of `queue` run on, image by image, and the
/// pools wait for machines or have little to tell.
pub(crate) async fn per_minute(
    operator: &Operator,
    queue: &Queue,
    jobs: usize,
    pools: usize,
) -> Result<(f64, f64)> {
    let count = async {
        tokio::time::sleep(SETTLED).await;
        let before = written(operator).await?;
        tokio::time::sleep(WINDOW).await;
        let after = written(operator).await?;
        Ok::<_, anyhow::Error>((after.0 - before.0, after.1 - before.1))
    };
    let (of_jobs, of_pools) = tokio::select! {
        counted = count => counted?,
        ended = make_images(queue, jobs) => anyhow::bail!("the jobs did not last: {ended:?}"),
    };
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let each = |writes: f64, of: usize| writes / of as f64 * 60.0 / WINDOW.as_secs_f64();
    Ok((each(of_jobs, jobs), each(of_pools, pools)))
}

/// The status patches of jobs and of pools so far.
async fn written(operator: &Operator) -> Result<(f64, f64)> {
    let of = async |kind: &str| {
        operator.metric_with("imagejob_status_writes_total", &format!("kind=\"{kind}\"")).await
    };
    Ok((of("imagejob").await?, of("workerpool").await?))
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
