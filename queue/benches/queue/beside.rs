//! What goes on beside the work: workers that hold a task and send heartbeats, and an operator that reaps and reads the
//! statistics.

use std::time::Duration;

use anyhow::{Result, ensure};
use queue::{
    Beat, HEARTBEAT, HeldLease, Lease, NodeProgress, Queue, REAP_EVERY, Renewed, RunningNode, WorkerId,
    WorkerState,
};
use tokio::{sync::watch, task::JoinSet, time};

use crate::work::{claim, complete};

pub(crate) struct Beside {
    tasks: JoinSet<Result<()>>,
    stop: watch::Sender<bool>,
}

impl Beside {
    /// So many workers, on these connections in turn, and the operator on its own.
    pub(crate) async fn start(operator: &Queue, queues: &[Queue], workers: usize) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for i in 0..workers {
            let (queue, worker) = (queues[i % queues.len()].clone(), format!("busy-{i}"));
            let leases = queue.claim(&claim(&worker, 1)).await?;
            ensure!(leases.len() == 1, "nothing waits");
            // Their heartbeats are spread over the time between two of one worker.
            let first = HEARTBEAT.mul_f64(f64::from(u32::try_from(i)?) / f64::from(u32::try_from(workers)?));
            tasks.spawn(hold(queue, worker, leases, first, stopped.clone()));
        }
        tasks.spawn(look_after(operator.clone(), stopped));
        Ok(Self { tasks, stop })
    }

    /// What the workers hold is done.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.send(true)?;
        while let Some(done) = self.tasks.join_next().await {
            done??;
        }
        Ok(())
    }
}

async fn hold(
    queue: Queue,
    worker: String,
    leases: Vec<Lease>,
    first: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut ticks = time::interval_at(time::Instant::now() + first, HEARTBEAT);
    let mut step = 0;
    let running = RunningNode { id: "3".into(), class: Some("KSampler".into()) };
    let nodes = NodeProgress { done: 4, total: 7, running: Some(running) };
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => step += 1,
        }
        let held = leases.iter().map(|lease| HeldLease {
            task: lease.task.clone(),
            attempt: lease.attempt,
            progress: Some((step, 20)),
            nodes: Some(nodes.clone()),
        });
        let beat = Beat {
            leases: held.collect(),
            state: WorkerState::Ready,
            capacity: "spot".into(),
            loaded: leases.first().map(|lease| lease.model.clone()),
            ..Beat::default()
        };
        let reply = queue.beat(&WorkerId(worker.clone()), &beat).await?;
        ensure!(reply.leases.iter().all(|renewed| *renewed == Renewed::Keep), "a lease was lost");
    }
    complete(&queue, &worker, &leases).await
}

async fn look_after(queue: Queue, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let mut ticks = time::interval(REAP_EVERY);
    loop {
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let report = queue.reap().await?;
        ensure!(report.expired == 0, "leases have ended");
        queue.stats().await?;
    }
}
