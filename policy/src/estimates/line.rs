//! Learns the seconds of a task as a linear function of its units.
use serde::{Deserialize, Serialize};

use super::{OUTLIER, SETTLED, clipped, weight};

/// An exponentially weighted straight line of seconds over units: a constant part for every image and a part that grows
/// with its steps and size. It also learns how far samples lie from the line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Line {
    /// The model of the tasks.
    pub(super) model: String,
    n: u32,
    units: f64,
    seconds: f64,
    units_variance: f64,
    covariance: f64,
    /// The mean square of the samples' distance from the line, in seconds².
    off: f64,
    pub(super) last: u64,
}

impl Line {
    pub(super) fn observe(&mut self, units: f64, seconds: f64) {
        let first = self.n == 0;
        let expected = if first { seconds } else { self.seconds_for(units) };
        let seconds = clipped(self.n, seconds, expected);
        let weight = weight(self.n);
        // One sample does not show the spread: assume a quarter.
        let off = if first { seconds / 4.0 } else { seconds - expected };
        self.off = (1.0 - weight) * self.off + weight * off * off;
        let (du, ds) = (units - self.units, seconds - self.seconds);
        self.units += weight * du;
        self.seconds += weight * ds;
        self.units_variance = (1.0 - weight) * (self.units_variance + weight * du * du);
        self.covariance = (1.0 - weight) * (self.covariance + weight * du * ds);
        self.n = self.n.saturating_add(1);
    }

    /// The expected time of a task with this many units, in seconds.
    pub(super) fn seconds_for(&self, units: f64) -> f64 {
        let ratio = self.seconds / self.units;
        let same_size = self.units_variance <= (0.05 * self.units).powi(2);
        let slope = if same_size {
            ratio
        } else {
            // Between "all constant" and "twice proportional" (attention grows faster than the picture).
            (self.covariance / self.units_variance).clamp(0.0, 2.0 * ratio)
        };
        (self.seconds + slope * (units - self.units)).max(ratio * units / OUTLIER)
    }

    /// The standard deviation of the time of a task with this many units, in seconds.
    pub(super) fn spread(&self, units: f64) -> f64 {
        self.off.sqrt() * units / self.units
    }

    /// Whether there are enough samples to clip one that is far from the line.
    pub(super) const fn is_settled(&self) -> bool {
        self.n >= SETTLED
    }
}
