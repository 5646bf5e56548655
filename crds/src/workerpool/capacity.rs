use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Labels;
use crate::{Money, rules, schema};

/// The machines that workers may run on: spot, on-demand, or both.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = Rule::new("has(self.spot) || has(self.onDemand)").message("give spot, onDemand or both"))]
#[serde(rename_all = "camelCase")]
pub struct Fleets {
    /// Spot machines: cheap, and the cloud may take them away at any moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Fleet>,
    /// On-demand machines: they stay, at full price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<Fleet>,
    /// The currency of the prices, three capital letters. Default: USD.
    #[serde(default = "default_currency")]
    #[schemars(length(min = 3, max = 3))]
    #[x_kube(validation = rules::currency())]
    pub currency: String,
}

/// Machines of one kind.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = rules::max_not_below_min())]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// How many workers stay even without work, 0 to 10000. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub min: u32,
    /// How many workers there are at most, 0 to 10000.
    #[schemars(range(min = 0, max = 10_000))]
    pub max: u32,
    /// The price of one worker's machine per hour, as a decimal string such as `"0.90"`.
    #[schemars(schema_with = "schema::price")]
    #[x_kube(validation = rules::price())]
    pub price_per_hour: Money,
    /// The labels that a node must have, e.g. `karpenter.sh/capacity-type: spot`; up to 20.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: Labels,
    /// The taints of nodes that workers tolerate, up to 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// The zones (topology.kubernetes.io/zone) over which workers are spread, up to 20. Default: the scheduler chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::zones")]
    pub zones: Vec<String>,
}

/// A kind of machine.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capacity {
    /// A spot machine: cheap, and the cloud may take it away at any moment.
    Spot,
    /// An on-demand machine: it stays, at full price.
    OnDemand,
}

impl Capacity {
    /// As in labels, metric labels and the queue: `spot`, `onDemand`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "onDemand",
        }
    }

    /// The inverse of [`label`](Self::label).
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Spot, Self::OnDemand].into_iter().find(|c| c.label() == label)
    }
}

impl Fleets {
    /// The fleet of one kind, if the pool has it.
    #[must_use]
    pub const fn get(&self, capacity: Capacity) -> Option<&Fleet> {
        match capacity {
            Capacity::Spot => self.spot.as_ref(),
            Capacity::OnDemand => self.on_demand.as_ref(),
        }
    }
}

/// A class of urgency.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClassSpec {
    /// The name that jobs use, e.g. `standard`.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The promise: every image of a job is made within so many seconds of the job's acceptance, 1 to 604800 (a week).
    #[schemars(range(min = 1, max = 604_800))]
    pub sla_seconds: u32,
    /// Spot: spot machines only. SpotThenOnDemand: on-demand machines too where spot machines cannot keep the promise.
    /// OnDemand: on-demand machines only.
    pub capacity: ClassCapacity,
    /// True: jobs that name no class use this one. At most one class has it. Default: false.
    #[serde(default)]
    pub default: bool,
}

/// The machines a class may use.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassCapacity {
    /// Spot machines only.
    Spot,
    /// On-demand machines too where spot machines cannot keep the promise.
    SpotThenOnDemand,
    /// On-demand machines only.
    OnDemand,
}

fn default_currency() -> String {
    "USD".to_owned()
}
