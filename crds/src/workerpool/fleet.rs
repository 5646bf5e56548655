use std::fmt;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Labels;
use crate::{Decimal, Money, rules, schema};

/// Machines of one kind, at one price, on which workers may run.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = rules::max_not_below_min())]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// The name that classes use, e.g. `spot`.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// Spot: machines that are cheap, and that the cloud may take away at any moment. OnDemand: machines that stay, at
    /// full price. Reserved: machines that are paid for whether they are used or not; not yet possible.
    #[serde(rename = "type")]
    pub fleet_type: FleetType,
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
    /// The zones over which workers are spread, up to 20. Default: the scheduler chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub zones: Vec<Zone>,
    /// How fast the fleet's GPU is beside the pool's reference, a number above 0 with at most three places, in quotes if
    /// it has a fraction: `2` makes an image in half the time. It is recorded and not yet used for decisions. Default: 1.
    #[serde(default = "reference_speed")]
    #[schemars(schema_with = "schema::speed")]
    #[x_kube(validation = rules::speed())]
    pub speed: Decimal,
}

/// A zone of a fleet.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// The zone, as the node label topology.kubernetes.io/zone has it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The price of one worker's machine per hour in this zone. It decides which zone is tried first; cost is counted by
    /// the fleet's price. Default: the fleet's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::price")]
    #[x_kube(validation = rules::price())]
    pub price_per_hour: Option<Money>,
}

/// The type of a fleet's machines.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FleetType {
    /// Cheap machines that the cloud may take away at any moment.
    Spot,
    /// Machines that stay, at full price.
    OnDemand,
    /// Machines that are paid for whether they are used or not.
    Reserved,
    /// A type of a later version of the API. No worker is started in such a pool.
    #[schemars(skip)]
    #[serde(other)]
    Unknown,
}

/// A kind of machine.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capacity {
    /// A spot machine: cheap, and the cloud may take it away at any moment.
    Spot,
    /// An on-demand machine: it stays, at full price.
    OnDemand,
}

impl FleetType {
    /// The type as the API has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "Spot",
            Self::OnDemand => "OnDemand",
            Self::Reserved => "Reserved",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for FleetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Capacity> for FleetType {
    fn from(capacity: Capacity) -> Self {
        match capacity {
            Capacity::Spot => Self::Spot,
            Capacity::OnDemand => Self::OnDemand,
        }
    }
}

impl Capacity {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Spot, Self::OnDemand];

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
        Self::ALL.into_iter().find(|c| c.label() == label)
    }
}

fn reference_speed() -> Decimal {
    Decimal::from_thousandths(1000)
}
