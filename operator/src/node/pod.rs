//! The Pod's own signs.
//! Sources: <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>,
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>.

use std::time::Duration;

use policy::Health;

use super::{Sign, Signs, grace, time};

/// A Pod still there this long after its deletion was to be over has a kubelet that doesn't answer.
const OVERDUE: Duration = Duration::from_secs(5);

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let status = signs.pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Failed" | "Succeeded")) {
        return Sign::gone("its Pod has ended");
    }
    let deletion = signs.pod.metadata.deletion_timestamp.as_ref();
    if let Some(deadline) = deletion {
        let deadline = time(deadline.0);
        if time(signs.now) > deadline.plus(OVERDUE) {
            return Sign::gone("its Pod was deleted and does not go");
        }
        return Some(Sign { health: Health::Doomed { deadline }, cause: "its Pod is being deleted" });
    }
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let disruption = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let since = disruption.last_transition_time.as_ref().map_or(signs.now, |time| time.0);
    match disruption.reason.as_deref() {
        Some("TerminationByKubelet") => Sign::gone("the kubelet ended its Pod"),
        Some("DeletionByTaintManager") => Sign::gone("a taint of its node ended its Pod"),
        Some("DeletionByPodGC") => Sign::gone("its Pod was left behind by its node"),
        Some("PreemptionByScheduler") => {
            Sign::doomed(since, grace(signs.pod), "its Pod makes room for a more important one")
        }
        _ => Sign::doomed(since, grace(signs.pod), "its Pod is evicted"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use crate::node::{
        fixtures::{at, doomed},
        karpenter::NodeReport,
    };

    fn health(pod: Value, now: &str) -> Option<Health> {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let signs = Signs { pod: &pod, node: None, karpenter: NodeReport::default(), now: at(now) };
        read(&signs).map(|sign| sign.health)
    }

    fn disrupted(reason: &str) -> Value {
        json!({"metadata": {}, "spec": {"terminationGracePeriodSeconds": 25, "containers": []}, "status": {
            "phase": "Running",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason,
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    }

    #[test]
    fn signs_and_what_they_mean() {
        let now = "2026-01-01T00:00:10Z";
        let table = [
            (json!({"metadata": {}, "status": {"phase": "Running"}}), None),
            (
                json!({"metadata": {}, "status": {"phase": "Failed", "reason": "NodeShutdown"}}),
                Some(Health::Gone),
            ),
            (json!({"metadata": {}, "status": {"phase": "Succeeded"}}), Some(Health::Gone)),
            (disrupted("EvictionByEvictionAPI"), doomed("2026-01-01T00:00:25Z")),
            (disrupted("PreemptionByScheduler"), doomed("2026-01-01T00:00:25Z")),
            (disrupted("DeletionByTaintManager"), Some(Health::Gone)),
            (disrupted("DeletionByPodGC"), Some(Health::Gone)),
            (disrupted("TerminationByKubelet"), Some(Health::Gone)),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z"}, "status": {"phase": "Running"}}),
                doomed("2026-01-01T00:00:30Z"),
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:01Z"}, "status": {"phase": "Running"}}),
                Some(Health::Gone),
            ),
        ];
        for (pod, want) in table {
            assert_eq!(health(pod.clone(), now), want, "{pod}");
        }
    }
}
