use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, schema};

mod capacity;
mod engine;
mod status;
mod template;

pub use capacity::{Capacity, ClassCapacity, ClassSpec, Fleet, Fleets};
pub use engine::{Engine, EngineKind, Worker};
pub use status::{
    ImageCost, MachineCost, PoolCost, PoolDecision, PoolQueue, PoolWorkers, Prices, TenantCost, WorkerCounts,
    WorkerPoolStatus,
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
        description = "Images waiting for a worker."
    ),
    printcolumn(
        name = "Running",
        type_ = "integer",
        json_path = ".status.queue.running",
        description = "Images being made."
    ),
    printcolumn(
        name = "Spot",
        type_ = "integer",
        json_path = ".status.workers.spot.total",
        description = "Workers on spot machines."
    ),
    printcolumn(
        name = "OnDemand",
        type_ = "integer",
        json_path = ".status.workers.onDemand.total",
        description = "Workers on on-demand machines."
    ),
    printcolumn(
        name = "Cost/h",
        type_ = "string",
        json_path = ".status.cost.perHour",
        description = "What the workers cost per hour now."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Oldest",
        type_ = "integer",
        json_path = ".status.queue.oldestSeconds",
        description = "How long the oldest image has waited, in seconds.",
        priority = 1
    ),
    printcolumn(
        name = "Cost",
        type_ = "string",
        json_path = ".status.cost.total",
        description = "What the workers' machines cost since it is counted.",
        priority = 1
    ),
    printcolumn(
        name = "Default",
        type_ = "boolean",
        json_path = ".spec.default",
        description = "Whether jobs of the namespace use it unasked.",
        priority = 1
    )
)]
#[x_kube(validation = rules::classes_have_spot())]
#[x_kube(validation = rules::classes_have_on_demand())]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// True: jobs in this namespace that name no pool use this one. Default: false.
    #[serde(default)]
    pub default: bool,

    /// The container that makes pictures.
    pub engine: Engine,

    /// The container that claims work, drives the engine and uploads.
    #[serde(default)]
    pub worker: Worker,

    /// What every worker Pod should have besides: volumes, tolerations, a ServiceAccount and so on. What the
    /// operator generates is laid over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// The machines workers may run on, and their prices.
    pub capacity: Fleets,

    /// The classes of urgency the pool offers, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(validation = rules::one_default_class(), merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub classes: Vec<ClassSpec>,

    /// Shares between tenants when work waits.
    #[serde(default)]
    pub fairness: Fairness,

    /// Which namespaces' jobs may use the pool. Default: its own only.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,

    /// When workers come and go.
    #[serde(default)]
    pub scaling: Scaling,

    /// A textToImage picture that takes long is made in segments of at least so many seconds, 0 to 3600, and what is
    /// done goes to the bucket after each: a machine that goes away costs a segment, not the picture. Pictures of
    /// on-demand classes, and those of samplers that can't be cut, are made in one piece. 0: all are. Default: 10.
    #[serde(default = "default_segment_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub segment_seconds: u32,

    /// Where images go.
    pub output: Output,

    /// True: start no work and no workers; images being made are finished. Default: false.
    #[serde(default)]
    pub paused: bool,
}

/// Shares between tenants when work waits.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fairness {
    /// The weight of tenants not listed, 1 to 1000. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub default_weight: u32,
    /// Tenants with a weight or a limit of their own, up to 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tenants: Vec<TenantShare>,
}

/// A tenant's share.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TenantShare {
    /// The tenant.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::tenant())]
    pub name: String,
    /// Its weight, 1 to 1000: with 4 it gets four times what a tenant with 1 gets. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// How many of its images may be made at once, 1 to 100000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_running: Option<u32>,
}

/// Which namespaces' jobs may use a pool.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[x_kube(validation = rules::selector_only_with_selector())]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Same: the pool's own. All: every one. Selector: those whose labels match selector. Default: Same.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespacesFrom {
    /// The pool's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those whose labels match.
    Selector,
}

/// When workers come and go.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// A worker idle for so many seconds is taken away, 0 to 86400. Default: 60.
    #[serde(default = "default_idle_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub idle_seconds: u32,
    /// A spot worker that finds no machine for so many seconds means a spot shortage, 10 to 3600. Default: 75.
    #[serde(default = "default_spot_shortage_seconds")]
    #[schemars(range(min = 10, max = 3600))]
    pub spot_shortage_seconds: u32,
}

/// Where images go: a bucket of S3 or of a store that speaks its protocol.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The bucket.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = rules::bucket())]
    pub bucket: String,
    /// The store's URL, e.g. `https://minio.example.com`. Default: AWS S3 of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = rules::http_url())]
    pub endpoint: Option<String>,
    /// The bucket's region. Default: us-east-1.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// True: name the bucket in the path of requests, not in the host name, as MinIO and others want it.
    /// Default: false.
    #[serde(default)]
    pub path_style: bool,
    /// Put before every key; empty or ending in a slash, e.g. `generated/`. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(validation = rules::key_prefix())]
    pub key_prefix: String,
    /// Where the bucket's objects can be fetched, e.g. the CDN: an image's URL is this, a slash, and its key.
    #[serde(rename = "publicURL")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = rules::http_url())]
    pub public_url: String,
    /// The Secret, in the pool's namespace, with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    /// Default: what the worker's ServiceAccount or machine gives (web identity, instance role).
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

impl Default for Fairness {
    fn default() -> Self {
        Self { default_weight: one(), tenants: vec![] }
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self { idle_seconds: default_idle_seconds(), spot_shortage_seconds: default_spot_shortage_seconds() }
    }
}

/// Labels or a node selector.
pub(crate) type Labels = BTreeMap<String, String>;

const fn one() -> u32 {
    1
}
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
