//! cluster-autoscaler taking a node away. It evicts the Pods as soon as it has tainted the node, and lets each
//! have its own grace.
//! Source of the keys and of their values (Unix seconds):
//! <https://github.com/kubernetes/autoscaler/blob/cluster-autoscaler-release-1.33/cluster-autoscaler/utils/taints/taints.go>.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;

use super::{Sign, Signs, added, grace, taint, worst};

const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
const CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let going = taint(node, TO_BE_DELETED).and_then(|taint| {
        Sign::doomed(tainted_at(taint, signs.now), grace(signs.pod), "cluster-autoscaler: scale-down")
    });
    let candidate =
        taint(node, CANDIDATE).and_then(|_| Sign::at_risk("cluster-autoscaler: may be scaled down"));
    worst([going, candidate])
}

fn tainted_at(taint: &Taint, now: Timestamp) -> Timestamp {
    let seconds = taint.value.as_deref().and_then(|value| value.parse().ok());
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_else(|| added(taint, now))
}

#[cfg(test)]
mod tests {
    use policy::Health;

    use super::*;
    use crate::node::fixtures::{doomed, health, node, tainted};

    #[test]
    fn signs_and_what_they_mean() {
        let table = [
            // 2026-01-01T00:00:50Z
            (TO_BE_DELETED, "1767225650", "NoSchedule", doomed("2026-01-01T00:01:15Z")),
            (TO_BE_DELETED, "", "NoSchedule", doomed("2026-01-01T00:01:25Z")),
            (TO_BE_DELETED, "soon", "NoSchedule", doomed("2026-01-01T00:01:25Z")),
            (CANDIDATE, "1767225650", "PreferNoSchedule", Some(Health::AtRisk)),
            ("node.kubernetes.io/unreachable", "", "NoSchedule", None),
        ];
        for (key, value, effect, want) in table {
            let node = node("aws:///us-east-1a/i-0abc123def4567890", &tainted(key, value, effect));
            assert_eq!(health(read, Some(&node)), want, "{key}={value}");
        }
    }
}
