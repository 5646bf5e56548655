use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FleetType;
use crate::{Decimal, Family, Money, schema};

/// The state of a pool. Only the operator writes it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,

    /// The images in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<PoolQueue>,

    /// The workers, fleet by fleet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub fleets: Vec<FleetStatus>,

    /// The cost of the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<PoolCost>,

    /// The engine of the workers. While there are none: of the last ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineStatus>,

    /// The checkpoints and diffusion models that the workers have, up to 100 by name. While there are no workers: those
    /// that the last ones had. The object at engine.key lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["folder".into(), "name".into()]))]
    pub models: Vec<PoolModelStatus>,

    /// The last decision to start or remove workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<PoolDecision>,
}

/// The images in a pool's queue.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolQueue {
    /// Images that wait for a worker.
    pub waiting: u64,
    /// Images that workers make now.
    pub running: u64,
    /// How long the oldest waiting image has waited, in seconds; absent while none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
}

/// What an engine is and has. Of workers with different engines: of the one with the newest version.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// The version of ComfyUI; absent if the engine does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// How many node classes it has.
    pub nodes: u32,
    /// The digest of its node definitions, `GET /object_info`: `sha256:` and hex.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// The key of the object in the pool's bucket that holds its node definitions, compressed with gzip; absent while a
    /// worker has not stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub key: Option<String>,
}

/// A model that the workers have.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolModelStatus {
    /// The name of its file, as jobs name it.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The engine's folder that it is in, e.g. `checkpoints`.
    #[schemars(length(max = 64))]
    pub folder: String,
    /// Its family: what the pool's spec.models says, else what its name tells. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::family")]
    pub family: Option<Family>,
    /// The size of its file in bytes; absent if the engine does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The workers of one fleet by their state.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// The fleet's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// The type of its machines.
    #[serde(rename = "type")]
    pub fleet_type: FleetType,
    /// All workers.
    pub total: u32,
    /// Workers that wait for a machine, pull images or start the engine.
    pub starting: u32,
    /// Workers that are ready and have no work.
    pub idle: u32,
    /// Workers that make an image.
    pub busy: u32,
    /// Workers that finish what they have and then end.
    pub draining: u32,
}

impl FleetStatus {
    /// A fleet without workers.
    #[must_use]
    pub const fn empty(name: String, fleet_type: FleetType) -> Self {
        Self { name, fleet_type, total: 0, starting: 0, idle: 0, busy: 0, draining: 0 }
    }
}

/// The cost of a pool's workers: per hour now, and in total.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PoolCost {
    /// The cost of the present workers per hour.
    #[schemars(schema_with = "schema::amount")]
    pub per_hour: Money,
    /// The cost of the present workers per hour if all were on on-demand machines.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_per_hour: Money,
    /// The currency of all amounts, e.g. `USD`. A pool that changes its currency begins to count anew.
    #[schemars(length(max = 3))]
    pub currency: String,
    /// The start of the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The end of the count so far; it does not move while there are no workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The cost of the workers' machines, including start-up, idle time and lost attempts.
    #[serde(default)]
    #[schemars(schema_with = "schema::amount")]
    pub total: Money,
    /// The cost of the same machine time on on-demand machines.
    #[serde(default)]
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_total: Money,
    /// How much less total is than onDemandTotal, in percent; 0 if it is not less.
    #[serde(default)]
    pub saving_percent: u32,
    /// The part of the total for spot machines.
    #[serde(default)]
    pub spot: MachineCost,
    /// The part of the total for on-demand machines.
    #[serde(default)]
    pub on_demand: MachineCost,
    /// The part of the total for the GPU time of images that were made.
    #[serde(default)]
    pub images: ImageCost,
    /// The cost of images by tenant, up to 50. The tenants with the least cost beyond that are in otherTenants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub tenants: Vec<TenantCost>,
    /// The cost of images of tenants that are not listed.
    #[serde(default)]
    pub other_tenants: ImageCost,
    /// The last prices, up to 32, oldest first. The cost of an image counts by the prices when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub prices: Vec<Prices>,
}

/// The cost of machines of one kind.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MachineCost {
    /// How long workers had such machines, in seconds.
    pub seconds: u64,
    /// The cost of that time.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// The cost of that time on on-demand machines.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
}

/// The cost of images.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ImageCost {
    /// How many images were made.
    pub made: u64,
    /// The GPU time of the images in seconds, as a decimal string exact to the millisecond.
    #[schemars(schema_with = "schema::amount")]
    pub gpu_seconds: Decimal,
    /// The cost of that time.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// The cost of the same GPU time on on-demand machines.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
}

/// The cost of a tenant's images.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TenantCost {
    /// The tenant's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The images of the tenant since it is listed.
    pub images: ImageCost,
}

/// The prices of a worker's machine per hour that the pool's spec has or had.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// The time from which they count.
    pub since: Time,
    /// The price in each fleet.
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub fleets: Vec<FleetPrice>,
}

/// The price of a worker's machine per hour in one fleet.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FleetPrice {
    /// The fleet's name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// The type of its machines.
    #[serde(rename = "type")]
    pub fleet_type: FleetType,
    /// The price.
    #[schemars(schema_with = "schema::price")]
    pub price_per_hour: Money,
}

/// A decision to start or remove workers.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolDecision {
    /// When the operator decided.
    pub time: Time,
    /// Why, as a constant for programs.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 4096))]
    pub message: String,
}
