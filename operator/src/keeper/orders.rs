//! What a keeper is asked to do to its queue, and what it answers.

use futures::future::join_all;
use queue::{Enqueued, JobState, JobUid, Retired, ServerRun, WorkerId};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::Keeping;
use crate::{
    imagejob::listing::Tally,
    index::{PoolKey, Uid},
};

/// Outcomes are read in pages of this many.
const PAGE: u32 = 1000;

/// A change of the queue, or a question about it.
#[derive(Debug)]
pub(crate) enum Order {
    Enqueue(Box<NewJob>),
    /// How far is a job?
    Look(Look),
    /// Let claims pass a job by.
    Suspend {
        job: Uid,
    },
    /// Its due clock goes on as if it had started then, ms since the Unix epoch.
    Resume {
        job: Uid,
        arrival_ms: u64,
    },
    /// Stop a job; its workers hear of it at their next heartbeat.
    Cancel {
        job: Uid,
    },
    /// Remove all that is known of a job.
    Forget {
        job: Uid,
    },
    /// Every unfinished job was queued again after this run of Redis had begun.
    Filled(ServerRun),
    /// Look through the whole queue soon: which jobs does it know, and are they as they should be?
    LookThrough,
    Worker {
        worker: WorkerId,
        order: queue::Order,
    },
    /// What the pool's owner wants of the queue.
    Configure(queue::Settings),
    /// Only the queue can say that a worker holds nothing; it then claims nothing more.
    Retire {
        worker: WorkerId,
    },
    /// Take all that a worker holds back for good.
    Evict {
        worker: WorkerId,
    },
}

/// A job for the queue.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) uid: Uid,
    pub(crate) job: queue::Job,
    /// The room that its work takes in memory until it is queued.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// What is asked about a job.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) job: Uid,
    /// Images of the job.
    pub(crate) total: u32,
    /// Counts outcomes: all of them once the job is over or `all` is set, else the latest.
    pub(crate) tally: Option<Box<Tally>>,
    pub(crate) all: bool,
}

/// What a keeper says about jobs.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) pool: PoolKey,
    pub(crate) answer: JobAnswer,
}

/// See [`Answer`].
#[derive(Debug)]
pub(crate) enum JobAnswer {
    /// The queue was asked to take it.
    Enqueued { job: Uid, result: Result<Enqueued, Failure> },
    /// How far it is; `None`: the queue knows nothing of it.
    Seen { job: Uid, result: Result<Option<JobState>, Failure>, tally: Option<Box<Tally>> },
    /// It was suspended, resumed or cancelled.
    Changed { job: Uid, result: Result<(), Failure> },
    /// Something happened to jobs.
    Events(Vec<(JobUid, queue::EventKind)>),
    /// Redis may have lost something since this run of it began.
    Lost(ServerRun),
    /// The workers' engines have something else than before.
    Engines,
    /// Jobs that the queue knows.
    Known(Vec<JobUid>),
}

/// Why the queue did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// Redis can't be reached: its pool's status says so, once for all its jobs.
    pub(crate) away: bool,
}

impl From<&queue::Error> for Failure {
    fn from(error: &queue::Error) -> Self {
        Self { message: error.to_string(), away: matches!(error, queue::Error::Redis(_)) }
    }
}

/// What a keeper says about workers.
#[derive(Debug, Clone)]
pub(crate) enum WorkerAnswer {
    /// It was told; a snapshot read since then shows it.
    Told { worker: WorkerId, at: Instant },
    /// It holds nothing and claims nothing more, or else it is busy and stays.
    Retired { worker: WorkerId, retired: bool, at: Instant },
    /// What it held waits again: so many images.
    Evicted { worker: WorkerId, requeued: u32, at: Instant },
    /// The queue could not be changed.
    Failed { worker: WorkerId },
}

impl Keeping {
    /// Carries out orders one after the other, those of one kind together; whether any of them changes what a
    /// snapshot shows.
    pub(super) async fn carry_out(&mut self, orders: Vec<Order>) -> bool {
        let (mut new, mut over, mut looks) = (Vec::new(), Vec::new(), Vec::new());
        let mut changes = false;
        for order in orders {
            if !matches!(order, Order::Look(_) | Order::LookThrough) {
                changes = true;
            }
            // What is asked about a job comes after what was ordered before.
            match order {
                Order::Enqueue(job) => new.push(*job),
                Order::Forget { job } => over.push(job.job()),
                Order::Look(look) => looks.push(look),
                other => {
                    self.flush(&mut new, &mut over, &mut looks).await;
                    self.carry_out_one(other).await;
                }
            }
        }
        self.flush(&mut new, &mut over, &mut looks).await;
        changes
    }

    async fn flush(&self, new: &mut Vec<NewJob>, over: &mut Vec<JobUid>, looks: &mut Vec<Look>) {
        if !new.is_empty() {
            self.enqueue(std::mem::take(new)).await;
        }
        if !over.is_empty() {
            self.forget(&std::mem::take(over)).await;
        }
        if !looks.is_empty() {
            let looks = std::mem::take(looks).into_iter().map(|look| self.look_at(look));
            join_all(looks).await;
        }
    }

    async fn carry_out_one(&mut self, order: Order) {
        match order {
            Order::Enqueue(_) | Order::Forget { .. } | Order::Look(_) => {}
            Order::Suspend { job } => {
                let result = self.queue.suspend(&job.job()).await.map(drop);
                self.changed(job, result).await;
            }
            Order::Resume { job, arrival_ms } => {
                let result = self.queue.resume(&job.job(), arrival_ms).await.map(drop);
                self.changed(job, result).await;
            }
            Order::Cancel { job } => {
                let result = self.queue.cancel(&job.job()).await.map(drop);
                self.changed(job, result).await;
            }
            Order::Configure(settings) => self.configure(Some(settings)).await,
            Order::Filled(run) => self.filled(run).await,
            Order::LookThrough => self.look_through = true,
            Order::Worker { worker, order } => {
                let result = self.queue.order(&worker, order).await;
                self.worker(&worker, result, |worker, ()| WorkerAnswer::Told { worker, at: Instant::now() });
            }
            Order::Retire { worker } => {
                let result = self.queue.try_retire(&worker).await;
                self.worker(&worker, result, |worker, retired| WorkerAnswer::Retired {
                    worker,
                    retired: retired == Retired::Yes,
                    at: Instant::now(),
                });
            }
            Order::Evict { worker } => {
                let result = self.queue.evict(&worker).await;
                self.worker(&worker, result, |worker, requeued| WorkerAnswer::Evicted {
                    worker,
                    requeued,
                    at: Instant::now(),
                });
            }
        }
    }

    async fn enqueue(&self, new: Vec<NewJob>) {
        let (mut uids, mut jobs, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for NewJob { uid, job, room } in new {
            uids.push(uid);
            jobs.push(job);
            rooms.push(room);
        }
        let answers: Vec<Result<Enqueued, Failure>> = match self.queue.enqueue_many(&jobs).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            // Which of them it is about, each one's own answer tells.
            Err(queue::Error::Job { .. } | queue::Error::Full(_)) => {
                let one = async |job| self.queue.enqueue(job).await.map_err(|error| Failure::from(&error));
                join_all(jobs.iter().map(one)).await
            }
            Err(error) => {
                self.report(&error);
                vec![Err(Failure::from(&error)); uids.len()]
            }
        };
        drop((jobs, rooms));
        let at = Instant::now();
        for (job, result) in uids.into_iter().zip(answers) {
            match &result {
                Ok(_) => self.intake.queued(job, at),
                Err(_) => self.intake.remove(job),
            }
            self.say(JobAnswer::Enqueued { job, result }).await;
        }
    }

    async fn forget(&self, over: &[JobUid]) {
        // What could not be forgotten the next sweep finds.
        if let Err(error) = self.queue.forget_many(over).await {
            tracing::debug!(pool = %self.key, %error, "jobs not taken off the queue yet");
            self.report(&error);
        }
    }

    async fn look_at(&self, look: Look) {
        let Look { job, total, mut tally, all } = look;
        let result = self.state(job, total, &mut tally, all).await;
        let result = result.map_err(|error| self.failure(&error));
        self.say(JobAnswer::Seen { job, result, tally }).await;
    }

    async fn state(
        &self,
        job: Uid,
        total: u32,
        tally: &mut Option<Box<Tally>>,
        all: bool,
    ) -> queue::Result<Option<JobState>> {
        let uid = job.job();
        let Some(state) = self.queue.job(&uid).await? else { return Ok(None) };
        let Some(tally) = tally else { return Ok(Some(state)) };
        let over = state.finished;
        let done = state.succeeded + state.failed;
        let from = if over || all { 0 } else { done.saturating_sub(tally.enough()) };
        for from in (from..total).step_by(PAGE as usize) {
            let page = self.queue.outcomes(&uid, from, PAGE).await?;
            let last = page.is_empty() && from >= done;
            page.iter().for_each(|outcome| tally.add(outcome));
            if last && !over {
                break;
            }
        }
        Ok(Some(state))
    }

    async fn changed(&self, job: Uid, result: queue::Result<()>) {
        let result = result.map_err(|error| self.failure(&error));
        self.say(JobAnswer::Changed { job, result }).await;
    }

    fn failure(&self, error: &queue::Error) -> Failure {
        self.report(error);
        Failure::from(error)
    }

    async fn filled(&mut self, run: ServerRun) {
        if self.filling.as_ref().is_none_or(|(filling, _)| *filling != run) {
            return; // it was lost again meanwhile
        }
        // What fails is told again with the next look at the epoch.
        match self.queue.set_epoch(&run).await {
            Ok(()) => self.filling = None,
            Err(error) => self.report(&error),
        }
    }

    /// What fails is said again with the next look at the epoch.
    pub(super) async fn configure(&mut self, settings: Option<queue::Settings>) {
        if let Some(settings) = settings {
            self.settings = Some((settings, false));
        }
        if let Some((settings, told @ false)) = &mut self.settings {
            match self.queue.configure(settings).await {
                Ok(()) => *told = true,
                Err(error) => self.report(&error),
            }
        }
    }

    /// Looks through the whole queue for what is not as it should be.
    pub(super) async fn look_through(&mut self) -> queue::Result<()> {
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let page = self.queue.jobs(from).await?;
            if !page.lost.is_empty() {
                let jobs = page.lost.len();
                tracing::error!(pool = %self.key, jobs, "Redis has dropped jobs: set its maxmemory-policy to noeviction");
                self.metrics.dropped.inc_by(jobs as u64);
                let lost = page.lost.into_iter().map(|job| (job, queue::EventKind::Returned));
                self.say(JobAnswer::Events(lost.collect())).await;
            }
            if !page.jobs.is_empty() {
                self.say(JobAnswer::Known(page.jobs)).await;
            }
            cursor = page.next;
        }
        self.look_through = false;
        Ok(())
    }

    fn worker<T>(
        &self,
        worker: &WorkerId,
        result: queue::Result<T>,
        answer: impl FnOnce(WorkerId, T) -> WorkerAnswer,
    ) {
        let answer = match result {
            Ok(result) => answer(worker.clone(), result),
            Err(error) => {
                self.report(&error);
                WorkerAnswer::Failed { worker: worker.clone() }
            }
        };
        // A closed channel means that the process is ending.
        let _ = self.answers.workers.send(answer);
    }

    async fn say(&self, answer: JobAnswer) {
        self.answer(Answer { pool: self.key.clone(), answer }).await;
    }
}

/// The words of a queue that follows a newer leader.
pub(super) fn deposed(error: &queue::Error) -> Option<String> {
    matches!(error, queue::Error::Deposed { .. }).then(|| error.to_string())
}
