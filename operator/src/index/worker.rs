//! What is kept of a worker's Pod in memory, together with its node.

use crds::{Capacity, names};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Node, Pod};
use kube::ResourceExt as _;

use super::unplaced::{Unplaced, unplaced};
use crate::{
    capacity,
    node::{self, Protection, Sign, Signs, karpenter},
};

/// Where nodes say which zone they are in.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// A worker's Pod, and what its node says of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkerRecord {
    /// The Pod's name, which is the worker's.
    pub(crate) name: String,
    pub(crate) uid: String,
    /// The uid of the pool it belongs to.
    pub(crate) owner: Option<String>,
    pub(crate) capacity: Capacity,
    /// The node's, or the one it was made for while it has none.
    pub(crate) zone: Option<String>,
    pub(crate) node: Option<String>,
    /// The model it was made to load first.
    pub(crate) model: Option<String>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) scheduled: Option<Timestamp>,
    /// When its node came into being.
    pub(crate) node_created: Option<Timestamp>,
    /// What is said of the machine it waits for.
    pub(crate) awaited: karpenter::Awaited,
    pub(crate) deleting: bool,
    /// What it was made from, as [`names::ANNOTATION_TEMPLATE`] says.
    pub(crate) template: Option<String>,
    /// The worst that is said of its machine, and by whom.
    pub(crate) sign: Option<Sign>,
    /// It is being deleted, and no kubelet is left to end it.
    pub(crate) left_behind: bool,
    pub(crate) start: Start,
    pub(crate) protection: Option<Protection>,
}

/// How the start of a worker goes, as far as Kubernetes tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Start {
    /// Nothing is known to stand in its way.
    #[default]
    Fine,
    /// The scheduler finds no place for it.
    Unplaced(Unplaced),
    /// A container does not come up by waiting alone, and why.
    Failing(String),
    /// Its Pod has ended, and why.
    Ended(String),
}

/// Puts together what is known of a Pod at one moment.
pub(super) fn record(
    pod: &Pod,
    node: Option<&Node>,
    karpenter: karpenter::NodeReport,
    awaited: karpenter::Awaited,
    now: Timestamp,
) -> WorkerRecord {
    let spec = pod.spec.as_ref();
    let deleting = pod.metadata.deletion_timestamp.is_some();
    let zone = node
        .and_then(|node| node.labels().get(ZONE))
        .or_else(|| spec?.node_selector.as_ref()?.get(ZONE))
        .cloned();
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let label = pod.labels().get(names::LABEL_CAPACITY).map(String::as_str);
    WorkerRecord {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        owner: owner.map(|owner| owner.uid.clone()),
        capacity: capacity::from_label(label.unwrap_or_default()),
        zone,
        node: spec.and_then(|spec| spec.node_name.clone()),
        model: pod.annotations().get(names::ANNOTATION_MODEL).cloned(),
        created: pod.creation_timestamp().map(|time| time.0),
        scheduled: node::scheduled_at(pod),
        node_created: node.and_then(|node| node.creation_timestamp()).map(|time| time.0),
        awaited,
        deleting,
        template: pod.annotations().get(names::ANNOTATION_TEMPLATE).cloned(),
        sign: node::sign(&Signs { pod, node, karpenter, now }),
        left_behind: deleting && node::vanished(pod, node, now),
        start: start(pod),
        protection: Protection::read(pod),
    }
}

/// Reasons of a waiting container that mean that it will not come up by waiting alone.
const FAILING: [&str; 6] = [
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

fn start(pod: &Pod) -> Start {
    if let Some(unplaced) = unplaced(pod) {
        return Start::Unplaced(unplaced);
    }
    let Some(status) = &pod.status else { return Start::Fine };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let words = [status.reason.as_deref(), status.message.as_deref()];
        let words: Vec<&str> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        return Start::Ended(words.join(": "));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let failing = containers.filter_map(|container| Some((container, failing(container)?))).next();
    match failing {
        Some((container, why)) => {
            Start::Failing(format!("container {} of Pod {}: {why}", container.name, pod.name_any()))
        }
        None => Start::Fine,
    }
}

/// The words of a container that is stuck, with its own last ones if it left any.
fn failing(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| FAILING.contains(reason))?;
    let last = last_words(container.last_state.as_ref());
    Some(match last.or(waiting.message.as_deref()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}

/// What the container wrote to its termination log.
fn last_words(state: Option<&ContainerState>) -> Option<&str> {
    let message = state?.terminated.as_ref()?.message.as_deref()?.trim();
    (!message.is_empty()).then_some(message)
}

/// The record of a Pod on this node.
#[cfg(test)]
pub(crate) fn worker_record(pod: &Pod, node: Option<&Node>, now: Timestamp) -> WorkerRecord {
    record(pod, node, karpenter::NodeReport::default(), karpenter::Awaited::default(), now)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::at;

    fn pod(change: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "w", "namespace": "studio", "labels": {"imagejob.dev/pool": "sd15"}},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running"},
        });
        json_patch::merge(&mut pod, change);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_that_is_deleted_is_left_behind_once_its_node_does_not_exist_any_more() {
        let left_behind = |deleted: Option<&str>, there: bool, scheduled: &str| {
            let bound = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled}]);
            let pod =
                pod(&json!({"metadata": {"deletionTimestamp": deleted}, "status": {"conditions": bound}}));
            let node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).unwrap();
            worker_record(&pod, there.then_some(&node), at(1000)).left_behind
        };
        let (deleted, long_ago, just_now) =
            (Some("2026-01-01T00:16:30Z"), "2026-01-01T00:06:00Z", "2026-01-01T00:16:35Z");
        assert!(left_behind(deleted, false, long_ago));
        assert!(!left_behind(deleted, true, long_ago), "its kubelet ends it");
        assert!(!left_behind(None, false, long_ago), "what it holds is taken back first");
        assert!(!left_behind(deleted, false, just_now), "the node may be too new to be seen");
    }

    #[test]
    fn a_start_that_fails_says_why() {
        let waiting = |reason: &str, message: Value, last: Value| {
            let state = json!({"waiting": {"reason": reason, "message": message}});
            let status = json!({"name": "gpu-worker", "image": "", "imageID": "", "ready": false,
                                "restartCount": 3, "state": state, "lastState": last});
            let pod = pod(&json!({"status": {"containerStatuses": [status]}}));
            worker_record(&pod, None, at(0)).start
        };
        let none = json!({});
        assert_eq!(
            waiting("ImagePullBackOff", json!("no such image"), none.clone()),
            Start::Failing("container gpu-worker of Pod w: ImagePullBackOff: no such image".into())
        );
        let last = json!({"terminated": {"exitCode": 1, "message": "the bucket refuses the keys\n"}});
        assert_eq!(
            waiting("CrashLoopBackOff", json!("back-off 10s"), last),
            Start::Failing(
                "container gpu-worker of Pod w: CrashLoopBackOff: the bucket refuses the keys".into()
            )
        );
        assert_eq!(waiting("PodInitializing", Value::Null, none), Start::Fine);
        let refused = json!({"status": {"phase": "Failed", "reason": "OutOfnvidia.com/gpu",
                                        "message": "Pod was rejected"}});
        let ended = Start::Ended("OutOfnvidia.com/gpu: Pod was rejected".into());
        assert_eq!(worker_record(&pod(&refused), None, at(0)).start, ended);
    }
}
