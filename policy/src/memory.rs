//! What the policy remembers from plan to plan. Small, and kept in the WorkerPool's status, so a new leader
//! goes on where the old one stopped.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Action, Decision, Estimates, Time, Why};

/// What the policy remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// How long things take here. The caller feeds it: [`Estimates::observe`].
    pub estimates: Estimates,
    /// Zones where spot machines were not to be had, by zone (the empty name when the pool names none).
    pub shortages: BTreeMap<String, Shortage>,
    /// How much the fleet sits idle.
    pub idle: IdleMeter,
    /// When work that must run on demand was last there.
    pub on_demand_work: Option<Time>,
    /// Until when the first tasks of an empty fleet wait for company.
    pub gather_until: Option<Time>,
}

/// Spot machines were not to be had in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// When it began.
    pub since: Time,
    /// The zone is avoided until then, and for as long as a worker waits there.
    pub until: Time,
    /// How many in a row, without a machine in between.
    pub times: u32,
}

/// Idle worker-seconds of the spot fleet beyond its minimum, forgotten slowly.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdleMeter {
    /// Worker-seconds.
    pub seconds: f64,
    /// When it was last read.
    pub at: Time,
    /// Workers idle at that time.
    pub idle: u32,
}

impl IdleMeter {
    /// Starts anew after the fleet was changed: what was gathered is paid for by letting one go, or was needed
    /// after all.
    pub(crate) fn settle(&mut self, decisions: &[Decision]) {
        let changes = |d: &Decision| match d.action {
            Action::Start { capacity, .. } => capacity == crate::Capacity::Spot,
            Action::Retire { .. } => matches!(d.why, Why::Spare | Why::Idle { .. }),
            _ => false,
        };
        if decisions.iter().any(changes) {
            self.seconds = 0.0;
        }
    }
}
