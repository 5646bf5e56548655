//! What Kubernetes itself says of a node.
//! Sources: <https://kubernetes.io/docs/reference/labels-annotations-taints/>,
//! <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/>.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use policy::Health;

use super::{Signs, has_taint, time};

/// A Pod may be bound to a node that our watch shows a moment later.
const NODE_MAY_LAG: Duration = Duration::from_secs(10);
/// What kubelet's graceful shutdown leaves a Pod: its default for non-critical Pods where it is set up.
const SHUTDOWN_NOTICE: Duration = Duration::from_secs(30);
const GONE_TAINTS: [&str; 2] =
    ["node.kubernetes.io/out-of-service", "node.cloudprovider.kubernetes.io/shutdown"];

pub(super) fn read(signs: &Signs<'_>) -> Option<Health> {
    signs.pod.spec.as_ref()?.node_name.as_ref()?;
    let Some(node) = signs.node else {
        let bound = scheduled_at(signs.pod)?;
        return (time(signs.now).since(time(bound)) > NODE_MAY_LAG).then_some(Health::Gone);
    };
    if GONE_TAINTS.iter().any(|key| has_taint(Some(node), key)) {
        return Some(Health::Gone);
    }
    if let Some(deleted) = &node.metadata.deletion_timestamp {
        return Some(Health::Doomed { deadline: time(deleted.0).plus(SHUTDOWN_NOTICE) });
    }
    let ready = ready(node);
    if let Some(ready) = ready
        && ready.status == "False"
        && ready.message.as_deref().is_some_and(|message| message.contains("node is shutting down"))
    {
        let since = ready.last_transition_time.as_ref().map_or(signs.now, |time| time.0);
        return Some(Health::Doomed { deadline: time(since).plus(SHUTDOWN_NOTICE) });
    }
    // A silent kubelet does not mean a dead worker: what it holds stays its own while it renews its leases.
    let silent = ready.is_some_and(|ready| ready.status == "Unknown");
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    (silent || unschedulable).then_some(Health::AtRisk)
}

fn ready(node: &Node) -> Option<&NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready")
}

/// When the Pod got its node.
pub(crate) fn scheduled_at(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "True")?;
    scheduled.last_transition_time.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn health(node: Option<Value>) -> Option<Health> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {}, "spec": {"nodeName": "n1", "containers": []},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True",
                                       "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap();
        let node: Option<Node> = node.map(|node| serde_json::from_value(node).unwrap());
        read(&Signs { pod: &pod, node: node.as_ref(), now: "2026-01-01T00:01:00Z".parse().unwrap() })
    }

    fn ready(status: &str, message: &str) -> Value {
        json!({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": status, "message": message,
            "lastHeartbeatTime": null, "lastTransitionTime": "2026-01-01T00:00:50Z"}]}})
    }

    fn tainted(key: &str) -> Value {
        json!({"metadata": {}, "spec": {"taints": [{"key": key, "effect": "NoExecute"}]}})
    }

    #[test]
    fn signs_and_what_they_mean() {
        let doomed = Some(Health::Doomed { deadline: time("2026-01-01T00:01:20Z".parse().unwrap()) });
        let table = [
            (Some(ready("True", "kubelet is posting ready status")), None),
            (Some(ready("Unknown", "Kubelet stopped posting node status.")), Some(Health::AtRisk)),
            (Some(ready("False", "node is shutting down")), doomed),
            (Some(ready("False", "container runtime is down")), None),
            (Some(json!({"metadata": {}, "spec": {"unschedulable": true}})), Some(Health::AtRisk)),
            (Some(tainted("node.kubernetes.io/out-of-service")), Some(Health::Gone)),
            (Some(tainted("node.cloudprovider.kubernetes.io/shutdown")), Some(Health::Gone)),
            (Some(tainted("example.com/dedicated")), None),
            (None, Some(Health::Gone)),
        ];
        for (node, want) in table {
            assert_eq!(health(node.clone()), want, "{node:?}");
        }
    }
}
