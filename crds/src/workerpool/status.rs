use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Money, schema};

/// How a pool is doing. Written by the operator only.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The metadata.generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,

    /// The queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<PoolQueue>,

    /// The workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<PoolWorkers>,

    /// What the workers cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<PoolCost>,

    /// The last time the operator started or took away workers, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<PoolDecision>,

    /// What scaling has learnt, e.g. how long an image takes, in JSON; kept here so that a new leader goes on where
    /// the old one stopped. For the operator only, its shape may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262144))]
    pub memory: Option<String>,
}

/// A pool's queue.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolQueue {
    /// Images waiting for a worker.
    pub waiting: u64,
    /// Images being made.
    pub running: u64,
    /// How long the oldest has waited, in seconds; absent when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
}

/// A pool's workers, by the machines they run on.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolWorkers {
    /// On spot machines.
    pub spot: WorkerCounts,
    /// On on-demand machines.
    pub on_demand: WorkerCounts,
}

/// Workers by what they do.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkerCounts {
    /// All of them.
    pub total: u32,
    /// Waiting for a machine, pulling images, loading the engine.
    pub starting: u32,
    /// Ready, without work.
    pub idle: u32,
    /// Making an image.
    pub busy: u32,
    /// Finishing what they hold, then going.
    pub draining: u32,
}

/// What a pool's workers cost now.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolCost {
    /// Per hour.
    #[schemars(schema_with = "schema::amount")]
    pub per_hour: Money,
    /// Per hour, had they all been on demand.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_per_hour: Money,
    /// The currency of both, e.g. `USD`.
    #[schemars(length(max = 3))]
    pub currency: String,
}

/// A decision to start or take away workers.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolDecision {
    /// When.
    pub time: Time,
    /// A constant, for machines.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// For people.
    #[schemars(length(max = 4096))]
    pub message: String,
}
