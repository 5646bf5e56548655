//! How long things take: learned from what was seen, usable before anything was.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Capacity;

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
/// Models remembered; the one least recently seen is forgotten first.
const MODELS: usize = 64;

/// One observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A task finished.
    Task {
        /// Its model.
        model: String,
        /// Its work.
        units: f64,
        /// Engine time of the successful attempt.
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
    /// By model.
    tasks: BTreeMap<String, Line>,
    /// By capacity.
    starts: BTreeMap<Capacity, Spread>,
    /// Samples in all; says which model was least recently seen.
    samples: u64,
}

impl Estimates {
    /// Learns from one observation.
    pub fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        match sample {
            Sample::Task { model, units, took } => {
                if units.is_finite() && *units > 0.0 {
                    let line = entry(&mut self.tasks, model);
                    line.observe(*units, took.as_secs_f64());
                    line.last = self.samples;
                }
            }
            Sample::Started { capacity, took } => {
                self.starts.entry(*capacity).or_default().observe(took.as_secs_f64());
            }
        }
    }

    /// Expected engine seconds of one task of that many units. A model never seen is taken for the average of
    /// those that were.
    pub fn task_seconds(&self, model: &str, units: f64) -> f64 {
        if let Some(line) = self.tasks.get(model) {
            return line.at(units);
        }
        let others: Vec<f64> =
            self.tasks.iter().filter(|(name, _)| !name.is_empty()).map(|(_, line)| line.at(units)).collect();
        if others.is_empty() || model.is_empty() {
            PRIOR_TASK.0 + PRIOR_TASK.1 * units
        } else {
            mean(&others)
        }
    }

    /// Expected engine seconds still in a task: by its progress (steps done, and in all) where it is known, else taken
    /// as being run for `elapsed`.
    pub fn seconds_left(
        &self,
        model: &str,
        units: f64,
        progress: Option<(u32, u32)>,
        elapsed: Duration,
    ) -> f64 {
        let whole = self.task_seconds(model, units);
        let left = match progress {
            Some((done, all)) if all > 0 => whole * (1.0 - f64::from(done) / f64::from(all)),
            _ => whole - elapsed.as_secs_f64(),
        };
        left.max(LEAST_LEFT * whole)
    }

    /// Expected seconds from a worker's creation to ready.
    pub fn start_seconds(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, |spread| spread.mean)
    }

    /// Seconds from a worker's creation to ready to plan with: what about five of six stay below.
    pub fn start_seconds_planned(&self, capacity: Capacity) -> f64 {
        self.start(capacity).map_or(PRIOR_START, Spread::planned)
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

/// The entry of a model; makes room by forgetting the one least recently seen.
fn entry<'a>(of: &'a mut BTreeMap<String, Line>, model: &str) -> &'a mut Line {
    if of.len() >= MODELS && !of.contains_key(model) {
        let oldest = of.iter().min_by_key(|(_, line)| line.last).map(|(name, _)| name.clone());
        oldest.and_then(|name| of.remove(&name));
    }
    of.entry(model.to_owned()).or_default()
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// Exponentially weighted mean and variance; a plain mean while there are few samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spread {
    n: u32,
    mean: f64,
    variance: f64,
}

impl Spread {
    fn observe(&mut self, seconds: f64) {
        if self.n == 0 {
            // One sample says nothing of the spread: assume a quarter.
            *self = Self { n: 1, mean: seconds, variance: (seconds / 4.0).powi(2) };
            return;
        }
        let seconds = tamed(self.n, seconds, self.mean);
        let weight = weight(self.n);
        let off = seconds - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.n = self.n.saturating_add(1);
    }

    fn planned(&self) -> f64 {
        self.mean + self.variance.sqrt()
    }
}

/// Exponentially weighted straight line, seconds over units: a fixed part for every image and a part that
/// grows with its steps and size.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    n: u32,
    units: f64,
    seconds: f64,
    units_variance: f64,
    covariance: f64,
    last: u64,
}

impl Line {
    fn observe(&mut self, units: f64, seconds: f64) {
        let seconds = if self.n == 0 { seconds } else { tamed(self.n, seconds, self.at(units)) };
        let weight = weight(self.n);
        let (du, ds) = (units - self.units, seconds - self.seconds);
        self.units += weight * du;
        self.seconds += weight * ds;
        self.units_variance = (1.0 - weight) * (self.units_variance + weight * du * du);
        self.covariance = (1.0 - weight) * (self.covariance + weight * du * ds);
        self.n = self.n.saturating_add(1);
    }

    fn at(&self, units: f64) -> f64 {
        let ratio = self.seconds / self.units;
        let same_size = self.units_variance <= (0.05 * self.units).powi(2);
        let slope = if same_size {
            ratio
        } else {
            // Between "all fixed" and "twice proportional" (attention grows faster than the picture).
            (self.covariance / self.units_variance).clamp(0.0, 2.0 * ratio)
        };
        (self.seconds + slope * (units - self.units)).max(ratio * units / OUTLIER)
    }
}

/// The weight of the next sample after `n`.
fn weight(n: u32) -> f64 {
    (1.0 / (f64::from(n) + 1.0)).max(NEWEST)
}

fn tamed(n: u32, seconds: f64, expected: f64) -> f64 {
    if n < SETTLED { seconds } else { seconds.clamp(expected / OUTLIER, expected * OUTLIER) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(units: f64, seconds: f64) -> Sample {
        Sample::Task { model: "sd15".into(), units, took: Duration::from_secs_f64(seconds) }
    }

    #[test]
    fn learns_a_fixed_part_and_a_part_per_unit() {
        let mut estimates = Estimates::default();
        for units in [20.0, 40.0, 80.0, 20.0, 40.0, 80.0] {
            estimates.observe(&task(units, 1.0 + 0.1 * units));
        }
        assert!((estimates.task_seconds("sd15", 60.0) - 7.0).abs() < 1e-6);
        assert!((estimates.task_seconds("sd15", 20.0) - 3.0).abs() < 1e-6);
    }

    #[test]
    fn the_first_sample_replaces_the_prior() {
        let mut estimates = Estimates::default();
        assert!((estimates.task_seconds("sd15", 20.0) - 8.0).abs() < 1e-9);
        estimates.observe(&task(20.0, 2.0));
        assert!((estimates.task_seconds("sd15", 20.0) - 2.0).abs() < 1e-9);
        assert!((estimates.task_seconds("unseen", 20.0) - 2.0).abs() < 1e-9, "like the models it knows");
    }

    #[test]
    fn one_outlier_moves_it_little_and_a_new_pace_is_learned() {
        let mut estimates = Estimates::default();
        for _ in 0..40 {
            estimates.observe(&task(20.0, 3.0));
        }
        estimates.observe(&task(20.0, 3000.0));
        assert!(estimates.task_seconds("sd15", 20.0) < 3.5);
        for _ in 0..60 {
            estimates.observe(&task(20.0, 12.0));
        }
        assert!((estimates.task_seconds("sd15", 20.0) - 12.0).abs() < 0.6);
    }

    #[test]
    fn the_other_capacity_stands_in_until_there_is_a_start_up_of_ones_own() {
        let mut estimates = Estimates::default();
        let started = |capacity, s| Sample::Started { capacity, took: Duration::from_secs(s) };
        estimates.observe(&started(Capacity::Spot, 80));
        assert!((estimates.start_seconds(Capacity::OnDemand) - 80.0).abs() < 1e-9);
        estimates.observe(&started(Capacity::OnDemand, 50));
        assert!((estimates.start_seconds(Capacity::OnDemand) - 50.0).abs() < 1e-9);
        assert!(estimates.start_seconds_planned(Capacity::Spot) > 80.0);
    }

    #[test]
    fn a_flood_of_models_stays_small() {
        let mut estimates = Estimates::default();
        for i in 0..1000 {
            estimates.observe(&Sample::Task {
                model: format!("m{i}"),
                units: 20.0,
                took: Duration::from_secs(3),
            });
        }
        assert_eq!(estimates.tasks.len(), MODELS);
        assert!(estimates.tasks.contains_key("m999"));
    }
}
