use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capacity, Decimal, Money, schema, seed};

/// The state of a job. Only the operator writes it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ImageJobStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted, Ready, Reconciling, Complete, Failed, Stalled, Late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,

    /// Images made, of all images of the job, e.g. `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub progress: Option<String>,

    /// The images by their state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,

    /// The pool that makes the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<JobPool>,

    /// The class that the job was accepted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub class: Option<String>,

    /// Whose job it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub tenant: Option<String>,

    /// When the operator accepted the job. What it decided then (class, slaSeconds, tenant, weight, seed, segments,
    /// workflowDigest, output) stays as it is, even if the pool changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_time: Option<Time>,

    /// Within how many seconds of its acceptance each image is promised: the spec's dueWithinSeconds, else the class's
    /// slaSeconds when the job was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_seconds: Option<u32>,

    /// The tenant's weight when the job was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,

    /// The seed of image 0: the spec's, or the one that the operator drew.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seed")]
    #[schemars(schema_with = "schema::seed")]
    pub seed: Option<u64>,

    /// In how many segments each image is made. The number never changes, so that an interruption does not
    /// change an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,

    /// The digest of the workflow that was accepted, its inputs set, e.g. `sha256:9f86d0…`: of jobs of type Workflow and
    /// Recipe, whose ConfigMap or ImageRecipe may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub workflow_digest: Option<String>,

    /// Where the images go: the pool's output when the job was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<JobOutput>,

    /// The images made, in order: the first 100. manifestURL lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub results: Vec<JobResult>,

    /// The URL of a JSON document that lists every image. Only for jobs with a count over 100, once they have ended.
    #[serde(rename = "manifestURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub manifest_url: Option<String>,

    /// The images that failed for good: while the job runs, the latest one; at its end, the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<ImageFailure>,

    /// When a worker began the first image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the job ended, whether complete or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// When the last image is made, by the pool's forecast. A new forecast is written only if it differs by a tenth of
    /// the time left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,

    /// When every image is due: acceptedTime + slaSeconds + the time for which the job was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Time>,

    /// When the present suspension began; absent while the job is not suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_time: Option<Time>,

    /// How long earlier suspensions lasted together, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_seconds: Option<u64>,

    /// How often an image was queued again because its machine or its engine went away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruptions: Option<u32>,

    /// How often an image was tried again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,

    /// The cost of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Where the images of a job go.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobOutput {
    /// The store's URL; absent: AWS S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub endpoint: Option<String>,
    /// The bucket's name.
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// The text before every key; may be empty.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub key_prefix: String,
    /// The URL before every key in the images' URLs.
    #[serde(rename = "publicURL")]
    #[schemars(length(max = 1024))]
    pub public_url: String,
}

/// The images of a job by their state.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All images of the job.
    pub total: u32,
    /// Images that no worker has.
    pub waiting: u32,
    /// Images that a worker makes now.
    pub running: u32,
    /// Images that are made.
    pub succeeded: u32,
    /// Images that failed for good.
    pub failed: u32,
}

/// The pool of a job.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobPool {
    /// Its namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its metadata.uid: tells a pool from a later one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

/// An image that is made: all files of one run of the work.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// The number of the image in the job, from 0.
    pub index: u32,
    /// The files, the most important first: the first 20.
    #[schemars(length(max = 20))]
    pub outputs: Vec<OutputFile>,
    /// The image's seed. A seed above 9223372036854775807 (2^63 - 1) is a string, because the API server keeps no
    /// larger number exactly.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seed")]
    #[schemars(schema_with = "schema::seed")]
    pub seed: Option<u64>,
    /// The image's GPU time in seconds, exact to the millisecond.
    #[schemars(schema_with = "schema::told_decimal")]
    pub gpu_seconds: Decimal,
    /// The kind of machine that made the image.
    pub capacity: Capacity,
    /// The cost of the GPU time, by the machine's price when the image was made.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// How often the image was begun; 1 if nothing went wrong.
    pub attempts: u32,
    /// Where the time of the last attempt went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// A file that was made.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OutputFile {
    /// The id of the node that made it.
    #[schemars(length(max = 256))]
    pub node: String,
    /// A name for people: the filename_prefix of the node, the image's index, and the ending of the media type.
    #[schemars(length(max = 256))]
    pub name: String,
    /// The file's kind as its bytes show it, e.g. `image/png` or `video/mp4`.
    #[schemars(length(max = 128))]
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// Width in pixels, of pictures and videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, of pictures and videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How long it plays, in seconds, of animations, videos and sounds where the file tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::told_decimal")]
    pub duration_seconds: Option<Decimal>,
    /// Its key in the bucket.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Its URL: the publicURL of the pool's output, a slash, and the key.
    #[schemars(length(max = 2048))]
    pub url: String,
}

/// Where the time of an image went, in milliseconds.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// From the job's acceptance until a worker took the image.
    pub queue_ms: u64,
    /// In the engine until the first sampling step: loading models and encoding texts.
    pub load_ms: u64,
    /// Sampling.
    pub sample_ms: u64,
    /// In the engine after the last sampling step: decoding and saving.
    pub decode_ms: u64,
    /// From the engine into the bucket.
    pub upload_ms: u64,
}

/// An image that failed for good.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageFailure {
    /// The number of the image in the job, from 0.
    pub index: u32,
    /// Why, as a constant for programs, e.g. `OutOfMemory`.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// How often the image was begun.
    pub attempts: u32,
}

/// The cost of images, by their GPU time and the pool's prices when they were made.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The GPU time in seconds, exact to the millisecond.
    #[schemars(schema_with = "schema::told_decimal")]
    pub gpu_seconds: Decimal,
    /// The cost of the GPU time, e.g. `"0.0123"`.
    #[schemars(schema_with = "schema::amount")]
    pub amount: Money,
    /// The cost of the same GPU time on on-demand machines.
    #[schemars(schema_with = "schema::amount")]
    pub on_demand_amount: Money,
    /// How much less amount is than onDemandAmount, in percent; 0 if it is not less.
    pub saving_percent: u32,
    /// The currency of both amounts, e.g. `USD`.
    #[schemars(length(max = 3))]
    pub currency: String,
}
