use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{HeldLease, Lease, Renewed, TaskId};
use tokio::{sync::watch, time::Instant};

use crate::{
    comfyui::{Phase, Progress, PromptId},
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
    /// The model of the last picture: what the engine has loaded.
    loaded: Option<String>,
}

/// One task in hand.
#[derive(Debug)]
struct Entry {
    lease: HeldLease,
    model: String,
    /// Work in what the engine has of it: less than the task's where an earlier attempt has begun.
    units: f64,
    stage: Stage,
    progress: Progress,
    /// We still hold its lease.
    leased: bool,
    prompt: Option<PromptId>,
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
    /// Its end is being reported while the engine, which still has it, is told to stop.
    Stopping,
}

/// Why a task shall stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody wants the image.
    Cancelled,
    /// Somebody else has the task.
    Lost,
    /// The machine goes away: somebody else shall have it.
    HandBack,
}

/// What the engine has of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing: it idles.
    Nothing,
    /// One task, done in this time if that is known.
    One(Option<Estimate>),
    /// One running and one waiting.
    Enough,
}

impl Held {
    pub(crate) fn take(&self, lease: &Lease) -> Seat {
        let (sender, stop) = watch::channel(None);
        let entry = Entry {
            lease: HeldLease { task: lease.task.clone(), attempt: lease.attempt, progress: None },
            model: lease.model.clone(),
            units: lease.units,
            stage: Stage::Preparing,
            progress: Progress::default(),
            leased: true,
            prompt: None,
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

    pub(crate) fn loaded(&self) -> Option<String> {
        self.lock().loaded.clone()
    }

    /// The engine was restarted: it has nothing loaded.
    pub(crate) fn unloaded(&self) {
        self.change(|inner| inner.loaded = None);
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
                tracing::info!(task = %lease.task, attempt = lease.attempt, ?stop, "told to stop a task");
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
            (Some(entry), None) => Ahead::One(inner.left(entry, now)),
            (Some(_), Some(_)) => Ahead::Enough,
        }
    }

    /// Hands back what `fits` says won't be done in time; it is told the stage and the longest time left.
    pub(crate) fn hand_back(&self, now: Instant, fits: impl Fn(Stage, Option<Duration>) -> bool) {
        let inner = self.lock();
        for entry in &inner.entries {
            let left = inner.left(entry, now).map(|left| left.latest);
            if entry.leased && entry.stop.borrow().is_none() && !fits(entry.stage, left) {
                tracing::info!(task = %entry.lease.task, stage = ?entry.stage, ?left, "no time left: handing back");
                entry.stop.send_replace(Some(Stop::HandBack));
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
        self.pace.left(&entry.model, entry.units, &entry.progress, now)
    }
}

impl Entry {
    fn is(&self, task: &TaskId, attempt: u32) -> bool {
        self.lease.attempt == attempt && self.lease.task == *task
    }
}

impl Stage {
    fn is_in_engine(self) -> bool {
        match self {
            Self::Preparing | Self::Queued | Self::Generating | Self::Stopping => true,
            Self::Uploading | Self::Reporting => false,
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
            entry.prompt = Some(prompt);
            entry.units = units;
        });
    }

    /// The engine is through with the prompt, whatever came of it.
    pub(crate) fn unprompted(&self) {
        self.change(|entry| entry.prompt = None);
    }

    /// What the engine still has to do for this task.
    pub(crate) fn prompt(&self) -> Option<PromptId> {
        let inner = self.held.lock();
        inner.entries.iter().find(|entry| entry.is(&self.task, self.attempt))?.prompt.clone()
    }

    pub(crate) fn progressed(&self, progress: &Progress) {
        self.change(|entry| {
            entry.progress = progress.clone();
            entry.lease.progress = progress.steps.map(|steps| (steps.done, steps.total));
            entry.stage = match progress.phase {
                Phase::Queued => Stage::Queued,
                Phase::Running => Stage::Generating,
                // What is left to fetch needs no GPU.
                Phase::Ended => Stage::Uploading,
            };
        });
    }

    /// Did the engine begin with it?
    pub(crate) fn began(&self) -> bool {
        let inner = self.held.lock();
        let entry = inner.entries.iter().find(|entry| entry.is(&self.task, self.attempt));
        entry.is_some_and(|entry| entry.progress.started.is_some())
    }

    /// The engine made a picture in this time.
    pub(crate) fn generated(&self, took: Duration) {
        self.held.change(|inner| {
            let Inner { entries, pace, loaded } = inner;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.is(&self.task, self.attempt)) {
                entry.stage = Stage::Uploading;
                pace.learn(&entry.model, entry.units, took);
                *loaded = Some(entry.model.clone()).filter(|model| !model.is_empty());
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
