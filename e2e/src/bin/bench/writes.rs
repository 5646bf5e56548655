//! What the operator writes while jobs run and pools wait: as little as their users read.

use std::time::Duration;

use anyhow::Result;
use e2e::Operator;
use queue::{Claim, Completion, Queue, WorkerId};
use testkit::wait_for;

use crate::pipeline::{DEADLINE, result};

/// Counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Each running job has an image finished this often: slow enough to last, fast enough to have something to tell.
const IMAGE_EVERY: Duration = Duration::from_secs(2);

/// Counts status writes over a minute, by running job and by waiting pool. The jobs on `queue` run on, image by image, and
/// all other pools wait for machines.
pub(crate) async fn per_minute(
    operator: &Operator,
    queue: &Queue,
    jobs: usize,
    pools: usize,
) -> Result<(f64, f64)> {
    let worker = WorkerId("slow-engine".to_owned());
    let running = async || {
        let claimed = claim(queue, &worker, jobs).await.ok()?;
        let stats = queue.stats().await.ok()?;
        (claimed == 0 && stats.leases.len() >= jobs).then_some(())
    };
    wait_for("all jobs to run", DEADLINE, running).await?;
    let engine = tokio::time::timeout(2 * WINDOW, images(queue, &worker, jobs));
    let count = async {
        // What is told of a start is told by then.
        tokio::time::sleep(WINDOW / 2).await;
        let before = written(operator).await?;
        tokio::time::sleep(WINDOW).await;
        let after = written(operator).await?;
        Ok::<_, anyhow::Error>((after.0 - before.0, after.1 - before.1))
    };
    let (of_jobs, of_pools) = tokio::select! {
        counted = count => counted?,
        ended = engine => anyhow::bail!("the jobs did not last: {ended:?}"),
    };
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let each = |writes: f64, of: usize| writes / of as f64 * 60.0 / WINDOW.as_secs_f64();
    Ok((each(of_jobs, jobs), each(of_pools, pools)))
}

/// Status patches of jobs and of pools so far.
async fn written(operator: &Operator) -> Result<(f64, f64)> {
    let of = async |kind: &str| {
        operator.metric_with("imagejob_status_writes_total", &format!("kind=\"{kind}\"")).await
    };
    Ok((of("imagejob").await?, of("workerpool").await?))
}

/// Claims as many images as there are jobs, one of each.
async fn claim(queue: &Queue, worker: &WorkerId, max: usize) -> Result<usize> {
    let max = u32::try_from(max)?;
    let claim = Claim { worker: worker.clone(), capacity: "spot".to_owned(), loaded: None, max };
    Ok(queue.claim(&claim).await?.len())
}

/// Finishes an image of each job now and then, and begins the next.
async fn images(queue: &Queue, worker: &WorkerId, jobs: usize) -> Result<()> {
    loop {
        tokio::time::sleep(IMAGE_EVERY).await;
        let stats = queue.stats().await?;
        let done = stats.leases.into_iter().map(|lease| Completion {
            task: lease.task,
            attempt: lease.attempt,
            result: result(worker),
        });
        let done: Vec<Completion> = done.collect();
        anyhow::ensure!(!done.is_empty(), "no image is left");
        queue.complete_many(worker, &done).await?;
        claim(queue, worker, jobs).await?;
    }
}
