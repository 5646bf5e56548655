//! Objects as the API server shows them, for the tables of the families.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use policy::Health;
use serde_json::{Value, json};

use super::{Family, Signs, karpenter::NodeReport, time};

/// When everything in the tables is looked at.
pub(super) const NOW: &str = "2026-01-01T00:01:00Z";

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Doomed, at a time of that minute or the next.
pub(super) fn doomed(text: &str) -> Option<Health> {
    Some(Health::Doomed { deadline: time(at(text)) })
}

/// A worker's Pod on node `gpu-1`, with 25 s of grace.
pub(super) fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "sd15-spot-0123456789"},
        "spec": {"nodeName": "gpu-1", "containers": [], "terminationGracePeriodSeconds": 25},
        "status": {"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap()
}

/// Node `gpu-1` of a cloud, changed by a JSON merge of `change` over it.
pub(super) fn node(provider_id: &str, change: &Value) -> Node {
    let mut node = json!({
        "metadata": {"name": "gpu-1", "uid": "2d6a1c9e-5b0f-4a0e-9c1d-3f4e5a6b7c8d",
                     "creationTimestamp": "2025-12-31T23:00:00Z"},
        "spec": {"providerID": provider_id},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": "2026-01-01T00:00:55Z", "lastTransitionTime": "2025-12-31T23:01:00Z"}]},
    });
    json_patch::merge(&mut node, change);
    serde_json::from_value(node).unwrap()
}

/// What a node looks like with this taint.
pub(super) fn tainted(key: &str, value: &str, effect: &str) -> Value {
    let mut taint = json!({"key": key, "effect": effect});
    if !value.is_empty() {
        taint["value"] = value.into();
    }
    json!({"spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}, taint]}})
}

/// What a node looks like with this condition since 00:00:50.
pub(super) fn conditioned(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"status": {"conditions": [
        {"type": "MemoryPressure", "status": "False"},
        {"type": type_, "status": status, "reason": reason, "message": message,
         "lastHeartbeatTime": "2026-01-01T00:00:55Z", "lastTransitionTime": "2026-01-01T00:00:50Z"}]}})
}

/// What a family says of the Pod on this node.
pub(super) fn health(family: Family, node: Option<&Node>) -> Option<Health> {
    health_with(family, node, NodeReport::default())
}

/// The same, with what Karpenter says elsewhere.
pub(super) fn health_with(family: Family, node: Option<&Node>, karpenter: NodeReport) -> Option<Health> {
    let signs = Signs { pod: &pod(), node, karpenter, now: at(NOW) };
    family(&signs).map(|sign| sign.health)
}
