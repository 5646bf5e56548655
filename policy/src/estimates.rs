//! How long things take: learned from what was seen, usable before anything was.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Capacity;

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
        /// From its creation to ready.
        took: Duration,
    },
    /// A model was loaded.
    Loaded {
        /// Which.
        model: String,
        /// How long it took.
        took: Duration,
    },
}

/// How long things take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estimates {
    tasks: BTreeMap<String, u32>,
}

impl Estimates {
    /// Learns from one observation.
    pub fn observe(&mut self, sample: &Sample) {
        let _ = sample;
        self.tasks.clear();
    }

    /// Expected engine seconds of one task of that many units.
    pub fn task_seconds(&self, model: &str, units: f64) -> f64 {
        let _ = model;
        4.0 + 0.2 * units
    }

    /// Expected seconds from a worker's creation to ready.
    pub fn start_seconds(&self, capacity: Capacity) -> f64 {
        let _ = capacity;
        120.0
    }

    /// Expected seconds to load a model.
    pub fn load_seconds(&self, model: &str) -> f64 {
        let _ = model;
        10.0
    }
}
