use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{HeldLease, Lease, NodeProgress, Renewed, RunningNode, TaskId, TaskKind};
use tokio::{sync::watch, time::Instant};

use crate::{
    comfyui::{Nodes, Phase, Progress, PromptId},
    pace::{Estimate, Pace},
};

/// The tasks this worker has in hand. The tasks themselves write it; the heartbeat, the claiming loop and the
/// drain read it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    pace: Pace,
    loaded: Loaded,
}

/// What the engine has in its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// It has made nothing since it was started.
    #[default]
    Nothing,
    /// The model of the last picture, where it has one.
    Last(Option<String>),
}

/// One task in hand.
#[derive(Debug)]
struct Entry {
    lease: HeldLease,
    model: String,
    /// Tasks of one work key take the same time for a unit.
    work: String,
    /// Work in what the engine has of it: less than the task's where an earlier attempt has begun.
    units: f64,
    stage: Stage,
    progress: Progress,
    /// We still hold its lease.
    leased: bool,
    /// What the engine was given for it; ours until it was seen to be gone.
    prompts: Vec<PromptId>,
    /// Engine time of the prompts before the last one.
    spent: Duration,
    /// It was claimed ahead, in the belief that the engine would begin with it by then.
    begin_by: Option<Instant>,
    /// It took longer than that belief.
    overran: bool,
    stop: watch::Sender<Option<Stop>>,
}

/// Where a task is in its life with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looking for its image, building its graph.
    Preparing,
    /// Handed to the engine, which has not begun.
    Queued,
    /// The GPU is at it.
    Generating,
    /// On its way to the store.
    Uploading,
    /// On its way to the queue.
    Reporting,
    /// The worker reports its end while it stops the engine, which may still have it.
    Stopping,
    /// A listing is being written, with which the engine has nothing to do.
    Listing,
}

/// Why a task shall stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody wants the image.
    Cancelled,
    /// Somebody else has the task.
    Lost,
    /// The machine goes away: somebody else shall have it.
    Leaving,
    /// The task before it takes longer than it seemed: somebody else may begin sooner.
    NotBegun,
}

/// What the engine has of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing: it idles.
    Nothing,
    /// One task, which the engine ends in this time by all that is known; `None` where too little is known.
    One(Option<Duration>),
    /// One running and one waiting.
    Enough,
}

impl Held {
    /// `begin_by`: when the engine should begin with it, where it was claimed while the engine is at another.
    pub(crate) fn take(&self, lease: &Lease, begin_by: Option<Instant>) -> Seat {
        let (sender, stop) = watch::channel(None);
        let stage = match lease.kind {
            TaskKind::Image => Stage::Preparing,
            TaskKind::Listing => Stage::Listing,
        };
        let entry = Entry {
            lease: HeldLease {
                task: lease.task.clone(),
                attempt: lease.attempt,
                progress: None,
                nodes: None,
            },
            model: lease.model.clone(),
            work: lease.work.clone(),
            units: lease.units,
            stage,
            progress: Progress::default(),
            leased: true,
            prompts: Vec::new(),
            spent: Duration::ZERO,
            begin_by,
            overran: false,
            stop: sender,
        };
        self.change(|inner| inner.entries.push(entry));
        Seat { task: lease.task.clone(), attempt: lease.attempt, held: self.clone(), stop }
    }

    /// Wakes at every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// The leases to renew.
    pub(crate) fn leases(&self) -> Vec<HeldLease> {
        self.lock().entries.iter().filter(|entry| entry.leased).map(|entry| entry.lease.clone()).collect()
    }

    pub(crate) fn loaded(&self) -> Loaded {
        self.lock().loaded.clone()
    }

    /// The engine was restarted.
    pub(crate) fn unloaded(&self) {
        if self.lock().loaded != Loaded::Nothing {
            self.change(|inner| inner.loaded = Loaded::Nothing);
        }
    }

    /// Is a prompt waiting in the engine that it has not begun with?
    pub(crate) fn is_waiting(&self) -> bool {
        self.lock().entries.iter().any(|entry| entry.stage == Stage::Queued)
    }

    /// What the engine has of ours.
    pub(crate) fn prompts(&self) -> Vec<PromptId> {
        self.lock().entries.iter().flat_map(|entry| entry.prompts.clone()).collect()
    }

    /// What a heartbeat brought back for these leases.
    pub(crate) fn renewed(&self, leases: &[HeldLease], answers: &[Renewed]) {
        for (lease, answer) in leases.iter().zip(answers) {
            let stop = match answer {
                Renewed::Keep | Renewed::Unknown => continue,
                Renewed::Cancelled => Stop::Cancelled,
                Renewed::Lost => Stop::Lost,
            };
            let inner = self.lock();
            let entry =
                inner.entries.iter().find(|entry| entry.leased && entry.is(&lease.task, lease.attempt));
            if let Some(entry) = entry {
                tracing::info!(task = %lease.task, attempt = lease.attempt, ?stop, "a task is to stop");
                entry.stop.send_replace(Some(stop));
            }
        }
    }

    pub(crate) fn ahead(&self, now: Instant) -> Ahead {
        let inner = self.lock();
        let mut in_engine = inner.entries.iter().filter(|entry| entry.stage.is_in_engine());
        match (in_engine.next(), in_engine.next()) {
            (None, _) => Ahead::Nothing,
            // It may take its time to stop, and nothing runs before it has.
            (Some(entry), None) if entry.stage == Stage::Stopping => Ahead::Enough,
            (Some(entry), None) => Ahead::One(inner.near(entry, now)),
            (Some(_), Some(_)) => Ahead::Enough,
        }
    }

    /// Hands back what was claimed ahead and is late, as the task before it takes longer than it seemed. Returns when to
    /// look again.
    pub(crate) fn hand_back_late(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.lock();
        let mut next: Option<Instant> = None;
        // In the order in which they were claimed, which is the engine's.
        let mut in_engine = inner.entries.iter_mut().filter(|entry| entry.stage.is_in_engine());
        let first = in_engine.next()?;
        first.begin_by = None;
        for entry in in_engine {
            match entry.begin_by {
                Some(by) if by <= now => {
                    tracing::info!(task = %entry.lease.task, "the task before it takes too long: handing back");
                    entry.begin_by = None;
                    entry.stop.send_replace(Some(Stop::NotBegun));
                    first.overran = true;
                }
                Some(by) => next = Some(next.map_or(by, |next| next.min(by))),
                None => {}
            }
        }
        next
    }

    /// Hands back what won't be done in time by `fits`, which gets the stage and the longest time left.
    pub(crate) fn hand_back(&self, now: Instant, fits: impl Fn(Stage, Option<Duration>) -> bool) {
        let inner = self.lock();
        for entry in &inner.entries {
            let left = inner.left(entry, now).map(|left| left.latest);
            if entry.leased && entry.stop.borrow().is_none() && !fits(entry.stage, left) {
                tracing::info!(task = %entry.lease.task, stage = ?entry.stage, ?left, "no time left: handing back");
                entry.stop.send_replace(Some(Stop::Leaving));
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.0.changes.send_modify(|count| *count += 1);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn left(&self, entry: &Entry, now: Instant) -> Option<Estimate> {
        self.pace.left(&entry.work, entry.units, &entry.progress, now)
    }

    /// How long the engine is busy with it still, by all that is known.
    fn near(&self, entry: &Entry, now: Instant) -> Option<Duration> {
        if entry.overran {
            return None;
        }
        if entry.progress.at_last_node {
            return Some(Duration::ZERO);
        }
        self.left(entry, now).filter(|left| left.is_learned).map(|left| left.latest)
    }
}

impl Entry {
    fn is(&self, task: &TaskId, attempt: u32) -> bool {
        self.lease.attempt == attempt && self.lease.task == *task
    }
}

impl Entry {
    fn engine_time(&self) -> Duration {
        let Progress { started, ended, .. } = self.progress;
        let last =
            started.map(|started| ended.unwrap_or_else(Instant::now).saturating_duration_since(started));
        self.spent + last.unwrap_or_default()
    }
}

impl Stage {
    fn is_in_engine(self) -> bool {
        match self {
            Self::Preparing | Self::Queued | Self::Generating | Self::Stopping => true,
            Self::Uploading | Self::Reporting | Self::Listing => false,
        }
    }
}

/// A task's place among those in hand; it leaves when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    task: TaskId,
    attempt: u32,
    held: Held,
    stop: watch::Receiver<Option<Stop>>,
}

impl Seat {
    pub(crate) fn enter(&self, stage: Stage) {
        self.change(|entry| entry.stage = stage);
    }

    /// The engine is about to get this prompt, with so many units of work in it.
    pub(crate) fn prompted(&self, prompt: PromptId, units: f64) {
        self.change(|entry| {
            entry.spent = entry.engine_time();
            entry.progress = Progress::default();
            entry.prompts.push(prompt);
            entry.units = units;
        });
    }

    /// What the engine was given for this task.
    pub(crate) fn prompts(&self) -> Vec<PromptId> {
        self.read(|entry| entry.prompts.clone())
    }

    /// May the engine have something to do for it still?
    pub(crate) fn is_in_engine(&self) -> bool {
        self.read(|entry| !entry.prompts.is_empty() && entry.progress.phase != Phase::Ended)
    }

    /// Engine time of this attempt.
    pub(crate) fn engine_time(&self) -> Duration {
        self.read(Entry::engine_time)
    }

    pub(crate) fn progressed(&self, progress: &Progress) {
        self.change(|entry| {
            entry.progress = progress.clone();
            entry.lease.progress = progress.steps.map(|steps| (steps.done, steps.total));
            entry.lease.nodes = progress.nodes.clone().map(|Nodes { done, total, running }| {
                let running = running.map(|(id, class)| RunningNode { id, class });
                NodeProgress { done, total, running }
            });
            entry.stage = match progress.phase {
                Phase::Queued => Stage::Queued,
                Phase::Running => Stage::Generating,
                // What is left to fetch needs no GPU.
                Phase::Ended => Stage::Uploading,
            };
        });
    }

    /// Did the engine begin with it?
    pub(crate) fn has_begun(&self) -> bool {
        self.read(|entry| entry.progress.started.is_some())
    }

    /// The engine made a picture in this time.
    pub(crate) fn generated(&self, took: Duration) {
        self.held.change(|inner| {
            let Inner { entries, pace, loaded } = inner;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.is(&self.task, self.attempt)) {
                entry.stage = Stage::Uploading;
                pace.learn(&entry.work, entry.units, took);
                *loaded = Loaded::Last(Some(entry.model.clone()).filter(|model| !model.is_empty()));
            }
        });
    }

    /// The lease is given back or gone: nothing to renew.
    pub(crate) fn lease_over(&self) {
        self.change(|entry| entry.leased = false);
    }

    /// Waits until the task shall stop.
    pub(crate) async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            // The entry lives as long as its seat.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    fn read<T: Default>(&self, read: impl FnOnce(&Entry) -> T) -> T {
        let inner = self.held.lock();
        let entry = inner.entries.iter().find(|entry| entry.is(&self.task, self.attempt));
        entry.map(read).unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        self.held.change(|inner| {
            if let Some(entry) = inner.entries.iter_mut().find(|entry| entry.is(&self.task, self.attempt)) {
                change(entry);
            }
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Self { task, attempt, .. } = &*self;
        self.held.change(|inner| inner.entries.retain(|entry| !entry.is(task, *attempt)));
    }
}
