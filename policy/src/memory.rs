//! What the policy remembers from plan to plan. Small, and kept in the WorkerPool's status, so a new leader
//! goes on where the old one stopped.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Action, Capacity, Decision, Estimates, Time, Why};

/// What the policy remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// How long things take here. The caller feeds it: [`Estimates::observe`].
    pub estimates: Estimates,
    /// Zones where spot machines were not to be had, by zone (the empty name when the pool names none).
    pub shortages: BTreeMap<String, Shortage>,
    /// When a zone last lost a spot worker, by zone; kept for a while.
    pub losses: BTreeMap<String, Time>,
    /// How much the fleet sits idle.
    pub idle: IdleMeter,
    /// When work that must run on demand was last there.
    pub on_demand_work: Option<Time>,
    /// Engine seconds of work that arrive per second, by class …
    pub inflow: BTreeMap<String, f64>,
    /// … and when that was last read.
    pub inflow_at: Option<Time>,
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
    /// How many workers too many the idle time amounts to.
    pub(crate) fn too_many(&self, idle_after: Duration) -> usize {
        if idle_after.is_zero() || self.idle == 0 {
            return 0;
        }
        // `as` saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let workers = (self.seconds / idle_after.as_secs_f64()) as usize;
        workers
    }

    /// Whether a decision makes up for idle time.
    pub(crate) fn is_paid_by(decision: &Decision) -> bool {
        matches!(decision.why, Why::Spare | Why::Idle { .. })
    }

    /// Takes off what was paid for by letting workers go. After a start all of it: it was needed after all.
    pub(crate) fn settle(&mut self, decisions: &[Decision], idle_after: Duration) {
        for decision in decisions {
            if matches!(decision.action, Action::Start { capacity: Capacity::Spot, .. }) {
                self.seconds = 0.0;
            } else if Self::is_paid_by(decision) {
                self.seconds = (self.seconds - idle_after.as_secs_f64()).max(0.0);
                self.idle = self.idle.saturating_sub(1);
            }
        }
    }

    /// When it will tell of a worker too many, if nothing changes.
    pub(crate) fn full_in(&self, idle_after: Duration) -> Option<Duration> {
        let missing = idle_after.as_secs_f64() - self.seconds;
        (self.idle > 1)
            .then(|| Duration::try_from_secs_f64(missing.max(0.0) / f64::from(self.idle)).unwrap_or_default())
    }
}
