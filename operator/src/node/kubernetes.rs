//! What Kubernetes itself says of a node.
//! Sources: <https://kubernetes.io/docs/reference/labels-annotations-taints/>,
//! <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/>.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};

use super::{Sign, Signs, cloud::notice, condition, karpenter, since, taint, time, worst};

/// A Pod may be bound to a node that our watch shows a moment later.
const NODE_MAY_LAG: Duration = Duration::from_secs(10);
/// From a node's deletion or shutdown until it stops, where the cloud does not leave it less: there is no common
/// default.
const SHUTDOWN_NOTICE: Duration = Duration::from_secs(30);
const GONE_TAINTS: [(&str, &str); 2] = [
    ("node.kubernetes.io/out-of-service", "Kubernetes: the node is out of service"),
    ("node.cloudprovider.kubernetes.io/shutdown", "Kubernetes: the machine is shut down"),
];

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    signs.pod.spec.as_ref()?.node_name.as_ref()?;
    match signs.node {
        Some(node) => {
            let gone =
                GONE_TAINTS.iter().map(|(key, cause)| taint(node, key).and_then(|_| Sign::gone(cause)));
            worst(gone.chain([deleted(node), shutting_down(node, signs.now), in_doubt(node)]))
        }
        None => {
            let gone = vanished(signs.pod, signs.node, signs.now);
            Sign::gone("Kubernetes: the node does not exist").filter(|_| gone)
        }
    }
}

/// Whether the Pod's node was there and does not exist any more.
pub(crate) fn vanished(pod: &Pod, node: Option<&Node>, now: Timestamp) -> bool {
    let had_one = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let long_bound = scheduled_at(pod).is_some_and(|bound| time(now).since(time(bound)) > NODE_MAY_LAG);
    had_one && node.is_none() && long_bound
}

/// Something waits to be done before the node may go. Karpenter's own deletions it tells more of.
fn deleted(node: &Node) -> Option<Sign> {
    let deleted = node.metadata.deletion_timestamp.as_ref().filter(|_| !karpenter::drains(node))?;
    Sign::doomed(deleted.0, notice(node).min(SHUTDOWN_NOTICE), "Kubernetes: the node is being deleted")
}

fn shutting_down(node: &Node, now: Timestamp) -> Option<Sign> {
    let ready = condition(node, "Ready", "False")?;
    ready.message.as_deref().filter(|message| message.contains("node is shutting down"))?;
    Sign::doomed(since(ready, now), notice(node).min(SHUTDOWN_NOTICE), "kubelet: the node is shutting down")
}

fn in_doubt(node: &Node) -> Option<Sign> {
    // A silent kubelet does not mean a dead worker: what it holds stays its own while it renews its leases.
    if condition(node, "Ready", "Unknown").is_some() {
        return Sign::at_risk("Kubernetes: the kubelet is silent");
    }
    node.spec.as_ref()?.unschedulable.filter(|cordoned| *cordoned)?;
    Sign::at_risk("Kubernetes: the node is cordoned")
}

/// When the Pod got its node.
pub(crate) fn scheduled_at(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "True")?;
    scheduled.last_transition_time.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use policy::Health;
    use serde_json::json;

    use super::*;
    use crate::node::fixtures::{conditioned, doomed, health, node, tainted};

    #[test]
    fn signs_and_what_they_mean() {
        let ready = |status, message| conditioned("Ready", status, "", message);
        let deleted =
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:40Z", "finalizers": ["a/b"]}});
        let drained = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:40Z",
                                          "finalizers": ["karpenter.sh/termination"]}});
        let table = [
            (ready("True", "kubelet is posting ready status"), None),
            (ready("Unknown", "Kubelet stopped posting node status."), Some(Health::AtRisk)),
            (ready("False", "node is shutting down"), doomed("2026-01-01T00:01:20Z")),
            (
                ready("False", "[container runtime is down, node is shutting down]"),
                doomed("2026-01-01T00:01:20Z"),
            ),
            (ready("False", "container runtime is down"), None),
            (json!({"spec": {"unschedulable": true}}), Some(Health::AtRisk)),
            (json!({"spec": {"unschedulable": false}}), None),
            (tainted("node.kubernetes.io/out-of-service", "nodeshutdown", "NoExecute"), Some(Health::Gone)),
            (tainted("node.cloudprovider.kubernetes.io/shutdown", "", "NoSchedule"), Some(Health::Gone)),
            (tainted("node.kubernetes.io/unreachable", "", "NoExecute"), None),
            (tainted("example.com/dedicated", "", "NoExecute"), None),
            (deleted, doomed("2026-01-01T00:01:10Z")),
            (drained, None),
        ];
        for (change, want) in table {
            let node = node("aws:///us-east-1a/i-0abc123def4567890", &change);
            assert_eq!(health(read, Some(&node)), want, "{change}");
        }
        let google =
            node("gce://studio-project/us-central1-a/gke-1", &ready("False", "node is shutting down"));
        assert_eq!(health(read, Some(&google)), doomed("2026-01-01T00:01:05Z"), "GKE's Pods have 15 s");
        assert_eq!(health(read, None), Some(Health::Gone));
    }
}
