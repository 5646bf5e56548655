use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

mod access;
mod class;
mod engine;
mod fleet;
mod sharing;
mod status;
mod template;

pub use access::{InputSources, Limits, PoolModel};
pub use class::{ClassCapacity, ClassSpec};
pub use engine::{Engine, EngineKind, Worker};
pub use fleet::{Capacity, Fleet, FleetType, Zone};
pub use sharing::{AllowedNamespaces, Fairness, NamespacesFrom, Tenancy, TenantShare};
pub use status::{
    EngineStatus, FleetPrice, FleetStatus, ImageCost, MachineCost, PoolCost, PoolDecision, PoolModelStatus,
    PoolQueue, Prices, TenantCost, WorkerPoolStatus,
};
pub use template::{PodTemplate, PodTemplateError, PodTemplateMetadata};

/// A fleet of GPU workers of one shape.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "imagejob.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    plural = "workerpools",
    shortname = "wp",
    category = "imaging",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    validation = rules::pool_name(),
    doc = "A WorkerPool is a fleet of GPU workers of one shape: the engine they run, the machines they may run on and at what price, the classes of urgency it offers, and the bucket its images go to.",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "The reason of the Ready condition."
    ),
    printcolumn(
        name = "Waiting",
        type_ = "integer",
        json_path = ".status.queue.waiting",
        description = "Images that wait for a worker."
    ),
    printcolumn(
        name = "Running",
        type_ = "integer",
        json_path = ".status.queue.running",
        description = "Images that workers make now."
    ),
    printcolumn(
        name = "Spot",
        type_ = "integer",
        json_path = ".status.fleets[?(@.type==\"Spot\")].total",
        description = "Workers on spot machines."
    ),
    printcolumn(
        name = "OnDemand",
        type_ = "integer",
        json_path = ".status.fleets[?(@.type==\"OnDemand\")].total",
        description = "Workers on on-demand machines."
    ),
    printcolumn(
        name = "Cost/h",
        type_ = "string",
        json_path = ".status.cost.perHour",
        description = "The cost of the present workers per hour."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Oldest",
        type_ = "integer",
        json_path = ".status.queue.oldestSeconds",
        description = "How long the oldest waiting image has waited, in seconds.",
        priority = 1
    ),
    printcolumn(
        name = "Cost",
        type_ = "string",
        json_path = ".status.cost.total",
        description = "The cost of the workers' machines since status.cost.since.",
        priority = 1
    ),
    printcolumn(
        name = "Default",
        type_ = "boolean",
        json_path = ".spec.default",
        description = "Whether jobs of the namespace that name no pool use it.",
        priority = 1
    )
)]
#[x_kube(validation = rules::classes_name_fleets())]
#[x_kube(validation = rules::classes_prefer_spot())]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// True: jobs in this namespace that name no pool use this one. Default: false.
    #[serde(default)]
    pub default: bool,

    /// The container that makes images.
    pub engine: Engine,

    /// The container that takes work from the queue, drives the engine and uploads.
    #[serde(default)]
    pub worker: Worker,

    /// What every worker Pod has besides: volumes, a ServiceAccount, pull secrets and so on. Settings of the engine and of
    /// the worker belong into `engine` and `worker`: where the template sets the same field, the pool's own counts. The
    /// table "Which value counts" in docs/operations.md goes through all fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// The machines that workers may run on, and their prices, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(validation = rules::one_fleet_of_a_type(), merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub fleets: Vec<Fleet>,

    /// The currency of the prices, three capital letters. Default: USD.
    #[serde(default = "default_currency")]
    #[schemars(length(min = 3, max = 3))]
    #[x_kube(validation = rules::currency())]
    pub currency: String,

    /// The classes of urgency the pool offers, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(validation = rules::one_default_class(), merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub classes: Vec<ClassSpec>,

    /// How tenants share the pool.
    #[serde(default)]
    pub fairness: Fairness,

    /// What a job may ask of the pool. A job that asks for more waits and says so (LimitExceeded).
    #[serde(default)]
    pub limits: Limits,

    /// What jobs may have fetched as inputs. Default: no URLs and no objects of the bucket; ConfigMaps and files of other
    /// jobs are always allowed.
    #[serde(default)]
    pub inputs: InputSources,

    /// Which family the engine's model files are of, up to 200. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<PoolModel>,

    /// Which namespaces' jobs may use the pool. Default: the pool's own namespace only.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,

    /// When workers are started and removed.
    #[serde(default)]
    pub scaling: Scaling,

    /// The shortest segment of a long image in seconds, 0 to 3600. Workers make long images of textToImage, and of recipes
    /// with cutAt, in segments and store each in the bucket, so that a machine that goes away costs one segment and not the image. Images of
    /// on-demand classes, and of samplers that cannot be cut, are made in one piece. 0: every image is made in one
    /// piece. Default: 10.
    #[serde(default = "default_segment_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub segment_seconds: u32,

    /// Where the images go.
    pub output: Output,

    /// How many seconds after its end a job is deleted that has no ttlSecondsAfterFinished, 0 to 31536000 (a year). The
    /// images stay in the bucket. Default: the job stays until somebody deletes it.
    #[serde(default, rename = "defaultTTLSecondsAfterFinished", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub default_ttl_seconds_after_finished: Option<u32>,

    /// True: no image and no worker is started; images being made are finished. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

impl WorkerPoolSpec {
    /// The fleet of one type, if the pool has it. For now a pool has one of a type at most.
    #[must_use]
    pub fn fleet(&self, fleet_type: FleetType) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.fleet_type == fleet_type)
    }

    /// What it says of a model file.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&PoolModel> {
        self.models.iter().find(|model| model.name == name)
    }

    /// What of the spec this version does not know, for people: values of a later version of the API. No worker is started
    /// while there is any.
    #[must_use]
    pub fn unknown(&self) -> Option<String> {
        if self.engine.kind == EngineKind::Unknown {
            return Some("spec.engine.kind is one that this operator does not know".to_owned());
        }
        let fleet = self.fleets.iter().find(|fleet| fleet.fleet_type == FleetType::Unknown)?;
        Some(format!("spec.fleets[{}].type is one that this operator does not know", fleet.name))
    }
}

/// When workers are started and removed.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// After how many seconds without work a worker is removed, 0 to 86400. Default: 60.
    #[serde(default = "default_idle_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub idle_seconds: u32,
    /// After how many seconds without a machine for a spot worker the operator takes spot machines for unavailable, 10 to
    /// 3600. Default: 75.
    #[serde(default = "default_spot_shortage_seconds")]
    #[schemars(range(min = 10, max = 3600))]
    pub spot_shortage_seconds: u32,
}

/// Where images go: a bucket of S3, or of a store that speaks S3's protocol.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The bucket's name.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = rules::bucket())]
    pub bucket: String,
    /// The store's URL, e.g. `https://minio.example.com`. Default: AWS S3 in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = rules::http_url())]
    pub endpoint: Option<String>,
    /// The bucket's region. Default: us-east-1.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// True: requests name the bucket in the path and not in the host name, as MinIO and others need. Default: false.
    #[serde(default)]
    pub path_style: bool,
    /// The text before every key; empty, or ending in a slash, e.g. `generated/`. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(validation = rules::key_prefix())]
    pub key_prefix: String,
    /// The URL under which the bucket's objects can be fetched, e.g. a CDN. An image's URL is this URL, a slash, and the
    /// image's key.
    #[serde(rename = "publicURL")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = rules::http_url())]
    pub public_url: String,
    /// The Secret in the pool's namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the
    /// credentials of the worker's ServiceAccount or machine (web identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<CredentialsRef>,
}

/// A Secret's name.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::dns_subdomain())]
    pub name: String,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { idle_seconds: default_idle_seconds(), spot_shortage_seconds: default_spot_shortage_seconds() }
    }
}

/// Labels or a node selector.
pub(crate) type Labels = BTreeMap<String, String>;

const fn default_idle_seconds() -> u32 {
    60
}
const fn default_spot_shortage_seconds() -> u32 {
    75
}
const fn default_segment_seconds() -> u32 {
    10
}
fn default_region() -> String {
    "us-east-1".to_owned()
}
fn default_currency() -> String {
    "USD".to_owned()
}
