use serde_json::{Value, json};

use super::*;
use crate::node::fixtures::{at, doomed, health_with, node, tainted};

const AWS: &str = "aws:///us-east-1a/i-0abc123def4567890";
const AZURE: &str =
    "azure:///subscriptions/0/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/aks-gpu-1";

/// A NodeClaim of `karpenter.sh/v1`, as a metadata-only watch shows it.
fn claim(change: &Value) -> Option<ObjectMeta> {
    let mut meta = json!({
        "name": "gpu-spot-7xk2p",
        "uid": "8f14e45f-ceea-467f-a0e6-3d6e1c1d2b3a",
        "generation": 1,
        "creationTimestamp": "2025-12-31T23:00:00Z",
        "finalizers": ["karpenter.sh/termination"],
        "labels": {
            "karpenter.sh/capacity-type": "spot",
            "karpenter.sh/nodepool": "gpu-spot",
            "node.kubernetes.io/instance-type": "g5.xlarge",
            "topology.kubernetes.io/zone": "us-east-1a",
        },
        "annotations": {"karpenter.k8s.aws/ec2nodeclass-hash": "13451324534"},
        "ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": "gpu-spot",
                             "uid": "0b2d5c9e-8a34-4a6f-b0a1-7c6d5e4f3a21", "blockOwnerDeletion": true}],
    });
    json_patch::merge(&mut meta, change);
    serde_json::from_value(meta).unwrap()
}

fn deleted(termination_time: Option<&str>) -> NodeReport {
    let mut change = json!({"deletionTimestamp": "2026-01-01T00:00:50Z", "deletionGracePeriodSeconds": 0});
    if let Some(time) = termination_time {
        change["annotations"] = json!({TERMINATION_TIME: time});
    }
    NodeReport { deleted: claim(&change), ..NodeReport::default() }
}

#[test]
fn what_is_said_elsewhere_and_what_it_means() {
    let interrupted = NodeReport { interrupted: Some(at("2026-01-01T00:00:55Z")), ..NodeReport::default() };
    let advised = NodeReport { rebalance: true, ..NodeReport::default() };
    let drifted = NodeReport { disruption: Some("Karpenter: the node has drifted"), ..NodeReport::default() };
    let both = NodeReport { rebalance: true, ..interrupted.clone() };
    let table = [
        ("nothing", AWS, NodeReport::default(), None),
        ("an Event SpotInterrupted", AWS, interrupted.clone(), doomed("2026-01-01T00:02:55Z")),
        ("an Event SpotRebalanceRecommendation", AWS, advised, Some(Health::AtRisk)),
        ("both", AWS, both, doomed("2026-01-01T00:02:55Z")),
        ("a NodeClaim that is to be replaced", AWS, drifted.clone(), Some(Health::AtRisk)),
        (
            "and is deleted with a deadline of its own",
            AWS,
            NodeReport { deleted: deleted(Some("2026-01-01T01:00:50Z")).deleted, ..drifted.clone() },
            doomed("2026-01-01T01:00:50Z"),
        ),
        (
            "and without one",
            AWS,
            NodeReport { deleted: deleted(None).deleted, ..drifted.clone() },
            doomed("2026-01-01T00:02:50Z"),
        ),
        (
            "and is interrupted meanwhile",
            AWS,
            NodeReport {
                deleted: deleted(Some("2026-01-01T01:00:50Z")).deleted,
                disruption: drifted.disruption,
                ..interrupted.clone()
            },
            doomed("2026-01-01T00:02:50Z"),
        ),
        ("a NodeClaim that is deleted", AWS, deleted(None), doomed("2026-01-01T00:02:50Z")),
        ("the same on Azure", AZURE, deleted(None), doomed("2026-01-01T00:01:20Z")),
        (
            "that shall be gone at once",
            AWS,
            deleted(Some("2026-01-01T00:00:50Z")),
            doomed("2026-01-01T00:00:50Z"),
        ),
        (
            "that has longer than the cloud may leave",
            AWS,
            deleted(Some("2026-01-01T01:00:50Z")),
            doomed("2026-01-01T00:02:50Z"),
        ),
        ("whose deadline can't be read", AWS, deleted(Some("soon")), doomed("2026-01-01T00:02:50Z")),
    ];
    for (name, cloud, said, want) in table {
        let node = node(cloud, &json!({}));
        assert_eq!(health_with(read, Some(&node), said), want, "{name}");
    }
}

#[test]
fn signs_on_the_node_and_what_they_mean() {
    let going = |finalizer| json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:51Z", "finalizers": [finalizer]}});
    let table = [
        (tainted("karpenter.sh/disrupted", "", "NoSchedule"), Some(Health::AtRisk)),
        (tainted("karpenter.sh/disruption", "disrupting", "NoSchedule"), Some(Health::AtRisk)),
        (tainted("karpenter.sh/unregistered", "", "NoExecute"), None),
        (going(FINALIZER), doomed("2026-01-01T00:02:51Z")),
        (going("example.com/other"), None),
    ];
    for (change, want) in table {
        let node = node(AWS, &change);
        assert_eq!(health_with(read, Some(&node), NodeReport::default()), want, "{change}");
    }
}

#[test]
fn without_a_node_karpenter_has_nothing_to_say() {
    assert_eq!(health_with(read, None, deleted(None)), None);
}
