//! How long things take: learned from what was seen, usable before anything was.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Capacity;

mod line;
mod spread;

use line::Line;
use spread::{Spread, Waits};

/// Before any sample: seconds of a task are 4 + 0.2 × units, so 8 s for 20 steps at 512 × 512. On the slow
/// side for every GPU in use, so the first fleet is a little too large rather than too late.
const PRIOR_TASK: (f64, f64) = (4.0, 0.2);
/// Before any sample: a node has to be bought, booted, and pull some GiB of image.
const PRIOR_START: f64 = 120.0;
/// Some GiB from a local disk to the GPU. Not learned: nobody tells how much of an image's time went into it.
const LOAD: f64 = 10.0;
/// Weight of the newest sample once there are many: about the last 20 samples count.
const NEWEST: f64 = 0.05;
/// After this many samples one that is off by more than [`OUTLIER`] is cut to that.
const SETTLED: u32 = 3;
/// Factor beyond which a sample is cut: a hung engine must not rule the fleet's size.
const OUTLIER: f64 = 4.0;
/// A task that takes longer than expected isn't over the moment it should have been: so much of it is always left.
const LEAST_LEFT: f64 = 0.1;
/// Kinds of work remembered; the one least recently seen is forgotten first.
const KINDS: usize = 128;

/// One observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A task finished.
    Task {
        /// What kind of work it was ([`crate::Backlog::work`]); empty: its model tells.
        work: String,
        /// Its model.
        model: String,
        /// Its work.
        units: f64,
        /// Engine time of the successful attempt.
        took: Duration,
    },
    /// A worker got a machine that was not there when the worker was created.
    Placed {
        /// On what.
        capacity: Capacity,
        /// From the worker's creation on.
        took: Duration,
    },
    /// A worker became ready.
    Started {
        /// On what.
        capacity: Capacity,
        /// From its creation to ready; the loading of a first model not included.
        took: Duration,
    },
}

/// How long things take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estimates {
    /// By kind of work.
    tasks: BTreeMap<String, Line>,
    /// From creation to ready, by capacity.
    starts: BTreeMap<Capacity, Spread>,
    /// From creation to a new machine, by capacity.
    waits: BTreeMap<Capacity, Waits>,
    /// Samples in all; says which kind of work was least recently seen.
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
        let line = entry(&mut self.tasks, key(work, model));
        line.observe(units, seconds);
        model.clone_into(&mut line.model);
        line.last = self.samples;
    }

    /// Expected engine seconds of one task of that many units. A kind of work never seen is taken for the average of
    /// those with its model, and these for the average of those with any.
    pub fn task_seconds(&self, work: &str, model: &str, units: f64) -> f64 {
        if let Some(line) = self.tasks.get(key(work, model)) {
            return line.at(units);
        }
        let average = |alike: &dyn Fn(&Line) -> bool| {
            let lines = self.tasks.values().filter(|line| alike(line));
            mean(lines.map(|line| line.at(units)))
        };
        // Of a workflow without a model that is known, nothing can be told but by others of the kind.
        let others = || if model.is_empty() { None } else { average(&|line| !line.model.is_empty()) };
        average(&|line| line.model == model).or_else(others).unwrap_or(PRIOR_TASK.0 + PRIOR_TASK.1 * units)
    }

    /// Engine seconds to plan for each of so many tasks of that many units: what five of six such lots stay below.
    pub(crate) fn task_seconds_planned(&self, work: &str, model: &str, units: f64, tasks: u64) -> f64 {
        let spread = self.tasks.get(key(work, model)).map_or(0.0, |line| line.spread(units));
        self.task_seconds(work, model, units) + spread / (tasks.max(1) as f64).sqrt()
    }

    /// Expected engine seconds still in a task: by its progress (steps done, and in all) where it is known, else taken
    /// as being run for `elapsed`.
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
        left.max(LEAST_LEFT * whole)
    }

    /// A task of a kind of which little is known takes longer than expected: at least so many seconds, as it shows
    /// while it still runs. Counts until some of the kind are done.
    pub(crate) fn takes_at_least(&mut self, work: &str, model: &str, units: f64, seconds: f64) {
        let known = self.tasks.get(key(work, model));
        if known.is_some_and(Line::is_settled) || self.task_seconds(work, model, units) >= seconds {
            return;
        }
        self.tasks.remove(key(work, model));
        self.observe_task(work, model, units, seconds);
    }

    /// Expected seconds from a worker's creation to ready.
    pub fn start_seconds(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, |spread| spread.mean)
    }

    /// Seconds from a worker's creation to ready to plan with: what about five of six stay below.
    pub fn start_seconds_planned(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, |spread| spread.above(1.0))
    }

    /// Seconds from a worker's creation to ready that hardly any exceeds; none while nothing was seen.
    pub(crate) fn start_seconds_at_most(&self, capacity: Capacity) -> Option<f64> {
        self.start(capacity).map(|spread| spread.above(3.0))
    }

    /// Seconds from a worker's creation to a new machine, where there are machines; none while nothing was seen.
    pub(crate) fn usual_wait(&self, capacity: Capacity) -> Option<u32> {
        self.waits.get(&capacity)?.usual()
    }

    /// Expected seconds to load a model.
    pub(crate) fn load_seconds(model: &str) -> f64 {
        if model.is_empty() { 0.0 } else { LOAD }
    }

    /// The capacity's own start-up, or that of the other one while it has none.
    fn start(&self, capacity: Capacity) -> Option<&Spread> {
        self.starts.get(&capacity).or_else(|| self.starts.values().next())
    }
}

/// What a kind of work goes by.
fn key<'a>(work: &'a str, model: &'a str) -> &'a str {
    if work.is_empty() { model } else { work }
}

/// The entry of a kind of work; makes room by forgetting the one least recently seen.
fn entry<'a>(of: &'a mut BTreeMap<String, Line>, key: &str) -> &'a mut Line {
    if of.len() >= KINDS && !of.contains_key(key) {
        let oldest = of.iter().min_by_key(|(_, line)| line.last).map(|(name, _)| name.clone());
        oldest.and_then(|name| of.remove(&name));
    }
    of.entry(key.to_owned()).or_default()
}

fn mean(of: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = of.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// The weight of the next sample after `n`.
fn weight(n: u32) -> f64 {
    (1.0 / (f64::from(n) + 1.0)).max(NEWEST)
}

fn tamed(n: u32, seconds: f64, expected: f64) -> f64 {
    if n < SETTLED { seconds } else { seconds.clamp(expected / OUTLIER, expected * OUTLIER) }
}

#[cfg(test)]
mod tests;
