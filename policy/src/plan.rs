//! From what is seen to what is to be done.
use std::time::Duration;

use crate::{Counts, Decision, Memory, Policy, Report, Seen, State, Time};

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// To be done in this order.
    pub actions: Vec<Decision>,
    /// To be handed to the next plan.
    pub memory: Memory,
    /// Plan again after this, or sooner when something changes.
    pub wake_after: Duration,
    /// What was found.
    pub report: Report,
}

/// Decides what to do.
pub fn plan(now: Time, policy: &Policy, seen: &Seen, memory: &Memory) -> Plan {
    let _ = (now, policy, seen);
    Plan {
        actions: Vec::new(),
        memory: memory.clone(),
        wake_after: Duration::from_secs(10),
        report: Report {
            state: State::Empty,
            work_seconds: 0.0,
            capacity: Counts::default(),
            wanted: Counts::default(),
            cost_per_hour_micros: 0,
            late: Vec::new(),
            short_zones: Vec::new(),
        },
    }
}
