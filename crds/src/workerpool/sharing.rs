//! Whose jobs a pool takes, and how they share it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, schema};

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
    /// How many of the tenant's images may be made at once, 1 to 100000, in place of limits.maxRunningPerTenant. Default:
    /// no limit.
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

impl Default for Fairness {
    fn default() -> Self {
        Self { tenancy: Tenancy::default(), default_weight: one(), tenants: vec![] }
    }
}

const fn one() -> u32 {
    1
}
