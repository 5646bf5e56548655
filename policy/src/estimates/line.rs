//! Seconds of a task over its units of work.
use serde::{Deserialize, Serialize};

use super::{OUTLIER, SETTLED, tamed, weight};

/// Exponentially weighted straight line, seconds over units: a fixed part for every image and a part that
/// grows with its steps and size. Beside it, how far samples lie from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Line {
    /// The model that such tasks need.
    pub(super) model: String,
    n: u32,
    units: f64,
    seconds: f64,
    units_variance: f64,
    covariance: f64,
    /// Mean square of the samples' distance from the line, seconds².
    off: f64,
    pub(super) last: u64,
}

impl Line {
    pub(super) fn observe(&mut self, units: f64, seconds: f64) {
        let first = self.n == 0;
        let expected = if first { seconds } else { self.at(units) };
        let seconds = tamed(self.n, seconds, expected);
        let weight = weight(self.n);
        // One sample says nothing of the spread: assume a quarter.
        let off = if first { seconds / 4.0 } else { seconds - expected };
        self.off = (1.0 - weight) * self.off + weight * off * off;
        let (du, ds) = (units - self.units, seconds - self.seconds);
        self.units += weight * du;
        self.seconds += weight * ds;
        self.units_variance = (1.0 - weight) * (self.units_variance + weight * du * du);
        self.covariance = (1.0 - weight) * (self.covariance + weight * du * ds);
        self.n = self.n.saturating_add(1);
    }

    /// What is expected of a task, seconds.
    pub(super) fn at(&self, units: f64) -> f64 {
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

    /// By how much tasks of that size differ from what is expected (standard deviation), seconds.
    pub(super) fn spread(&self, units: f64) -> f64 {
        self.off.sqrt() * units / self.units
    }

    /// Whether there were enough samples to doubt one that is far off.
    pub(super) const fn is_settled(&self) -> bool {
        self.n >= SETTLED
    }
}
