//! GKE: a node about to be preempted or stopped for maintenance of its host.
//! Source: <https://docs.cloud.google.com/kubernetes-engine/docs/concepts/handle-disruption-gpu-tpu>.

use kube::ResourceExt as _;

use super::{Sign, Signs, added, cloud::notice, grace, taint, worst};

const TERMINATION: &str = "cloud.google.com/impending-node-termination";
const MAINTENANCE: &str = "cloud.google.com/active-node-maintenance";

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let going = taint(node, TERMINATION).and_then(|taint| {
        Sign::doomed(added(taint, signs.now), notice(node), "GKE: the node is about to be stopped")
    });
    // Maintenance stops Pods as a deletion would: each has its own grace.
    let maintained = node
        .labels()
        .get(MAINTENANCE)
        .filter(|state| *state == "ONGOING")
        .and_then(|_| Sign::doomed(signs.now, grace(signs.pod), "GKE: maintenance of the node's host"));
    worst([going, maintained])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::fixtures::{doomed, health, node, tainted};

    #[test]
    fn signs_and_what_they_mean() {
        let table = [
            (tainted(TERMINATION, "", "NoSchedule"), doomed("2026-01-01T00:01:15Z")),
            (json!({"metadata": {"labels": {MAINTENANCE: "ONGOING"}}}), doomed("2026-01-01T00:01:25Z")),
            (json!({"metadata": {"labels": {MAINTENANCE: "PENDING"}}}), None),
            (
                json!({"metadata": {"labels": {"cloud.google.com/scheduled-maintenance-time": "1767229200"}}}),
                None,
            ),
        ];
        for (change, want) in table {
            let node = node("gce://studio-project/us-central1-a/gke-pool-1", &change);
            assert_eq!(health(read, Some(&node)), want, "{change}");
        }
    }
}
