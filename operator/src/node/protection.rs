//! Tells autoscalers whose machine not to take away.
//! Sources: <https://karpenter.sh/docs/concepts/disruption/#pod-level-controls>,
//! <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;

const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// Whether a worker's machine may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// It may not.
    On,
    /// It may.
    Off,
}

/// A merge patch: `null` takes an annotation away.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    metadata: Annotated,
}

#[derive(Debug, Serialize)]
struct Annotated {
    annotations: BTreeMap<&'static str, Option<&'static str>>,
}

impl Protection {
    /// How a Pod says so; `None`: by not having the annotation. Without a word cluster-autoscaler keeps the
    /// machine of a Pod that belongs to a custom resource.
    pub(crate) fn annotations(self) -> BTreeMap<&'static str, Option<&'static str>> {
        match self {
            Self::On => [(DO_NOT_DISRUPT, Some("true")), (SAFE_TO_EVICT, Some("false"))].into(),
            Self::Off => [(DO_NOT_DISRUPT, None), (SAFE_TO_EVICT, Some("true"))].into(),
        }
    }

    /// What a Pod says; `None`: neither.
    pub(crate) fn read(pod: &Pod) -> Option<Self> {
        let said = pod.annotations();
        let says = |protection: &Self| {
            let mut annotations = protection.annotations().into_iter();
            annotations.all(|(name, value)| said.get(name).map(String::as_str) == value)
        };
        [Self::On, Self::Off].into_iter().find(says)
    }

    /// A merge patch that has a Pod say so.
    pub(crate) fn change(self) -> Change {
        Change { metadata: Annotated { annotations: self.annotations() } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_says_what_was_written_to_it() {
        let pod = |annotations| -> Pod {
            serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
        };
        let on = pod(json!({DO_NOT_DISRUPT: "true", SAFE_TO_EVICT: "false", "team": "art"}));
        assert_eq!(Protection::read(&on), Some(Protection::On));
        let off = pod(json!({SAFE_TO_EVICT: "true", "team": "art"}));
        assert_eq!(Protection::read(&off), Some(Protection::Off));
        assert_eq!(Protection::read(&pod(json!({}))), None);
        assert_eq!(
            serde_json::to_value(Protection::Off.change()).unwrap(),
            json!({"metadata": {"annotations": {DO_NOT_DISRUPT: null, SAFE_TO_EVICT: "true"}}})
        );
    }
}
