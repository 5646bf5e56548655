//! Learns how long something takes, and by how much that varies.
use serde::{Deserialize, Serialize};

use super::{clipped, weight};

/// An exponentially weighted mean and variance; a plain mean while there are few samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spread {
    n: u32,
    pub(super) mean: f64,
    variance: f64,
}

impl Spread {
    pub(super) fn observe(&mut self, seconds: f64) {
        if self.n == 0 {
            // One sample does not show the spread: assume a quarter.
            *self = Self { n: 1, mean: seconds, variance: (seconds / 4.0).powi(2) };
            return;
        }
        let seconds = clipped(self.n, seconds, self.mean);
        let weight = weight(self.n);
        let off = seconds - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.n = self.n.saturating_add(1);
    }

    /// The mean plus this many standard deviations.
    pub(super) fn mean_plus(&self, deviations: f64) -> f64 {
        self.mean + deviations * self.variance.sqrt()
    }
}

/// The last times from a worker's creation until it got a machine that did not exist before, in seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Waits(Vec<u32>);

/// The number of times that are kept.
const MAX_WAITS: usize = 16;

impl Waits {
    pub(super) fn observe(&mut self, seconds: u32) {
        self.0.push(seconds);
        let over = self.0.len().saturating_sub(MAX_WAITS);
        self.0.drain(..over);
    }

    /// The time that a quarter of them stay below, in seconds: the time to a machine in a zone that has machines. A
    /// shortage makes some of the times long; slow machines make all of them long.
    pub(super) fn usual(&self) -> Option<u32> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 4).copied()
    }
}
