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
#[x_kube(validation = rules::classes_have_spot())]
#[x_kube(validation = rules::classes_have_on_demand())]
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

    /// What every worker Pod has besides: volumes, a ServiceAccount, pull secrets and so on. Where it and the operator
    /// set the same field, the operator's value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// The machines that workers may run on, and their prices.
    pub capacity: Fleets,

    /// The classes of urgency the pool offers, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(validation = rules::one_default_class(), merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub classes: Vec<ClassSpec>,

    /// How tenants share the pool.
    #[serde(default)]
    pub fairness: Fairness,

    /// Which namespaces' jobs may use the pool. Default: the pool's own namespace only.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,

    /// When workers are started and removed.
    #[serde(default)]
    pub scaling: Scaling,

    /// The shortest segment of a long image in seconds, 0 to 3600. Workers make long textToImage images in segments and
    /// store each in the bucket, so that a machine that goes away costs one segment and not the image. Images of
    /// on-demand classes, and of samplers that cannot be cut, are made in one piece. 0: every image is made in one
    /// piece. Default: 10.
    #[serde(default = "default_segment_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub segment_seconds: u32,

    /// Where the images go.
    pub output: Output,

    /// True: no image and no worker is started; images being made are finished. Default: false.
    #[serde(default)]
    pub paused: bool,
}

/// How tenants share a pool.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fairness {
    /// Who a job's tenant is. Namespace: its namespace; a job whose spec.tenant names another waits. Field: spec.tenant,
    /// or the namespace if the job names none. Default: Namespace.
    #[serde(default)]
    pub tenancy: Tenancy,
    /// The weight of tenants that are not listed, 1 to 1000. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub default_weight: u32,
    /// How many images of each tenant that is not listed may be made at once, 1 to 100000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub default_max_running: Option<u32>,
    /// Tenants with a weight or a limit of their own, up to 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tenants: Vec<TenantShare>,
}

/// Who a job's tenant is.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenancy {
    /// The job's namespace.
    #[default]
    Namespace,
    /// The job's spec.tenant, or its namespace if it names none.
    Field,
}

/// A tenant's share.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TenantShare {
    /// The tenant's name.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::tenant())]
    pub name: String,
    /// The tenant's weight, 1 to 1000. A tenant of weight 4 gets four times as much GPU time as one of weight 1 while
    /// both wait. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// How many of the tenant's images may be made at once, 1 to 100000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_running: Option<u32>,
}

/// Which namespaces' jobs may use a pool.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[x_kube(validation = rules::selector_only_with_selector())]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Same: the pool's own namespace. All: every namespace. Selector: namespaces whose labels match selector. Default:
    /// Same.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// The labels of the namespaces, for `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespacesFrom {
    /// The pool's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Namespaces whose labels match.
    Selector,
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

impl Default for Fairness {
    fn default() -> Self {
        Self {
            tenancy: Tenancy::default(),
            default_weight: one(),
            default_max_running: None,
            tenants: vec![],
        }
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
