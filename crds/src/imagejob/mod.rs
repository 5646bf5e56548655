use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    rules::{self, exactly_one_of, fixed},
    schema,
};

mod status;

pub use status::{Cost, Counts, ExtraImage, Image, ImageFailure, ImageJobStatus, JobOutput, Sla};

/// The name of a class, as the pool defines it.
pub type Class = String;

/// What the user asks for: one prompt or workflow, and how many images of it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "imagejob.dev",
    version = "v1alpha1",
    kind = "ImageJob",
    plural = "imagejobs",
    shortname = "ij",
    category = "imaging",
    namespaced,
    status = "ImageJobStatus",
    derive = "PartialEq",
    validation = rules::job_name(),
    doc = "An ImageJob asks for images of one prompt or workflow. The operator queues them, GPU workers of a WorkerPool make them, and the operator writes their URLs and cost into the status.",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "The reason of the Ready condition."
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress",
        description = "Images made, of all images of the job."
    ),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.class", description = "How urgent the job is."),
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".status.pool",
        description = "The WorkerPool that makes the images."
    ),
    printcolumn(
        name = "Cost",
        type_ = "string",
        json_path = ".status.cost.amount",
        description = "The cost of the GPU time so far."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Interruptions",
        type_ = "integer",
        json_path = ".status.interruptions",
        description = "How often an image lost its machine.",
        priority = 1
    ),
    printcolumn(
        name = "Retries",
        type_ = "integer",
        json_path = ".status.retries",
        description = "How often a failed image was tried again.",
        priority = 1
    ),
    printcolumn(
        name = "SLA",
        type_ = "string",
        json_path = ".status.sla",
        description = "Whether the job keeps its dueTime.",
        priority = 1
    )
)]
#[x_kube(validation = exactly_one_of("textToImage", "workflow"))]
#[x_kube(validation = fixed("poolRef"))]
#[x_kube(validation = fixed("tenant"))]
#[x_kube(validation = fixed("class"))]
#[x_kube(validation = fixed("textToImage"))]
#[x_kube(validation = fixed("workflow"))]
#[x_kube(validation = fixed("count"))]
#[x_kube(validation = fixed("timeoutSeconds"))]
#[x_kube(validation = fixed("retries"))]
#[x_kube(validation = fixed("maxFailedImages"))]
#[serde(rename_all = "camelCase")]
pub struct ImageJobSpec {
    /// The WorkerPool to use. Default: the namespace's pool that has `default: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<PoolRef>,

    /// Whose job it is, for fair shares and limits. Default: the namespace. Another tenant needs an administrator's
    /// consent (namespace label `imagejob.dev/tenancy: field`) and the pool's (`fairness.tenancy: Field`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::tenant())]
    pub tenant: Option<String>,

    /// How urgent the job is: the name of one of the pool's classes, e.g. `immediate`, `standard` or `relaxed`.
    /// Default: the pool's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub class: Option<Class>,

    /// An image from a text, for checkpoints that hold model, text encoder and VAE in one file (Stable Diffusion 1.5, 2.1,
    /// SDXL). Give exactly one of textToImage or workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_to_image: Option<TextToImage>,

    /// A ComfyUI workflow. Give exactly one of textToImage or workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,

    /// How many images to make, 1 to 10000. Image i uses seed + i. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,

    /// The longest time that one image may take in the engine, in seconds, 1 to 86400. Default: 300.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,

    /// How often an image may fail and be tried again, 0 to 10. A machine that goes away is no failure. Default: 2.
    #[serde(default = "default_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: u32,

    /// How many images may fail for good, 0 to 10000. One more, and the operator starts no further image of the job.
    /// Default: the job stops once three images failed with the same reason and none is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_failed_images: Option<u32>,

    /// How many seconds after its end the job is deleted, 0 to 31536000 (a year). The images stay in the bucket.
    /// Default: the job stays until somebody deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<u32>,

    /// True: no more images are started; those being made are finished. It may change at any time. Default: false.
    #[serde(default)]
    pub suspend: bool,

    /// True: the job stops now, and the images made so far stay listed. It cannot be undone. Default: false.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf").message("a cancelled job stays cancelled; create a new one"))]
    pub cancel: bool,
}

/// A reference to a WorkerPool.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolRef {
    /// The pool's name.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The pool's namespace, for a pool that namespaces share. Default: the job's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub namespace: Option<String>,
}

/// An image from a text.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TextToImage {
    /// The checkpoint's file name as the engine lists it, e.g. `v1-5-pruned.safetensors`.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,
    /// What the image shows, up to 10000 characters.
    #[schemars(length(max = 10_000))]
    pub prompt: String,
    /// What the image does not show, up to 10000 characters. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 10_000))]
    pub negative_prompt: String,
    /// Width in pixels, a multiple of 8 from 64 to 4096. Default: 512.
    #[serde(default = "default_side")]
    #[schemars(range(min = 64, max = 4096), extend("multipleOf" = 8))]
    pub width: u32,
    /// Height in pixels, a multiple of 8 from 64 to 4096. Default: 512.
    #[serde(default = "default_side")]
    #[schemars(range(min = 64, max = 4096), extend("multipleOf" = 8))]
    pub height: u32,
    /// Sampling steps, 1 to 1000. Default: 20.
    #[serde(default = "default_steps")]
    #[schemars(range(min = 1, max = 1000))]
    pub steps: u32,
    /// How closely the image follows the prompt (classifier-free guidance), 0 to 100. Default: 7.
    #[serde(default = "default_cfg_scale")]
    #[schemars(range(min = 0, max = 100))]
    pub cfg_scale: f64,
    /// The engine's sampler, e.g. `euler` or `dpmpp_2m`. Default: euler.
    #[serde(default = "default_sampler")]
    #[schemars(length(min = 1, max = 64))]
    pub sampler: String,
    /// The engine's noise schedule, e.g. `normal` or `karras`. Default: normal.
    #[serde(default = "default_scheduler")]
    #[schemars(length(min = 1, max = 64))]
    pub scheduler: String,
    /// The seed of image 0, 0 to 9007199254740991 (2^53 - 1). Default: the operator draws one and keeps it in
    /// status.seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: Option<u64>,
}

/// A ComfyUI workflow: here, or in a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = exactly_one_of("graph", "configMapRef"))]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    /// The workflow in ComfyUI's API format (in ComfyUI's menu: Export (API)), a map of node ids to nodes with class_type
    /// and inputs; up to 500 nodes, and 1 MiB with the inputs below. Give exactly one of graph or configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::graph")]
    pub graph: Option<Map<String, Value>>,

    /// A ConfigMap in the job's namespace that holds the workflow. Give exactly one of graph or configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,

    /// Inputs of nodes to set to other values, each named node.input, e.g. `6.text`; up to 100. The node must have the
    /// input.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::workflow_inputs")]
    pub inputs: Map<String, Value>,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::dns_subdomain())]
    pub name: String,
    /// The key that holds the workflow's JSON. Default: workflow.json.
    #[serde(default = "default_config_map_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::config_map_key())]
    pub key: String,
}

/// What a job asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work<'a> {
    /// `spec.textToImage`.
    TextToImage(&'a TextToImage),
    /// `spec.workflow`.
    Workflow(&'a Workflow),
}

/// A spec with both or neither of textToImage and workflow; the API server refuses such a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give exactly one of textToImage or workflow")]
pub struct NoWork;

impl ImageJobSpec {
    /// What the job asks for.
    ///
    /// # Errors
    /// If both or neither of textToImage and workflow are there.
    pub fn work(&self) -> Result<Work<'_>, NoWork> {
        match (&self.text_to_image, &self.workflow) {
            (Some(text_to_image), None) => Ok(Work::TextToImage(text_to_image)),
            (None, Some(workflow)) => Ok(Work::Workflow(workflow)),
            _ => Err(NoWork),
        }
    }
}

const fn one() -> u32 {
    1
}
const fn default_timeout_seconds() -> u32 {
    300
}
const fn default_retries() -> u32 {
    2
}
const fn default_side() -> u32 {
    512
}
const fn default_steps() -> u32 {
    20
}
const fn default_cfg_scale() -> f64 {
    7.0
}
fn default_sampler() -> String {
    "euler".to_owned()
}
fn default_scheduler() -> String {
    "normal".to_owned()
}
fn default_config_map_key() -> String {
    "workflow.json".to_owned()
}
