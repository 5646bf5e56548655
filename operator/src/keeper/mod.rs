//! Keeps one pool's queue in order: one task a pool, which is the only one that changes the queue.
//!
//! Every second it asks whether Redis has lost anything, takes back what nobody holds any more, and reads how things
//! stand; in between it carries out orders. It talks to Redis only, so the API server may be slow or away and a dead
//! worker's image still comes back in time. What it reads goes out as a [`Snapshot`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use queue::{EnginesRead, Epoch, Queue, REAP_EVERY, ServerRun};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use workflow::ObjectInfo;

use crate::{engines::Engines, index::PoolKey, metrics::Metrics};

mod engines;
mod intake;
mod orders;
pub(crate) mod results;
mod snapshot;
mod upkeep;

pub(crate) use intake::{Coming, Intake};
pub(crate) use orders::{Answer, Failure, JobAnswer, Look, NewJob, Order, WorkerAnswer};
pub(crate) use snapshot::Snapshot;
pub(crate) use upkeep::{Access, RedisSeen, Upkeep};

/// Orders that wait at most.
const ORDERS: usize = 4096;
/// Orders carried out before the queue is tended again.
const BATCH: usize = 512;
/// Between two readings of how things stand while orders change it: however many come, they cost no more than this.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Until it is filled again, that Redis has lost something is told this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// A queue without work and workers is tended this often.
const TEND_IDLE_EVERY: Duration = Duration::from_secs(5);

/// What the others hold of a pool's keeper.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    /// What the workers' engines have; `None`: not known yet.
    pub(crate) engines: watch::Receiver<Option<Arc<Engines>>>,
    /// Jobs on their way to the queue.
    pub(crate) intake: Arc<Intake>,
}

impl Keeper {
    /// Orders that a job is queued. `coming` counts as work from now on until a snapshot shows the job. Returns false, and
    /// counts nothing, when there is no room for another order.
    pub(crate) fn enqueue(&self, new: NewJob, coming: Option<Coming>) -> bool {
        let Ok(permit) = self.orders.try_reserve() else { return false };
        // Before the order goes: the keeper may have carried it out before this call returns.
        if let Some(coming) = coming {
            self.intake.add(new.uid, coming);
        }
        permit.send(Order::Enqueue(Box::new(new)));
        true
    }

    /// One whose orders the test takes, and whose snapshots it makes.
    #[cfg(test)]
    pub(crate) fn held() -> (Self, mpsc::Receiver<Order>, watch::Sender<Arc<Snapshot>>) {
        let (orders, taken) = mpsc::channel(ORDERS);
        let (sender, snapshot) = watch::channel(Arc::new(Snapshot::unread()));
        let (_, engines) = watch::channel(None);
        (Self { orders, snapshot, engines, intake: Arc::default() }, taken, sender)
    }
}

/// A keeper at work.
pub(crate) struct Keeping {
    key: PoolKey,
    queue: Queue,
    orders: mpsc::Receiver<Order>,
    answers: Answers,
    snapshot: watch::Sender<Arc<Snapshot>>,
    engines: watch::Sender<Option<Arc<Engines>>>,
    /// By their digests.
    definitions: HashMap<String, Arc<ObjectInfo>>,
    /// What workers told of engines, and when it was read last.
    engines_seen: EnginesRead,
    engines_read: Option<Instant>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    /// The run of Redis that is being filled again, and when that was last told.
    filling: Option<(ServerRun, Instant)>,
    tended: Option<Instant>,
    /// When it was last read how things stand.
    looked: Instant,
    /// Orders have changed something since.
    changed: bool,
    /// What the pool's owner wants of the queue, and whether it was told.
    settings: Option<(queue::Settings, bool)>,
    upkeep: Upkeep,
    redis: RedisSeen,
    looked_after: Option<Instant>,
    /// The whole queue is to be looked through: at first for what was left by the operator before this one.
    look_through: bool,
}

/// Where answers go: what concerns jobs, and what concerns workers.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) jobs: mpsc::Sender<Answer>,
    pub(crate) workers: mpsc::UnboundedSender<WorkerAnswer>,
    /// Told once when a newer leader is at work.
    pub(crate) deposed: mpsc::UnboundedSender<String>,
}

/// A pool's keeper, and its work.
pub(crate) fn open(
    key: PoolKey,
    queue: Queue,
    upkeep: Upkeep,
    answers: Answers,
    metrics: Arc<Metrics>,
) -> (Keeper, Keeping) {
    let (order_sender, orders) = mpsc::channel(ORDERS);
    let (snapshot_sender, snapshot) = watch::channel(Arc::new(Snapshot::unread()));
    let (engine_sender, engines) = watch::channel(None);
    let intake = Arc::<Intake>::default();
    let keeper = Keeper { orders: order_sender, snapshot, engines, intake: Arc::clone(&intake) };
    let keeping = Keeping {
        key,
        queue,
        orders,
        answers,
        snapshot: snapshot_sender,
        engines: engine_sender,
        definitions: HashMap::new(),
        engines_read: None,
        engines_seen: EnginesRead::default(),
        intake,
        metrics,
        filling: None,
        tended: None,
        looked: Instant::now(),
        changed: false,
        settings: None,
        upkeep,
        redis: RedisSeen::default(),
        looked_after: None,
        look_through: true,
    };
    (keeper, keeping)
}

impl Keeping {
    /// Works until nobody gives orders any more.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(REAP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let look_at = self.looked + LOOK_EVERY;
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    if self.tended.is_none_or(|at| at.elapsed() >= self.every()) {
                        self.tend().await;
                    }
                }
                () = sleep_until(look_at), if self.changed => self.look().await,
                n = self.orders.recv_many(&mut batch, BATCH) => {
                    if n == 0 {
                        return;
                    }
                    self.changed |= self.carry_out(std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    fn every(&self) -> Duration {
        if self.snapshot.borrow().is_idle() && self.intake.is_empty() { TEND_IDLE_EVERY } else { REAP_EVERY }
    }

    /// What is done every second.
    async fn tend(&mut self) {
        self.tended = Some(Instant::now());
        let begun = Instant::now();
        if let Err(error) = self.check_and_reap().await {
            self.publish(Snapshot::failed(begun, &error));
            self.report(&error);
            return;
        }
        self.look().await;
        self.read_engines().await;
        if self.look_through
            && let Err(error) = self.look_through().await
        {
            tracing::debug!(pool = %self.key, %error, "queue not looked through yet");
            self.report(&error);
        }
    }

    /// Reads how things stand.
    async fn look(&mut self) {
        let begun = Instant::now();
        (self.looked, self.changed) = (begun, false);
        let now = jiff::Timestamp::now();
        let snapshot = match self.queue.stats().await {
            // Until it is filled again, the queue shows only a part of what there is.
            Ok(_) if self.filling.is_some() => Snapshot::filling(&self.snapshot.borrow(), begun),
            Ok(stats) => Snapshot::read(&self.snapshot.borrow(), begun, stats, now),
            Err(error) => {
                self.report(&error);
                Snapshot::failed(begun, &error)
            }
        };
        self.publish(snapshot);
    }

    fn publish(&self, mut snapshot: Snapshot) {
        snapshot.redis = self.redis.clone();
        match (&self.snapshot.borrow().error, &snapshot.error) {
            (None, Some(error)) => tracing::warn!(pool = %self.key, error, "the queue cannot be read"),
            (Some(_), None) => tracing::info!(pool = %self.key, "the queue can be read again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// Has Redis lost anything, and has a lease ended?
    async fn check_and_reap(&mut self) -> queue::Result<()> {
        if let Epoch::Changed(run) = self.queue.epoch().await? {
            let told = |(told, at): &(ServerRun, Instant)| *told == run && at.elapsed() < TELL_AGAIN;
            if let Some((_, told)) = &mut self.settings {
                *told = false;
            }
            if !self.filling.as_ref().is_some_and(told) {
                self.filling = Some((run.clone(), Instant::now()));
                self.looked_after = None;
                self.answer(Answer { pool: self.key.clone(), answer: JobAnswer::Lost(run) }).await;
            }
        }
        self.look_after_redis().await;
        self.configure(None).await;
        let reaped = self.queue.reap().await?;
        let taken_back = u64::from(reaped.expired) + u64::from(reaped.missing);
        let labels = [self.key.to_string(), "leaseEnded".to_owned()];
        self.metrics.requeued.with_label_values(&labels).inc_by(taken_back);
        Ok(())
    }

    async fn answer(&self, answer: Answer) {
        // A closed channel means that the process is ending.
        let _ = self.answers.jobs.send(answer).await;
    }

    /// A newer leader ends this process.
    fn report(&self, error: &queue::Error) {
        if let Some(why) = orders::deposed(error) {
            let _ = self.answers.deposed.send(why);
        }
    }
}

#[cfg(test)]
mod tests;
