//! The operator's side of the queue: one task that takes whatever its callers wait for and does it in one call, as the
//! keeper of a pool does.

use anyhow::{Context, Result};
use queue::{Job, JobUid, Queue};
use tokio::sync::{mpsc, oneshot};

/// Callers that wait, and orders taken at once, at most.
const WAITING: usize = 500;

#[derive(Clone)]
pub(crate) struct Operator(mpsc::Sender<Order>);

enum Order {
    Enqueue(Box<Job>, oneshot::Sender<()>),
    Forget(JobUid, oneshot::Sender<()>),
}

impl Operator {
    /// It ends with the last of its callers.
    pub(crate) fn start(queue: Queue) -> Self {
        let (sender, orders) = mpsc::channel(WAITING);
        tokio::spawn(run(queue, orders));
        Self(sender)
    }

    pub(crate) async fn enqueue(&self, job: Job) -> Result<()> {
        self.order(|done| Order::Enqueue(Box::new(job), done)).await
    }

    pub(crate) async fn forget(&self, job: JobUid) -> Result<()> {
        self.order(|done| Order::Forget(job, done)).await
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.send(order(done)).await.ok().context("the operator has ended")?;
        answer.await.context("the operator could not do it")
    }
}

async fn run(queue: Queue, mut orders: mpsc::Receiver<Order>) -> queue::Result<()> {
    let mut batch = Vec::with_capacity(WAITING);
    while orders.recv_many(&mut batch, WAITING).await > 0 {
        let (mut jobs, mut uids, mut callers) = (Vec::new(), Vec::new(), Vec::new());
        for order in batch.drain(..) {
            match order {
                Order::Enqueue(job, done) => {
                    jobs.push(*job);
                    callers.push(done);
                }
                Order::Forget(uid, done) => {
                    uids.push(uid);
                    callers.push(done);
                }
            }
        }
        queue.enqueue_many(&jobs).await?;
        queue.forget_many(&uids).await?;
        for done in callers {
            // A caller that has gone needs no answer.
            let _ = done.send(());
        }
    }
    Ok(())
}
