use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::{PromptId, event::Event};

/// How far a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Where it is in its life.
    pub phase: Phase,
    /// When the engine began with it.
    pub started: Option<Instant>,
    /// Steps of its current node.
    pub steps: Option<Steps>,
}

/// A prompt's life in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not begun yet.
    #[default]
    Queued,
    /// The GPU is at it.
    Running,
    /// History knows how it ended.
    Ended,
}

/// Steps of a sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// So many are done …
    pub done: u32,
    /// … of so many.
    pub total: u32,
    /// When the first of them was done, and which it was: the pace is measured from there, as what comes
    /// before (loading, compiling) is not repeated.
    pub first: (Instant, u32),
    /// When the last of them was done.
    pub last: Instant,
}

impl Progress {
    pub(super) fn apply(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started(_) => self.run(now),
            Event::Steps(_, done, total) => {
                self.run(now);
                self.step(*done, *total, now);
            }
            Event::Ended(_) => self.phase = Phase::Ended,
        }
    }

    /// Seen running.
    pub(super) fn run(&mut self, now: Instant) {
        if self.phase == Phase::Queued {
            self.phase = Phase::Running;
            self.started = Some(now);
        }
    }

    fn step(&mut self, done: u32, total: u32, now: Instant) {
        // A progress of one step is a node that has nothing to tell.
        if total < 2 {
            return;
        }
        let goes_on = self.steps.filter(|steps| steps.total == total && steps.done <= done);
        let first = goes_on.map_or((now, done), |steps| steps.first);
        self.steps = Some(Steps { done, total, first, last: now });
    }
}

/// The prompts somebody waits for, each with its progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed(Arc<Mutex<HashMap<PromptId, watch::Sender<Progress>>>>);

/// A prompt being followed; dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) progress: watch::Receiver<Progress>,
    id: PromptId,
    all: Followed,
}

impl Followed {
    pub(super) fn follow(&self, id: &PromptId) -> Follower {
        let (sender, progress) = watch::channel(Progress::default());
        self.lock().insert(id.clone(), sender);
        Follower { progress, id: id.clone(), all: self.clone() }
    }

    /// Never waits: a socket that is not read holds up the engine's other clients.
    pub(super) fn apply(&self, event: &Event, now: Instant) {
        self.update(event.prompt(), |progress| progress.apply(event, now));
    }

    pub(super) fn update(&self, id: &PromptId, change: impl FnOnce(&mut Progress)) {
        if let Some(sender) = self.lock().get(id) {
            sender.send_modify(change);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PromptId, watch::Sender<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{super::event::Event, Phase, Progress, PromptId};

    fn after(events: &[Event]) -> Progress {
        let start = Instant::now();
        let mut progress = Progress::default();
        for (i, event) in (0..).zip(events) {
            progress.apply(event, start + Duration::from_secs(i));
        }
        progress
    }

    fn id() -> PromptId {
        PromptId::from("p")
    }

    #[test]
    fn a_prompt_runs_from_its_start_to_its_end() {
        assert_eq!(Progress::default().phase, Phase::Queued);
        assert_eq!(after(&[Event::Started(id())]).phase, Phase::Running);
        assert_eq!(after(&[Event::Started(id()), Event::Ended(id())]).phase, Phase::Ended);
    }

    #[test]
    fn a_step_without_a_start_means_it_runs() {
        let progress = after(&[Event::Steps(id(), 1, 20)]);
        assert_eq!(progress.phase, Phase::Running);
        assert!(progress.started.is_some());
    }

    #[test]
    fn the_pace_is_measured_from_the_first_step() {
        let progress = after(&[
            Event::Started(id()),
            Event::Steps(id(), 1, 20),
            Event::Steps(id(), 2, 20),
            Event::Steps(id(), 3, 20),
        ]);
        let steps = progress.steps.expect("steps");
        assert_eq!((steps.done, steps.total, steps.first.1), (3, 20, 1));
        assert_eq!(steps.last - steps.first.0, Duration::from_secs(2));
    }

    #[test]
    fn a_second_sampler_starts_over() {
        let progress =
            after(&[Event::Steps(id(), 20, 20), Event::Steps(id(), 1, 10), Event::Steps(id(), 2, 10)]);
        let steps = progress.steps.expect("steps");
        assert_eq!((steps.done, steps.total, steps.first.1), (2, 10, 1));
    }
}
