//! The policy's memory from plan to plan. It is small and stored with the WorkerPool, so a new leader continues where
//! the old one stopped.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Capacity, Estimates, IdleMeter, Time, WorkerId};

/// What the policy remembers from plan to plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// How long things take in this pool. The caller adds samples with [`Estimates::observe`].
    pub estimates: Estimates,
    /// Shortages by capacity and zone; the zone's name is empty if the fleet names no zones.
    pub short: BTreeMap<Capacity, BTreeMap<String, Shortage>>,
    /// Workers that did not come up, by capacity.
    pub failures: BTreeMap<Capacity, Failures>,
    /// Failed workers that the snapshot still contains, so that each is counted once.
    pub failed: BTreeSet<WorkerId>,
    /// The time at which each worker was last up, or at which the queue was last unreadable. A worker's time to come up
    /// starts then.
    pub last_up: BTreeMap<WorkerId, Time>,
    /// The time at which each zone last lost a spot worker; dropped after a while.
    pub losses: BTreeMap<String, Time>,
    /// The time since which each busy worker has blamed the pool without a pause.
    pub blaming_since: BTreeMap<WorkerId, Time>,
    /// The idle time of the spot fleet.
    pub idle: IdleMeter,
    /// The last time at which work that must run on demand waited or ran.
    pub on_demand_work: Option<Time>,
    /// The last time at which an on-demand worker was started or resumed for work.
    pub on_demand_wanted: Option<Time>,
    /// Engine seconds of work that arrive per second, by class.
    pub inflow: BTreeMap<String, f64>,
    /// The time at which `inflow` was last updated; `None` before the first plan.
    pub inflow_at: Option<Time>,
    /// The reason why each held worker is held.
    pub held: BTreeMap<WorkerId, HoldReason>,
    /// The template of the last plan ([`crate::Policy::template`]).
    pub template: String,
    /// The time at which the template last changed.
    pub template_since: Time,
    /// Workers that were started to replace older ones which still exist, by capacity.
    pub replacements: BTreeMap<Capacity, u32>,
}

/// A zone in which workers of a capacity do not come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// The time at which the shortage began.
    pub since: Time,
    /// The zone is avoided until this time, and as long as a worker waits there.
    pub until: Time,
    /// The number of shortages in a row, without a new machine in between.
    pub times: u32,
    /// What the zone lacks.
    #[serde(default)]
    pub lack: Lack,
    /// The message of the autoscaler, scheduler or worker that reports the shortage.
    #[serde(rename = "said", default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a zone lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lack {
    /// The zone has no machines.
    #[default]
    Machines,
    /// A machine was bought and does not join the cluster.
    Joining,
    /// The zone has machines, but workers do not come up on them.
    Workers,
}

/// Workers of a capacity that did not come up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// The number of failed workers since one last came up.
    pub workers: u32,
    /// The number of rounds: workers that were created together and fail together are one round.
    pub rounds: u32,
    /// The creation time of the first of these workers. The count ends when a worker that was created later comes up.
    pub since: Time,
    /// The time of the last failure.
    pub last: Time,
    /// No worker is started before this time.
    pub until: Time,
    /// The message of the last failure.
    pub why: String,
}

/// The reason why a worker is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldReason {
    /// Its node may go; it is resumed when the sign clears.
    AtRisk,
    /// It is not needed; it is resumed if it is needed again, and is removed once it holds no task.
    NotNeeded,
    /// It is made from an older template, and is removed once it holds no task.
    Outdated,
}
