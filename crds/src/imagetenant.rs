use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CredentialsRef, Money, PoolRef, rules, schema};

/// Who uses the HTTP API, and what they may use.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "imagejob.dev",
    version = "v1alpha1",
    kind = "ImageTenant",
    plural = "imagetenants",
    shortname = "it",
    category = "imaging",
    namespaced,
    derive = "PartialEq",
    validation = rules::tenant_name(),
    doc = "An ImageTenant is somebody who uses the HTTP API: what they may use, and how much of it. It stands in the namespace of the API server, and its name is the tenant of all jobs that are created with its API keys.",
    printcolumn(
        name = "Namespace",
        type_ = "string",
        json_path = ".spec.namespace",
        description = "The namespace of the tenant's jobs."
    ),
    printcolumn(
        name = "Disabled",
        type_ = "boolean",
        json_path = ".spec.disabled",
        description = "Whether the tenant's API keys are refused."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ImageTenantSpec {
    /// The namespace in which the API server creates the tenant's jobs. Several tenants may share one, if it has the label
    /// `imagejob.dev/tenancy: field` and its pools `fairness.tenancy: Field`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub namespace: String,

    /// The pools that the tenant may use, up to 20. A job that names none is for the first. Default: the pools of the
    /// tenant's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pools: Vec<PoolRef>,

    /// The classes that the tenant's jobs may have, up to 10. Default: every class of the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::class_names")]
    pub classes: Vec<String>,

    /// The model files that the tenant's jobs may load, as the engine lists them; `*` stands for any text; up to 200.
    /// Workflows are held to it too; a recipe loads what it names. Default: every model that the pool allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::model_patterns")]
    pub models: Vec<String>,

    /// The model of requests that name none, e.g. `sd_xl_base_1.0.safetensors`. Default: the pool's only model, if it has
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub default_model: Option<String>,

    /// Other names by which requests may name models, up to 50, e.g. `dall-e-3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub model_aliases: Vec<ModelAlias>,

    /// The ImageRecipes that the tenant's jobs may use, up to 100. Default: every recipe of the tenant's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::recipe_names")]
    pub recipes: Vec<String>,

    /// False: the tenant's jobs bring no workflow of their own. Default: true.
    #[serde(default = "yes")]
    pub workflows: bool,

    /// The queues that the tenant's jobs are taken from, beside its HTTP requests, up to 5. Default: none. See docs/http/sqs.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub intakes: Vec<TenantIntake>,

    /// Who is told of the tenant's jobs, up to 5; a request may name one more for its job. See docs/http/webhooks.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub webhooks: Vec<TenantWebhook>,

    /// How much the tenant may ask for. Its API keys share these limits.
    #[serde(default, skip_serializing_if = "TenantLimits::is_default")]
    pub limits: TenantLimits,

    /// True: the tenant's API keys are refused. Jobs that exist go on. Default: false.
    #[serde(default)]
    pub disabled: bool,
}

/// Another name of a model.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ModelAlias {
    /// The name in requests.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The model file, as the engine lists it.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,
}

/// A queue whose messages become jobs of the tenant.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TenantIntake {
    /// Its name in the list. The tenant's usage shows its jobs under the key `sqs.NAME`.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The queue. It needs the rights to receive, to delete and to change the visibility of messages.
    pub sqs: SqsQueue,
    /// The pool of jobs that name none. Default: the first of the tenant's pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<PoolRef>,
}

/// A queue of Amazon SQS, or of a server that is compatible with it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SqsQueue {
    /// The queue's URL, e.g. `https://sqs.eu-central-1.amazonaws.com/123456789012/images`. Requests go to its host, whatever
    /// its address is.
    #[serde(rename = "queueURL")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::queue_url())]
    pub queue_url: String,
    /// The region that requests are signed for. Default: the one that the URL's host names, else that of the API server's
    /// environment, else us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub region: Option<String>,
    /// The Secret in the tenant's own namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the
    /// credentials of the API server's ServiceAccount or machine (web identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<CredentialsRef>,
}

/// A topic of Amazon SNS, or of a server that is compatible with it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SnsTopic {
    /// The topic's ARN, e.g. `arn:aws:sns:eu-central-1:123456789012:images`. It names the region.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::topic_arn())]
    pub topic_arn: String,
    /// The URL of a server that is not AWS, or of a VPC endpoint, whatever its address is. Default: AWS in the topic's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::http_url())]
    pub endpoint: Option<String>,
    /// The Secret in the tenant's own namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: the
    /// credentials of the API server's ServiceAccount or machine (web identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<CredentialsRef>,
}

/// Where a tenant's events are sent: to a URL, a queue or a topic.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_target())]
pub struct TenantWebhook {
    /// Its name in the list.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The URL that events are posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::receiver_url())]
    pub url: Option<String>,
    /// The queue that events are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqs: Option<SqsQueue>,
    /// The topic that events are published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sns: Option<SnsTopic>,
    /// The events to send: accepted, started, image, completed, failed, cancelled, late, refused (a message of an intake that
    /// cannot become a job). Default: completed, failed, cancelled, late and refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::webhook_events")]
    pub events: Vec<String>,
}

/// How much a tenant may ask for. A request over a limit is refused and says which limit it was.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TenantLimits {
    /// Requests per second, 1 to 10000; a burst of ten seconds' worth is let through. Reading a job does not count. Default:
    /// no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: Option<u32>,
    /// Jobs that have not ended, 1 to 100000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub unfinished_jobs: Option<u32>,
    /// Images asked for in a day (UTC), 1 to 100000000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub images_per_day: Option<u64>,
    /// Images asked for in a month (UTC), 1 to 1000000000. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub images_per_month: Option<u64>,
    /// The cost of the GPU time in a day (UTC), in the pools' currency, e.g. "25.00". Once it is reached, no further job is
    /// taken; what runs goes on. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::price")]
    #[x_kube(validation = rules::price())]
    pub amount_per_day: Option<Money>,
    /// The cost of the GPU time in a month (UTC), likewise. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::price")]
    #[x_kube(validation = rules::price())]
    pub amount_per_month: Option<Money>,
}

impl TenantLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

const fn yes() -> bool {
    true
}
