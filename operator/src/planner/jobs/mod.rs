//! Brings every job forward.
//!
//! A job that changed is looked at in these steps; each ends with an order whose answer begins the next.
//!
//! | step | ordered | file |
//! |---|---|---|
//! | accept: what does it refer to, is it right? | of the loader, then of its pool's keeper: queue it | `accept.rs` |
//! | look: how far is it? | of its pool's keeper | `look.rs` |
//! | write: what does its user read? | of the job writer | `write.rs` |
//!
//! At most one step of a job is under way. Looks and writes take a slot each, so that the answers in memory are few; a
//! job that finds none waits in line.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use queue::ServerRun;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::Span;

use super::{Handles, PoolHandle, timers::Timers};
use crate::{
    executors::{
        Backoff,
        events::Events,
        jobs::{JobWriter, Written},
        loader::{Found, Loader},
    },
    imagejob::decide::{self, First},
    index::{Change, Index, JobRecord, PoolKey, Terms, Uid, Why},
    keeper::{Answer, JobAnswer, Order},
    metrics::Metrics,
};

mod accept;
mod accept_span;
mod deadlines;
mod look;
mod sweep;
mod write;

use write::Writing;

/// Looks and writes under way at once.
const SLOTS: usize = 64;
/// The work of jobs on their way to the queue takes so much memory at most, KiB.
const ROOM_KIB: usize = 32 * 1024;
/// Changes taken from the index at once.
const CHANGES: usize = 1000;
/// A job whose pool's keeper or whose executor has too much to do is tried again.
const FULL_AGAIN: Duration = Duration::from_millis(200);
/// Between two looks at a job for its progress.
const PROGRESS_LOOK_EVERY: Duration = Duration::from_secs(10);
/// After a failure.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Whether something that tells nobody has appeared.
const POLL: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));

/// Where answers come from.
pub(crate) struct Inbox {
    pub(crate) keepers: mpsc::Receiver<Answer>,
    pub(crate) loader: mpsc::Receiver<Found>,
    pub(crate) writer: mpsc::Receiver<(Uid, Written)>,
}

/// Whom orders go to.
pub(crate) struct Outbox {
    pub(crate) handles: Handles,
    pub(crate) loader: Loader,
    pub(crate) writer: JobWriter,
    pub(crate) events: Events,
}

/// Brings jobs forward.
pub(crate) struct Jobs {
    index: Index,
    out: Outbox,
    metrics: Arc<Metrics>,
    steps: HashMap<Uid, Under>,
    slots: usize,
    in_line: VecDeque<Uid>,
    timers: Timers<Uid>,
    paces: HashMap<Uid, Pace>,
    failures: HashMap<Uid, Backoff>,
    /// Jobs that wait for what another job makes, by its namespace and name.
    awaiting: HashMap<(Arc<str>, String), HashSet<Uid>>,
    fillings: HashMap<PoolKey, Filling>,
    /// Of jobs that are being accepted.
    spans: HashMap<Uid, Span>,
    room: Arc<Semaphore>,
    sweep_at: Instant,
    expiry_at: Option<Instant>,
}

/// A step under way.
struct Under {
    step: Step,
    /// Why to look at the job once more after it.
    again: Option<Why>,
    /// The pool whose keeper answers, and which keeper.
    asked: Option<(PoolKey, u64)>,
}

enum Step {
    /// Waits for a slot.
    InLine,
    /// What it refers to is being read.
    Loading,
    /// The queue is asked to take it.
    Queueing(Box<Terms>),
    /// The queue is asked how far it is. `stopped`: after it was told to stop it.
    Looking { stopped: bool },
    /// The queue is told to suspend, resume or stop it.
    Changing { stopped: bool },
    /// The API server is told.
    Writing(Box<Writing>),
}

/// How often a job is looked at and written.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    written: Option<Instant>,
    looked: Option<Instant>,
    /// When its status was refused in every extent.
    refused: Option<Instant>,
    /// What is known of the job is not in its status yet.
    unwritten: bool,
    /// A cancelled job's end waits for its manifest until then.
    manifest_until: Option<Instant>,
    /// Of images finished by then, ms since the Unix epoch, the pool knows how long they took.
    learned_ms: u64,
}

/// Jobs that a queue may have lost.
struct Filling {
    run: ServerRun,
    left: HashSet<Uid>,
}

impl Jobs {
    pub(crate) fn new(index: Index, out: Outbox, metrics: Arc<Metrics>) -> Self {
        Self {
            index,
            out,
            metrics,
            steps: HashMap::new(),
            slots: SLOTS,
            in_line: VecDeque::new(),
            timers: Timers::default(),
            paces: HashMap::new(),
            failures: HashMap::new(),
            awaiting: HashMap::new(),
            fillings: HashMap::new(),
            spans: HashMap::new(),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            sweep_at: Instant::now() + sweep::EVERY,
            expiry_at: Some(Instant::now()),
        }
    }

    /// Works until the executors end.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        self.index.listings.complete().await;
        let mut ticks = interval(deadlines::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut defaults = interval(sweep::DEFAULTS_EVERY);
        defaults.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let index = self.index.clone();
        loop {
            let timer = self.timers.next().into_iter().chain(self.expiry_at).chain([self.sweep_at]).min();
            tokio::select! {
                biased;
                Some((uid, written)) = inbox.writer.recv() => self.written(uid, written),
                Some(answer) = inbox.keepers.recv() => self.answered(answer),
                Some(found) = inbox.loader.recv() => self.found(found),
                () = index.jobs.changed() => self.take_changes(),
                _ = ticks.tick() => {
                    self.give_up_unanswerable();
                    self.judge_deadlines(Timestamp::now());
                }
                _ = defaults.tick() => self.expire_by_default(Timestamp::now()),
                () = sleep_until(timer.unwrap_or(self.sweep_at)) => self.take_timers(Instant::now()),
                else => return,
            }
            self.next_in_line();
        }
    }

    fn take_changes(&mut self) {
        for change in self.index.jobs.take(CHANGES) {
            match change {
                Change::Job(uid, why) => self.start(uid, why),
                Change::Deleted(uid, pool) => self.deleted(uid, pool.as_ref()),
                Change::Missing { uid, namespace, name, pool: _ } => {
                    self.ask_whether_there(uid, namespace, name);
                }
                Change::Listed => self.sweep_at = Instant::now(),
            }
        }
    }

    fn take_timers(&mut self, now: Instant) {
        while let Some(uid) = self.timers.take(now) {
            self.start(uid, Why::Turn);
        }
        if self.expiry_at.is_some_and(|at| at <= now) {
            self.expire(Timestamp::now());
        }
        if self.sweep_at <= now {
            self.sweep(now);
        }
    }

    /// Takes the first step of a job that somebody has to look at.
    fn start(&mut self, uid: Uid, why: Why) {
        if let Some(under) = self.steps.get_mut(&uid) {
            under.again = under.again.max(Some(why));
            return;
        }
        let Some(record) = self.index.jobs.live(uid) else { return self.tend_ended(uid) };
        if record.deleting {
            return self.take_off_queue(uid, record.pool());
        }
        if why == Why::Progress && !self.progress_is_due(uid) {
            return;
        }
        match decide::first(&record) {
            First::Accept => self.accept(&record),
            First::CancelUnqueued => self.cancel_unqueued(&record),
            First::Look => self.look(&record, false),
        }
    }

    /// Progress is looked at now and then; a start, once it has lasted.
    fn progress_is_due(&mut self, uid: Uid) -> bool {
        let looked = self.paces.get(&uid).and_then(|pace| pace.looked);
        let due = match looked {
            Some(looked) => looked + PROGRESS_LOOK_EVERY,
            None => Instant::now() + crate::imagejob::pace::WORTH_TELLING,
        };
        if due > Instant::now() {
            self.timers.set(uid, due);
            return false;
        }
        true
    }

    fn begin(&mut self, uid: Uid, step: Step) {
        self.steps.insert(uid, Under { step, again: None, asked: None });
    }

    /// Likewise, of a step that a pool's keeper answers.
    fn begin_at(&mut self, uid: Uid, step: Step, pool: &PoolKey, handle: &PoolHandle) {
        self.steps.insert(uid, Under { step, again: None, asked: Some((pool.clone(), handle.id)) });
    }

    /// A keeper that went with its pool answers no more.
    fn give_up_unanswerable(&mut self) {
        let handles = &self.out.handles;
        let gone = |under: &Under| {
            under
                .asked
                .as_ref()
                .is_some_and(|(pool, id)| handles.get(pool).is_none_or(|handle| handle.id != *id))
        };
        let gone: Vec<Uid> =
            self.steps.iter().filter(|(_, under)| gone(under)).map(|(uid, _)| *uid).collect();
        for uid in gone {
            self.end(uid, |_| true);
            self.start(uid, Why::Pool);
        }
    }

    /// A step of this kind has ended; whether somebody has to look at the job once more. `None`: it was given up, and
    /// what is under way now is another.
    fn end(&mut self, uid: Uid, is: fn(&Step) -> bool) -> Option<(Step, Option<Why>)> {
        self.steps.get(&uid).filter(|under| is(&under.step))?;
        let Under { step, again, asked: _ } = self.steps.remove(&uid)?;
        if matches!(step, Step::Looking { .. } | Step::Writing(_)) {
            self.slots += 1;
        }
        Some((step, again))
    }

    fn again(&mut self, uid: Uid, why: Option<Why>) {
        if let Some(why) = why {
            self.start(uid, why);
        }
    }

    /// Takes a slot, or else puts the job in line.
    fn take_slot(&mut self, uid: Uid) -> bool {
        if self.slots == 0 {
            self.begin(uid, Step::InLine);
            self.in_line.push_back(uid);
            return false;
        }
        self.slots -= 1;
        true
    }

    fn next_in_line(&mut self) {
        while self.slots > 0
            && let Some(uid) = self.in_line.pop_front()
        {
            let in_line = |under: &Under| matches!(under.step, Step::InLine);
            if self.steps.get(&uid).is_some_and(in_line) {
                self.steps.remove(&uid);
                self.start(uid, Why::Turn);
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        let Answer { pool, answer } = answer;
        match answer {
            JobAnswer::Enqueued { job, result } => self.enqueued(job, &pool, result),
            JobAnswer::Seen { job, result, tally } => self.seen(job, &pool, result, tally),
            JobAnswer::Changed { job, result } => self.changed(job, result),
            JobAnswer::Events(events) => self.happened(&pool, events),
            JobAnswer::Lost(run) => self.fill(&pool, run),
            JobAnswer::Engines => self.index.jobs.pool_changed(&pool),
            JobAnswer::Known(jobs) => self.known(&pool, &jobs),
        }
    }

    /// Something did not go; it is tried again after an ever longer pause.
    fn retry(&mut self, uid: Uid, pauses: Backoff) {
        let pause = self.failures.entry(uid).or_insert(pauses).next(&uid);
        self.timers.set(uid, Instant::now() + pause);
    }

    fn went_well(&mut self, uid: Uid) {
        self.failures.remove(&uid);
    }

    fn handle(&self, key: Option<&PoolKey>) -> Option<PoolHandle> {
        self.out.handles.get(key?)
    }

    /// The job is over or gone: the queue need not know it any more.
    fn take_off_queue(&self, uid: Uid, pool: Option<&PoolKey>) {
        if let Some(handle) = self.handle(pool) {
            // What does not fit the next sweep finds.
            let _ = handle.keeper.orders.try_send(Order::Forget { job: uid });
        }
    }

    fn deleted(&mut self, uid: Uid, pool: Option<&PoolKey>) {
        self.take_off_queue(uid, pool);
        self.drop_traces(uid);
    }

    /// Nothing is kept of a job that is over or gone. A step that is under way ends by itself.
    fn drop_traces(&mut self, uid: Uid) {
        self.timers.clear(uid);
        self.paces.remove(&uid);
        self.failures.remove(&uid);
        self.spans.remove(&uid);
        self.no_longer_awaits(uid);
        self.filled(uid);
    }

    fn no_longer_awaits(&mut self, uid: Uid) {
        self.awaiting.retain(|_, waiting| {
            waiting.remove(&uid);
            !waiting.is_empty()
        });
    }

    /// A job has ended: those that wait for its files may go on, or have to be told that they never will.
    fn wake_awaiting(&mut self, ended: &JobRecord) {
        let place = (Arc::clone(&ended.namespace), ended.name.to_string());
        for uid in self.awaiting.remove(&place).into_iter().flatten() {
            self.index.jobs.mark(uid, Why::Spec);
        }
    }

    fn pool_of(&self, record: &JobRecord) -> Option<PoolKey> {
        record.pool().cloned().or_else(|| self.index.pools.default_of(&record.namespace))
    }
}

#[cfg(test)]
mod tests;
