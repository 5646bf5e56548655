//! Step two: how far the queue is with a job, and what follows from it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use queue::{EventKind, JobState, JobUid, WorkerSeen, WorkerState};
use tokio::time::Instant;

use super::{FULL_AGAIN, Jobs, Step};
use crate::{
    imagejob::{
        decide::{self, Next},
        listing::Tally,
        pace::{WriteWhen, when_to_write},
        promise::Prospect,
        status::{self, End},
        validate,
    },
    index::{JobRecord, PoolKey, Standing, Uid, Why},
    keeper::{Failure, Look, Order},
    node,
    planner::{JobNews, PoolHandle},
    workerpool::{outlook::Asked, prices::PriceHistory},
};

/// The end of a cancelled job waits so long for its manifest: its workers let go of its images within a heartbeat, and
/// one of them stores it.
const MANIFEST_WITHIN: Duration = Duration::from_secs(60);

impl Jobs {
    /// Asks the queue how far a job is. `stopped`: it was told to stop it.
    pub(super) fn look(&mut self, record: &JobRecord, stopped: bool) {
        let uid = record.uid;
        let Some(pool) = record.pool() else { return };
        let Some(handle) = self.handle(Some(pool)) else {
            match self.index.pools.get(pool) {
                // It is about to be at work.
                Some(_) => self.timers.set(uid, Instant::now() + FULL_AGAIN),
                None => self.tell_without_pool(record),
            }
            return;
        };
        if !self.take_slot(uid) {
            return;
        }
        let tally = self.tally(record).map(Box::new);
        let look = Look { job: uid, total: record.spec.count, tally, all: record.spec.cancel };
        if handle.keeper.orders.try_send(Order::Look(look)).is_err() {
            self.slots += 1;
            self.timers.set(uid, Instant::now() + FULL_AGAIN);
            return;
        }
        self.begin_at(uid, Step::Looking { stopped }, pool, &handle);
    }

    /// Adds up what came of a job's images, at its pool's prices.
    fn tally(&self, record: &JobRecord) -> Option<Tally> {
        let terms = record.told.terms.as_ref()?;
        let pool = self.index.pools.get(&terms.pool)?;
        let output = match &terms.output {
            Some(output) => Arc::clone(output),
            None => Arc::new(validate::output(&pool.object)),
        };
        let prices = Arc::new(PriceHistory::of(&pool.object));
        Some(Tally::new(output, prices, pool.object.spec.currency.clone()))
    }

    /// The queue has answered.
    pub(super) fn seen(
        &mut self,
        uid: Uid,
        pool: &PoolKey,
        result: Result<Option<JobState>, Failure>,
        tally: Option<Box<Tally>>,
    ) {
        let is_looking = |step: &Step| matches!(step, Step::Looking { .. });
        let Some((Step::Looking { stopped }, again)) = self.end(uid, is_looking) else { return };
        let Some(record) = self.index.jobs.live(uid) else {
            return self.take_off_queue(uid, Some(pool)); // deleted meanwhile
        };
        self.paces.entry(uid).or_default().looked = Some(Instant::now());
        let state = match result {
            Ok(state) => state,
            Err(failure) => return self.queue_failed(&record, &failure),
        };
        self.went_well(uid);
        if state.is_some() {
            self.filled(uid);
        }
        match decide::next(&record, state, stopped) {
            Next::QueueAgain => self.accept(&record),
            Next::CancelUnqueued => self.cancel_unqueued(&record),
            Next::Cancel => self.change(&record, Order::Cancel { job: uid }, true),
            Next::Suspend { suspend: true } => self.change(&record, Order::Suspend { job: uid }, false),
            Next::Suspend { suspend: false } => {
                let arrival_ms = validate::millis(status::resumed(&record, Timestamp::now()));
                self.change(&record, Order::Resume { job: uid, arrival_ms }, false);
            }
            Next::AwaitManifest(state) if self.manifest_may_come(&record) => {
                self.follow(&record, &state, tally.as_deref());
                self.again(uid, again);
            }
            Next::AwaitManifest(state) | Next::Cancelled(state) => {
                self.finish(&record, End::Cancelled, &state, tally);
            }
            Next::Finish(state) => {
                let complete = state.succeeded >= record.spec.count;
                let end = if complete { End::Completed } else { End::ImagesFailed };
                self.finish(&record, end, &state, tally);
            }
            Next::Follow(state) => {
                self.follow(&record, &state, tally.as_deref());
                self.again(uid, again);
            }
        }
    }

    /// Whether a worker is there to store a cancelled job's manifest, and has had less than [`MANIFEST_WITHIN`] to do so.
    fn manifest_may_come(&mut self, record: &JobRecord) -> bool {
        let Some(handle) = self.handle(record.pool()) else { return false };
        let can_store = |worker: &WorkerSeen| {
            worker.state == WorkerState::Ready
                && worker.order == queue::Order::Work
                && worker.trouble.is_none()
        };
        let snapshot = Arc::clone(&handle.keeper.snapshot.borrow());
        let may = snapshot.stats.as_ref().is_none_or(|stats| stats.workers.iter().any(can_store));
        let now = Instant::now();
        let pace = self.paces.entry(record.uid).or_default();
        let until = *pace.manifest_until.get_or_insert(now + MANIFEST_WITHIN);
        if !may || until <= now {
            return false;
        }
        self.timers.set(record.uid, until);
        true
    }

    fn change(&mut self, record: &JobRecord, order: Order, stopped: bool) {
        let Some(pool) = record.pool() else { return };
        match self.handle(Some(pool)) {
            Some(handle) if handle.keeper.orders.try_send(order).is_ok() => {
                self.begin_at(record.uid, Step::Changing { stopped }, pool, &handle);
            }
            Some(_) | None => self.timers.set(record.uid, Instant::now() + FULL_AGAIN),
        }
    }

    /// The queue has suspended, resumed or stopped it: how far is it now?
    pub(super) fn changed(&mut self, uid: Uid, result: Result<(), Failure>) {
        let is_changing = |step: &Step| matches!(step, Step::Changing { .. });
        let Some((Step::Changing { stopped }, _)) = self.end(uid, is_changing) else { return };
        let Some(record) = self.index.jobs.live(uid) else { return };
        match result {
            Ok(()) => self.look(&record, stopped),
            Err(failure) => self.queue_failed(&record, &failure),
        }
    }

    /// It goes on: its user is told when it is worth it.
    fn follow(&mut self, record: &JobRecord, state: &JobState, tally: Option<&Tally>) {
        let uid = record.uid;
        let Some(terms) = &record.told.terms else { return };
        let now = Timestamp::now();
        let handle = self.handle(Some(&terms.pool));
        let prospect = match &handle {
            Some(handle) => prospect(record, state.waiting > 0, handle),
            None => Prospect::default(),
        };
        let pool = self.pool_seen(&terms.pool, Some(&terms.class));
        let told = status::following(record, state, &pool, &prospect, now);
        if let (Some(handle), Some(tally)) = (&handle, tally) {
            self.learn(record, tally, handle);
        }
        let pace = self.paces.entry(uid).or_default();
        let ago = pace.written.map(|written| written.elapsed());
        let when = if pace.unwritten { WriteWhen::Now } else { when_to_write(&record.told, &told, ago, now) };
        match when {
            WriteWhen::Now => self.tell_failing(record, told, state.last_dead.as_deref()),
            WriteWhen::After(wait) => self.timers.set(uid, Instant::now() + wait),
            WriteWhen::Never => {}
        }
    }

    /// Tells scaling how long the latest images took, each once.
    pub(super) fn learn(&mut self, record: &JobRecord, tally: &Tally, handle: &PoolHandle) {
        let pace = self.paces.entry(record.uid).or_default();
        let gpu_ms: Vec<u64> = tally.latest(pace.learned_ms).collect();
        pace.learned_ms = tally.last_ms().unwrap_or_default().max(pace.learned_ms);
        let known = (record.units(), record.model(), record.work());
        let (Some(units), Some(model), Some(work)) = known else { return };
        if !gpu_ms.is_empty() {
            let model = model.to_owned();
            // A closed channel means that the pool is gone.
            let _ = handle.news.send(JobNews::Took { work, model, units, gpu_ms });
        }
    }

    fn tell_without_pool(&mut self, record: &JobRecord) {
        if record.spec.cancel {
            return self.cancel_unqueued(record);
        }
        let told = status::without_pool(record, Timestamp::now());
        self.tell(record, told);
    }

    /// Its pool's results say that something happened to jobs.
    pub(super) fn happened(&mut self, pool: &PoolKey, events: Vec<(JobUid, EventKind)>) {
        for (job, kind) in events {
            let Ok(uid) = job.0.parse::<Uid>() else { continue };
            match self.index.jobs.standing(uid) {
                Standing::Live => {
                    let why = match kind {
                        EventKind::Started | EventKind::Advanced => Why::Progress,
                        EventKind::Returned | EventKind::Dead | EventKind::Finished | EventKind::Other => {
                            Why::Turn
                        }
                    };
                    self.index.jobs.mark(uid, why);
                }
                // A leader that was deposed while it slept may have queued it once more.
                Standing::Ended => self.take_off_queue(uid, Some(pool)),
                // The watch may be late; if it is gone, a sweep finds it.
                Standing::Unknown => {}
            }
        }
    }
}

/// When a job's last image should be done, by its pool's last plan.
pub(super) fn prospect(record: &JobRecord, waits: bool, handle: &PoolHandle) -> Prospect {
    let (Some(terms), Some(due)) = (&record.told.terms, record.told.due()) else {
        return Prospect::default();
    };
    let asked = Asked {
        job: record.uid,
        class: &terms.class,
        model: record.model(),
        due: node::time(due),
        sla: Duration::from_secs(terms.sla_seconds.into()),
        waits: waits && !record.spec.suspend,
    };
    let outlook = handle.outlook.borrow();
    Prospect { expected: outlook.expected(&asked), pool: outlook.state.clone() }
}
