//! The Pod's own signs.
//! Sources: <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>,
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>.

use std::time::Duration;

use policy::Health;

use super::{Signs, time};

/// A Pod still there this long after its deletion was to be over has a kubelet that doesn't answer.
const OVERDUE: Duration = Duration::from_secs(5);

pub(super) fn read(signs: &Signs<'_>) -> Option<Health> {
    let status = signs.pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Failed" | "Succeeded")) {
        return Some(Health::Gone);
    }
    let deletion = signs.pod.metadata.deletion_timestamp.as_ref();
    if let Some(deadline) = deletion {
        let now = time(signs.now);
        let deadline = time(deadline.0);
        let overdue = now > deadline.plus(OVERDUE);
        return Some(if overdue { Health::Gone } else { Health::Doomed { deadline } });
    }
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let disruption = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    match disruption.reason.as_deref() {
        Some("TerminationByKubelet" | "DeletionByTaintManager" | "DeletionByPodGC") => Some(Health::Gone),
        _ => {
            let grace = signs.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
            let grace = Duration::from_secs(grace.and_then(|s| u64::try_from(s).ok()).unwrap_or(30));
            let since = disruption.last_transition_time.as_ref().map_or(signs.now, |time| time.0);
            Some(Health::Doomed { deadline: time(since).plus(grace) })
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Pod;
    use policy::Time;
    use serde_json::{Value, json};

    use super::*;

    fn health(pod: Value, now: &str) -> Option<Health> {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        read(&Signs { pod: &pod, node: None, now: now.parse().unwrap() })
    }

    fn doomed(at: &str) -> Option<Health> {
        let at: Timestamp = at.parse().unwrap();
        Some(Health::Doomed { deadline: Time::from_millis(u64::try_from(at.as_millisecond()).unwrap()) })
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
