//! Learns how long things take. The estimates are usable before the first sample.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Capacity;

mod line;
mod spread;

use line::Line;
use spread::{Spread, Waits};

/// The estimate before any sample, in seconds: 4 + 0.2 × units, so 8 s for 20 steps at 512 × 512. It is slow for every
/// GPU in use, so the first fleet is a little too large rather than too late.
const PRIOR_TASK: (f64, f64) = (4.0, 0.2);
/// The estimated start-up before any sample, in seconds. A node must be bought and booted, and pulls some GiB of image.
const PRIOR_START: f64 = 120.0;
/// The time to load a model of some GiB from a local disk to the GPU, in seconds. It is a constant because the time of
/// an image does not show how much of it was loading.
const LOAD_SECONDS: f64 = 10.0;
/// The weight of the newest sample once there are many: about the last 20 samples count.
const SMALLEST_WEIGHT: f64 = 0.05;
/// After this many samples, one that differs by more than a factor of [`OUTLIER`] is clipped.
const SETTLED: u32 = 3;
/// The factor at which samples are clipped, so that one hung engine does not determine the fleet's size.
const OUTLIER: f64 = 4.0;
/// The fraction of a task that is always assumed to be left, so that a task that takes longer than expected does not
/// count as done.
const SMALLEST_PART_LEFT: f64 = 0.1;
/// The largest number of kinds of work; the one that was seen least recently is forgotten first.
const MAX_KINDS: usize = 128;

/// An observation from which the estimates learn.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A task was finished.
    Task {
        /// The kind of work ([`crate::Backlog::work`]); empty: the model is the kind.
        work: String,
        /// The task's model.
        model: String,
        /// The task's work, in units.
        units: f64,
        /// The engine time of the successful attempt.
        took: Duration,
    },
    /// A worker got a machine that did not exist when the worker was created.
    Placed {
        /// The worker's capacity.
        capacity: Capacity,
        /// The time from the worker's creation until it got the machine.
        took: Duration,
    },
    /// A worker became ready.
    Started {
        /// The worker's capacity.
        capacity: Capacity,
        /// The time from the worker's creation until it was ready, without the loading of a first model.
        took: Duration,
    },
}

/// Estimates of how long tasks, start-ups and new machines take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estimates {
    /// The time of tasks, by kind of work.
    tasks: BTreeMap<String, Line>,
    /// The time from a worker's creation until it is ready, by capacity.
    starts: BTreeMap<Capacity, Spread>,
    /// The time from a worker's creation until it gets a new machine, by capacity.
    waits: BTreeMap<Capacity, Waits>,
    /// The number of all samples; it dates the last sample of each kind of work.
    samples: u64,
}

impl Estimates {
    /// Learns from one observation.
    pub fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        match sample {
            Sample::Task { work, model, units, took } => {
                self.observe_task(work, model, *units, took.as_secs_f64());
            }
            Sample::Placed { capacity, took } => {
                let seconds = u32::try_from(took.as_secs()).unwrap_or(u32::MAX);
                self.waits.entry(*capacity).or_default().observe(seconds);
            }
            Sample::Started { capacity, took } => {
                self.starts.entry(*capacity).or_default().observe(took.as_secs_f64());
            }
        }
    }

    fn observe_task(&mut self, work: &str, model: &str, units: f64, seconds: f64) {
        if !units.is_finite() || units <= 0.0 {
            return;
        }
        let line = entry(&mut self.tasks, work_key(work, model));
        line.observe(units, seconds);
        model.clone_into(&mut line.model);
        line.last = self.samples;
    }

    /// The expected engine seconds of one task with this many units. A new kind of work is estimated as the average of
    /// the kinds with the same model, and a new model as the average of all models.
    pub fn task_seconds(&self, work: &str, model: &str, units: f64) -> f64 {
        if let Some(line) = self.tasks.get(work_key(work, model)) {
            return line.seconds_for(units);
        }
        let average = |alike: &dyn Fn(&Line) -> bool| {
            let lines = self.tasks.values().filter(|line| alike(line));
            mean(lines.map(|line| line.seconds_for(units)))
        };
        // Kinds without a known model say nothing about those with one, and the reverse.
        let others = || if model.is_empty() { None } else { average(&|line| !line.model.is_empty()) };
        average(&|line| line.model == model).or_else(others).unwrap_or(PRIOR_TASK.0 + PRIOR_TASK.1 * units)
    }

    /// The engine seconds to plan for each of `tasks` tasks with this many units: the average that five of six such
    /// lots stay below.
    pub(crate) fn task_seconds_planned(&self, work: &str, model: &str, units: f64, tasks: u64) -> f64 {
        let spread = self.tasks.get(work_key(work, model)).map_or(0.0, |line| line.spread(units));
        self.task_seconds(work, model, units) + spread / (tasks.max(1) as f64).sqrt()
    }

    /// The expected engine seconds left in a task, from its progress (steps done, all steps) or, without it, from the
    /// time since its start.
    pub fn seconds_left(
        &self,
        work: &str,
        model: &str,
        units: f64,
        progress: Option<(u32, u32)>,
        elapsed: Duration,
    ) -> f64 {
        let whole = self.task_seconds(work, model, units);
        let left = match progress {
            Some((done, all)) if all > 0 => whole * (1.0 - f64::from(done) / f64::from(all)),
            _ => whole - elapsed.as_secs_f64(),
        };
        left.max(SMALLEST_PART_LEFT * whole)
    }

    /// Raises the estimate of a kind of work with few samples to at least `seconds`, because a task of it has run for
    /// that long. The value is replaced as tasks of the kind finish.
    pub(crate) fn takes_at_least(&mut self, work: &str, model: &str, units: f64, seconds: f64) {
        let known = self.tasks.get(work_key(work, model));
        if known.is_some_and(Line::is_settled) || self.task_seconds(work, model, units) >= seconds {
            return;
        }
        self.tasks.remove(work_key(work, model));
        self.observe_task(work, model, units, seconds);
    }

    /// The expected seconds from a worker's creation until it is ready.
    pub fn start_seconds(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, |spread| spread.mean)
    }

    /// The seconds to plan from a worker's creation until it is ready: about five of six workers stay below.
    pub fn start_seconds_planned(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, |spread| spread.mean_plus(1.0))
    }

    /// The seconds from a worker's creation until it is ready that hardly any worker exceeds; `None` before the first
    /// sample.
    pub(crate) fn start_seconds_at_most(&self, capacity: Capacity) -> Option<f64> {
        self.start(capacity).map(|spread| spread.mean_plus(3.0))
    }

    /// The usual seconds from a worker's creation until it gets a new machine, in a zone that has machines; `None`
    /// before the first sample.
    pub(crate) fn usual_wait(&self, capacity: Capacity) -> Option<u32> {
        self.waits.get(&capacity)?.usual()
    }

    /// The expected seconds to load a model.
    pub(crate) fn load_seconds(model: &str) -> f64 {
        if model.is_empty() { 0.0 } else { LOAD_SECONDS }
    }

    /// The start-ups of this capacity, or those of the other one as long as there are none.
    fn start(&self, capacity: Capacity) -> Option<&Spread> {
        self.starts.get(&capacity).or_else(|| self.starts.values().next())
    }
}

/// The key of a kind of work: its name, or the model if it has none.
fn work_key<'a>(work: &'a str, model: &'a str) -> &'a str {
    if work.is_empty() { model } else { work }
}

/// The entry of a kind of work. It makes room by forgetting the kind that was seen least recently.
fn entry<'a>(of: &'a mut BTreeMap<String, Line>, key: &str) -> &'a mut Line {
    if of.len() >= MAX_KINDS && !of.contains_key(key) {
        let oldest = of.iter().min_by_key(|(_, line)| line.last).map(|(name, _)| name.clone());
        oldest.and_then(|name| of.remove(&name));
    }
    of.entry(key.to_owned()).or_default()
}

fn mean(of: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = of.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// The weight of the sample that follows `n` others.
fn weight(n: u32) -> f64 {
    (1.0 / (f64::from(n) + 1.0)).max(SMALLEST_WEIGHT)
}

fn clipped(n: u32, seconds: f64, expected: f64) -> f64 {
    if n < SETTLED { seconds } else { seconds.clamp(expected / OUTLIER, expected * OUTLIER) }
}

#[cfg(test)]
mod tests;
