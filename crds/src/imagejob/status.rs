use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capacity, Money, schema};

/// What came of a job. Written by the operator only.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ImageJobStatus {
    /// The metadata.generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling, Complete, Failed, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,

    /// Images made, of all asked for, e.g. `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub progress: Option<String>,

    /// Images by what became of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,

    /// The pool that makes the images; namespace/name where it is in another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub pool: Option<String>,

    /// The class the job runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub class: Option<String>,

    /// Whose job it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub tenant: Option<String>,

    /// Seed of image 0: the spec's, or the one drawn for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,

    /// In how many segments each picture of textToImage is made: decided once, so that an interruption can't change a
    /// picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,

    /// The images made, in order, the first 100 of them; manifestURL lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub images: Vec<Image>,

    /// A JSON document that lists every image, once the job has finished; only where count is over 100.
    #[serde(rename = "manifestURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub manifest_url: Option<String>,

    /// Images that failed for good, the first 20 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<ImageFailure>,

    /// When the first image was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the job ended, however it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// When the last image should be made, as far as can be told; moves by a tenth of the time left at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,

    /// When every image should be made: creation + slaSeconds of the class, as it was when the job was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Time>,

    /// Whether the class's promise (dueTime) is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,

    /// Times an image came back to the queue because its machine went away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruptions: Option<u32>,

    /// Times an image was tried again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,

    /// What the images cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Images of a job, by what became of them.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All asked for.
    pub total: u32,
    /// Nobody works on them.
    pub waiting: u32,
    /// Being made.
    pub running: u32,
    /// Made.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
}

/// One image.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Which of the job's images, from 0.
    pub index: u32,
    /// Where to fetch it.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// Its key in the bucket.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// The object's ETag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub etag: Option<String>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The seed it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// GPU time it took, in seconds, exact to the millisecond.
    pub gpu_seconds: f64,
    /// The kind of machine that made it.
    pub capacity: Capacity,
    /// What its GPU time cost, at the price at which that machine was to be had when the image was made.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// Attempts it took, 1 if nothing went wrong.
    pub attempts: u32,
    /// Further images of a workflow with several outputs, the first 20 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub extra: Vec<ExtraImage>,
}

/// A further image of a workflow with several outputs.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExtraImage {
    /// Where to fetch it.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// Its key in the bucket.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// An image that failed for good.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageFailure {
    /// Which of the job's images, from 0.
    pub index: u32,
    /// A constant, for machines: e.g. `OutOfMemory`.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// For people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Attempts made.
    pub attempts: u32,
}

/// What the images cost, by GPU time and the pool's prices when they were made.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// GPU time in seconds, exact to the millisecond.
    pub gpu_seconds: f64,
    /// What it cost, e.g. `"0.0123"`.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// What the same GPU time would have cost on demand.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
    /// How much less it cost than on demand, in percent; 0 where it did not.
    pub saving_percent: u32,
    /// The currency of both, e.g. `USD`.
    #[schemars(length(max = 3))]
    pub currency: String,
}

/// Whether the class's promise is kept.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sla {
    /// There is still time.
    Pending,
    /// There is still time, but by what can be told it will not do.
    AtRisk,
    /// Every image was made in time.
    Met,
    /// Time ran out before every image was made, or an image failed for good.
    Missed,
}
