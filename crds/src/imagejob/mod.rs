use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{self, fixed};

mod input;
mod status;
mod work;

pub use input::{Input, InputSource, JobSource, ObjectSource};
pub use status::{
    Cost, Counts, ImageFailure, ImageJobStatus, JobOutput, JobPool, JobResult, OutputFile, Timings,
};
pub use work::{
    ControlNet, Format, ImageToImage, Lora, Metadata, NoWork, RecipeUse, Sampling, TextToImage, Work, WorkOf,
    WorkType, Workflow,
};

/// The name of a class, as the pool defines it.
pub type Class = String;

/// What the user asks for: the work, and how many images of it.
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
    doc = "An ImageJob asks for images: from a text, from an image, of a workflow or of a recipe. The operator queues them, GPU workers of a WorkerPool make them, and the operator writes their URLs and cost into the status.",
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
        json_path = ".status.pool.name",
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
        name = "Late",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Late\")].reason",
        description = "The reason of the Late condition, once the job was at risk of missing its dueTime.",
        priority = 1
    )
)]
#[x_kube(validation = fixed("poolRef"))]
#[x_kube(validation = fixed("tenant"))]
#[x_kube(validation = fixed("class"))]
#[x_kube(validation = fixed("work"))]
#[x_kube(validation = fixed("inputs"))]
#[x_kube(validation = fixed("output"))]
#[x_kube(validation = fixed("sameSeed"))]
#[x_kube(validation = fixed("dueWithinSeconds"))]
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

    /// What to make.
    pub work: Work,

    /// Files that the work starts from, up to 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub inputs: Vec<Input>,

    /// In which form the files are stored.
    #[serde(default, skip_serializing_if = "OutputForm::is_default")]
    pub output: OutputForm,

    /// How many images to make, 1 to 10000. Image i uses seed + i. A job of several images whose work has no seed that can
    /// be counted up is refused, unless sameSeed is true. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,

    /// True: all images use the same seed, for work that differs in other ways, e.g. by the time or by chance. Default:
    /// false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_seed: bool,

    /// Within how many seconds of its acceptance the job is due, 1 to 604800 (a week); not less than the class's
    /// slaSeconds. Default: the class's slaSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub due_within_seconds: Option<u32>,

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

/// In which form files are stored.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct OutputForm {
    /// The format that still pictures are converted to: png, webp, jpeg or avif. Animations and other files stay as they
    /// are. Default: pictures stay as the engine wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The quality of webp, jpeg and avif, 1 to 100. Default: 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub quality: Option<u8>,
    /// Strip: texts that the engine writes into files, such as the prompt and the workflow, are taken out. Keep: they stay,
    /// but not in a picture that `format` converts: a converted picture has none. Default: Strip.
    #[serde(default)]
    pub metadata: Metadata,
}

impl OutputForm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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

const fn one() -> u32 {
    1
}
const fn default_timeout_seconds() -> u32 {
    300
}
const fn default_retries() -> u32 {
    2
}
fn default_config_map_key() -> String {
    "workflow.json".to_owned()
}
