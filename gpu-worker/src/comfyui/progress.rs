use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Nodes, PromptId, event::Event, outline::Outline, outputs::File};

/// How far a prompt is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Where it is in its life.
    pub phase: Phase,
    /// When the engine began with it.
    pub started: Option<Instant>,
    /// When it ended.
    pub ended: Option<Instant>,
    /// The last of its nodes that make something is running.
    pub at_last_node: bool,
    /// Steps of its segments; of its current node where it has none.
    pub steps: Option<Steps>,
    /// How far its graph is, once the engine has begun with it.
    pub nodes: Option<Nodes>,
    /// The last latent that it saved on its way.
    pub saved: Option<Saved>,
    /// When the first step of any of its nodes was told, and the last.
    pub(crate) sampled: Option<(Instant, Instant)>,
}

/// A part of a picture's steps, that one sampler in the prompt takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The sampler's node.
    pub sampler: String,
    /// The node that saves the latent behind it, if one does.
    pub saver: Option<String>,
    /// The picture's steps done before it, and after it.
    pub steps: Range<u32>,
}

/// A latent that the engine has saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The picture's steps behind it.
    pub steps: u32,
    /// Engine time of this prompt until then.
    pub took: Duration,
    pub(super) file: File,
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
    pub(super) fn apply(&mut self, event: &Event, outline: &mut Outline, now: Instant) {
        let segments = outline.segments();
        match event {
            Event::Started(_) => {
                self.run(now);
                self.nodes = Some(outline.nodes());
            }
            Event::Cached { nodes, .. } => {
                outline.cached(nodes);
                self.nodes = Some(outline.nodes());
            }
            Event::Node { node, .. } => {
                self.run(now);
                self.at_last_node = outline.begins(node);
                self.nodes = Some(outline.nodes());
            }
            Event::Steps { done, total, .. } if segments.is_empty() => {
                self.run(now);
                self.step(*done, *total, now);
            }
            Event::Steps { node, done, .. } => {
                self.run(now);
                let segment = segments.iter().find(|segment| segment.sampler == *node);
                if let (Some(segment), Some(last)) = (segment, segments.last()) {
                    self.step(segment.steps.start + done, last.steps.end, now);
                }
            }
            Event::Saved { node, file, .. } => {
                self.run(now);
                let segment = segments.iter().find(|segment| segment.saver.as_ref() == Some(node));
                if let (Some(segment), Some(started)) = (segment, self.started) {
                    let (steps, took) = (segment.steps.end, now - started);
                    self.saved = Some(Saved { steps, took, file: file.clone() });
                }
            }
            Event::Ended(_) => {
                self.end(now);
                outline.ends();
                self.nodes = Some(outline.nodes());
            }
        }
    }

    /// Milliseconds from the start to the first step, and from the last step to `end`; (0, 0) without any.
    pub(super) fn around_sampling(&self, end: Instant) -> (u64, u64) {
        let ms = |from: Instant, to: Instant| {
            u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
        };
        match (self.started, self.sampled) {
            (Some(started), Some((first, last))) => (ms(started, first), ms(last, end)),
            _ => (0, 0),
        }
    }

    /// Seen running.
    pub(super) fn run(&mut self, now: Instant) {
        if self.phase == Phase::Queued {
            self.phase = Phase::Running;
            self.started = Some(now);
        }
    }

    /// Seen to have ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.phase = Phase::Ended;
        self.ended.get_or_insert(now);
    }

    fn step(&mut self, done: u32, total: u32, now: Instant) {
        // A progress of one step is a node that has nothing to tell.
        if total < 2 {
            return;
        }
        self.sampled = Some((self.sampled.map_or(now, |(first, _)| first), now));
        let goes_on = self.steps.filter(|steps| steps.total == total && steps.done <= done);
        let first = goes_on.map_or((now, done), |steps| steps.first);
        self.steps = Some(Steps { done, total, first, last: now });
    }
}

/// The prompts somebody waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed(Arc<Mutex<HashMap<PromptId, Entry>>>);

#[derive(Debug)]
struct Entry {
    outline: Outline,
    progress: watch::Sender<Progress>,
}

/// A prompt being followed; dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) progress: watch::Receiver<Progress>,
    id: PromptId,
    all: Followed,
}

impl Followed {
    pub(super) fn follow(&self, id: &PromptId, outline: Outline) -> Follower {
        let (sender, progress) = watch::channel(Progress::default());
        self.lock().insert(id.clone(), Entry { outline, progress: sender });
        Follower { progress, id: id.clone(), all: self.clone() }
    }

    /// Never waits: a socket that is not read holds up the engine's other clients.
    pub(super) fn apply(&self, event: &Event, now: Instant) {
        if let Some(Entry { outline, progress }) = self.lock().get_mut(event.prompt()) {
            progress.send_modify(|progress| progress.apply(event, outline, now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PromptId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Notes that it was seen running, where the socket did not tell.
    pub(super) fn run(&self) {
        self.change(|progress| progress.run(Instant::now()));
    }

    /// Notes that it was seen to have ended.
    pub(super) fn end(&self) {
        self.change(|progress| progress.end(Instant::now()));
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(Entry { outline: _, progress }) = self.all.lock().get(&self.id) {
            progress.send_modify(change);
        }
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

    use serde_json::Map;
    use tokio::time::Instant;

    use super::{
        super::{event::Event, outline::Outline, outputs::File},
        Phase, Progress, PromptId, Segment,
    };

    /// One second between any two events.
    fn after(segments: &[Segment], events: &[Event]) -> Progress {
        let mut outline = Outline::new(&Map::new(), segments);
        let start = Instant::now();
        let mut progress = Progress::default();
        for (i, event) in (0..).zip(events) {
            progress.apply(event, &mut outline, start + Duration::from_secs(i));
        }
        progress
    }

    fn id() -> PromptId {
        PromptId::from("p")
    }

    fn steps(node: &str, done: u32, total: u32) -> Event {
        Event::Steps { prompt: id(), node: node.into(), done, total }
    }

    fn saved(node: &str) -> Event {
        let file = File { filename: format!("{node}.latent"), subfolder: String::new(), kind: String::new() };
        Event::Saved { prompt: id(), node: node.into(), file }
    }

    #[test]
    fn a_prompt_runs_from_its_start_to_its_end() {
        assert_eq!(Progress::default().phase, Phase::Queued);
        assert_eq!(after(&[], &[Event::Started(id())]).phase, Phase::Running);
        assert_eq!(after(&[], &[Event::Started(id()), Event::Ended(id())]).phase, Phase::Ended);
    }

    #[test]
    fn a_step_without_a_start_means_it_runs() {
        let progress = after(&[], &[steps("3", 1, 20)]);
        assert_eq!(progress.phase, Phase::Running);
        assert!(progress.started.is_some());
    }

    #[test]
    fn the_pace_is_measured_from_the_first_step() {
        let events = [Event::Started(id()), steps("3", 1, 20), steps("3", 2, 20), steps("3", 3, 20)];
        let steps = after(&[], &events).steps.expect("steps");
        assert_eq!((steps.done, steps.total, steps.first.1), (3, 20, 1));
        assert_eq!(steps.last - steps.first.0, Duration::from_secs(2));
    }

    #[test]
    fn a_second_sampler_starts_over() {
        let progress = after(&[], &[steps("3", 20, 20), steps("4", 1, 10), steps("4", 2, 10)]);
        let steps = progress.steps.expect("steps");
        assert_eq!((steps.done, steps.total, steps.first.1), (2, 10, 1));
    }

    #[test]
    fn segments_are_counted_as_one_and_their_latents_are_kept_apart() {
        // Of 20 steps, 5 were done by an earlier attempt.
        let segment = |sampler: &str, saver: Option<&str>, steps| Segment {
            sampler: sampler.into(),
            saver: saver.map(str::to_owned),
            steps,
        };
        let segments = [segment("1", Some("2"), 5..10), segment("3", None, 10..20)];
        let events = [
            Event::Started(id()),
            steps("1", 1, 5),
            steps("1", 5, 5),
            saved("2"),
            saved("9"),
            steps("3", 1, 10),
            steps("8", 1, 4),
        ];
        let progress = after(&segments, &events);
        let steps = progress.steps.expect("steps");
        assert_eq!(
            (steps.done, steps.total, steps.first.1),
            (11, 20, 6),
            "a decoder's own count is not ours"
        );
        let saved = progress.saved.expect("a latent");
        assert_eq!((saved.steps, saved.took), (10, Duration::from_secs(3)));
        assert_eq!(saved.file.filename, "2.latent");
    }
}
