//! What the policy remembers from plan to plan. Small, and kept with the WorkerPool, so a new leader goes on where the
//! old one stopped.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Capacity, Estimates, IdleMeter, Time, WorkerId};

/// What the policy remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// How long things take here. The caller feeds it: [`Estimates::observe`].
    pub estimates: Estimates,
    /// Zones that are avoided, by capacity and zone (the empty name when the fleet names none).
    pub short: BTreeMap<Capacity, BTreeMap<String, Shortage>>,
    /// Workers that did not come up, by capacity.
    pub failures: BTreeMap<Capacity, Failures>,
    /// The failed workers that are still seen, so that none counts twice.
    pub failed: BTreeSet<WorkerId>,
    /// When each worker that is there was last seen up, or could not be seen: its time to come up counts from then.
    pub last_up: BTreeMap<WorkerId, Time>,
    /// When a zone last lost a spot worker, by zone; kept for a while.
    pub losses: BTreeMap<String, Time>,
    /// How much the fleet sits idle.
    pub idle: IdleMeter,
    /// When work that must run on demand was last there.
    pub on_demand_work: Option<Time>,
    /// When an on-demand worker was last started or resumed.
    pub on_demand_wanted: Option<Time>,
    /// Engine seconds of work that arrive per second, by class …
    pub inflow: BTreeMap<String, f64>,
    /// … and when that was last read.
    pub inflow_at: Option<Time>,
    /// Why workers were held.
    pub held: BTreeMap<WorkerId, Held>,
    /// What workers are made of …
    pub template: String,
    /// … and since when.
    pub template_since: Time,
    /// Workers started in place of older ones that are still there, by capacity.
    pub replacements: BTreeMap<Capacity, u32>,
}

/// No workers come up in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// When it began.
    pub since: Time,
    /// The zone is avoided until then, and for as long as a worker waits there.
    pub until: Time,
    /// How many in a row, without a machine in between.
    pub times: u32,
    /// What is lacking.
    #[serde(default)]
    pub lack: Lack,
    /// In the words of who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// What a zone lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lack {
    /// Machines.
    #[default]
    Machines,
    /// A machine was bought and does not join the cluster.
    Joining,
    /// There are machines, but no worker comes up on them.
    Workers,
}

/// Workers of a capacity that did not come up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// Since one came up last.
    pub workers: u32,
    /// How often workers failed that were created after the failure before, some time back.
    pub rounds: u32,
    /// When the first of these was created: one that was created later and comes up ends it.
    pub since: Time,
    /// When the last was seen.
    pub last: Time,
    /// No other is started before then.
    pub until: Time,
    /// Why the last one failed.
    pub why: String,
}

/// Why a worker was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Held {
    /// Its node may go; it is resumed once the sign clears.
    AtRisk,
    /// It is not needed; it is resumed if it is again, and goes once it is through.
    NotNeeded,
    /// It is made from an older template, and goes once it is through.
    Outdated,
}
