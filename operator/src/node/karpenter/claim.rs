//! A NodeClaim: a machine that Karpenter orders, has, or takes away; as far as it is read.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Nothing of a spec is read.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodeClaim",
    status = "NodeClaimStatus",
    schema = "disabled"
)]
pub(super) struct NodeClaimSpec {}

/// See [`NodeClaim`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NodeClaimStatus {
    conditions: Vec<Condition>,
}

/// A condition; of some versions of Karpenter one lacks a reason or a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    last_transition_time: Option<Time>,
}

impl NodeClaim {
    fn is(&self, kind: &str) -> Option<&Condition> {
        let conditions = &self.status.as_ref()?.conditions;
        conditions.iter().find(|condition| condition.kind == kind && condition.status == "True")
    }

    /// When its machine was bought; `None`: it was not, or it has joined the cluster since.
    pub(super) fn bought(&self) -> Option<Timestamp> {
        let launched = self.is("Launched")?;
        let at = launched.last_transition_time.as_ref().or(self.metadata.creation_timestamp.as_ref())?;
        (self.is("Registered").is_none() && self.metadata.deletion_timestamp.is_none()).then_some(at.0)
    }

    /// Why Karpenter means to take its machine away, in words; it may think better of it.
    pub(super) fn disruption(&self) -> Option<&'static str> {
        let disruption = self.is("DisruptionReason")?;
        Some(match disruption.reason.as_deref() {
            Some("Drifted") => "Karpenter: the node has drifted and is to be replaced",
            Some("Empty") => "Karpenter: the node is empty and is to be removed",
            Some("Underutilized") => "Karpenter: the node is underutilized and is to be removed",
            _ => "Karpenter: the node is to be replaced or removed",
        })
    }
}
