//! Why a Pod has no machine, in the scheduler's words. Pure.

use k8s_openapi::api::core::v1::Pod;

/// What the scheduler says of a Pod that it could not place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// No machine fits. An autoscaler may bring one: one that would fit if only it were there reads like one that
    /// can't be had.
    NoMachine(String),
    /// Something else is missing, whatever machines there are.
    Impossible(String),
}

/// `None`: it is placed, or nothing was said yet.
pub(super) fn unplaced(pod: &Pod) -> Option<Unplaced> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let message = scheduled.message.as_deref().filter(|_| scheduled.status == "False")?;
    let gated = scheduled.reason.as_deref() == Some("SchedulingGated");
    // As the scheduler's VolumeBinding plugin words them: a claim that is not found, lost, or not bound.
    let claim = message.to_ascii_lowercase().contains("persistentvolumeclaim");
    let message = message.to_owned();
    Some(if gated || claim { Unplaced::Impossible(message) } else { Unplaced::NoMachine(message) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &str, reason: &str, message: &str) -> Pod {
        let condition =
            json!({"type": "PodScheduled", "status": status, "reason": reason, "message": message});
        let pod = json!({"metadata": {"name": "w"}, "status": {"conditions": [condition]}});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn only_what_no_machine_would_mend_is_told_from_a_shortage() {
        for message in [
            "0/3 nodes are available: persistentvolumeclaim \"models\" not found. preemption: not helpful.",
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "0/3 nodes are available: persistentvolumeclaim \"models\" bound to non-existent persistentvolume \"a\"",
        ] {
            let pod = pod("False", "Unschedulable", message);
            assert_eq!(unplaced(&pod), Some(Unplaced::Impossible(message.into())));
        }
        for message in [
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "0/3 nodes are available: 3 node(s) had untolerated taint {gpu: }.",
            "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
        ] {
            let pod = pod("False", "Unschedulable", message);
            assert_eq!(unplaced(&pod), Some(Unplaced::NoMachine(message.into())));
        }
        let gated = "Scheduling is blocked due to non-empty scheduling gates";
        assert_eq!(
            unplaced(&pod("False", "SchedulingGated", gated)),
            Some(Unplaced::Impossible(gated.into()))
        );
    }

    #[test]
    fn a_pod_that_has_a_machine_lacks_nothing() {
        assert_eq!(unplaced(&pod("True", "", "")), None);
        assert_eq!(unplaced(&Pod::default()), None);
    }
}
