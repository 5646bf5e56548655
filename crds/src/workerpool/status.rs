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

/// What a pool's workers cost: now, and in all since it is counted.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolCost {
    /// Per hour, now.
    #[schemars(schema_with = "schema::amount")]
    pub per_hour: Money,
    /// Per hour, were all workers on demand.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_per_hour: Money,
    /// The currency of all amounts, e.g. `USD`. What was counted in another one is forgotten.
    #[schemars(length(max = 3))]
    pub currency: String,
    /// Since when it is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Until when workers' machines are counted so far; stands still while there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What the workers' machines cost, start-up, idle time and lost attempts included.
    #[serde(default)]
    #[schemars(schema_with = "schema::amount")]
    pub total: Money,
    /// What the same machine time would have cost on demand.
    #[serde(default)]
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_total: Money,
    /// How much less the total is, in percent; 0 where it is not.
    #[serde(default)]
    pub saving_percent: u32,
    /// Of the total, spot machines.
    #[serde(default)]
    pub spot: MachineCost,
    /// Of the total, on-demand machines.
    #[serde(default)]
    pub on_demand: MachineCost,
    /// Of the total, the GPU time of images that were made.
    #[serde(default)]
    pub images: ImageCost,
    /// Likewise by tenant: up to 50. Where there are more, those that cost least are under otherTenants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub tenants: Vec<TenantCost>,
    /// Likewise, of tenants that are not listed.
    #[serde(default)]
    pub other_tenants: ImageCost,
    /// The last prices, up to 32, oldest first: an image is paid for at those of the time it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub prices: Vec<Prices>,
}

/// What machines of one kind cost.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MachineCost {
    /// Time that workers had such a machine, in seconds.
    pub seconds: u64,
    /// What it cost.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// What it would have cost on demand.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
}

/// What images cost.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ImageCost {
    /// Images made.
    pub made: u64,
    /// Their GPU time in seconds, exact to the millisecond.
    pub gpu_seconds: f64,
    /// What it cost.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// What the same GPU time would have cost on demand.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
}

/// What a tenant's images cost.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TenantCost {
    /// The tenant.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its images since it is listed.
    pub images: ImageCost,
}

/// Prices of a worker's machine per hour, as the pool has or had them.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// Since when.
    pub since: Time,
    /// Of a spot machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::price")]
    pub spot: Option<Money>,
    /// Of an on-demand machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::price")]
    pub on_demand: Option<Money>,
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
