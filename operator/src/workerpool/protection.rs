//! Tells autoscalers whose machine not to take away: that of a worker at work. One that idles has nothing to lose,
//! and one that is doomed only stands in the way of an orderly end: Karpenter would wait for it until the machine
//! stops.
//! Sources: <https://karpenter.sh/docs/concepts/disruption/#pod-level-controls>,
//! <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use policy::{Health, Order, Phase, Time, Worker};
use serde::Serialize;

use super::{
    Error,
    apply::{CONCURRENCY, Work},
};

const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Between two images a worker is as good as at work. So no Pod is written more than twice in this time.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// Whether a worker's machine may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// It may not.
    On,
    /// It may.
    Off,
}

impl Protection {
    /// What is right for a worker; pure. On its way to its first image it has cost something already.
    pub(crate) fn of(worker: &Worker, now: Time) -> Self {
        let goes = matches!(worker.health, Health::Doomed { .. } | Health::Gone)
            || matches!(worker.order, Order::Doomed | Order::Retire | Order::Evicted);
        match worker.phase {
            _ if goes => Self::Off,
            Phase::Idle { since } if now.since(since) >= IDLE_FOR => Self::Off,
            Phase::Failed => Self::Off,
            Phase::Unscheduled { .. } | Phase::Starting { .. } | Phase::Idle { .. } | Phase::Busy => Self::On,
        }
    }

    /// How a Pod says so; `None`: by not having the annotation. Without a word cluster-autoscaler keeps the
    /// machine of a Pod that belongs to a custom resource.
    pub(crate) fn annotations(self) -> BTreeMap<&'static str, Option<&'static str>> {
        match self {
            Self::On => [(DO_NOT_DISRUPT, Some("true")), (SAFE_TO_EVICT, Some("false"))].into(),
            Self::Off => [(DO_NOT_DISRUPT, None), (SAFE_TO_EVICT, Some("true"))].into(),
        }
    }

    fn is_said_by(self, pod: &Pod) -> bool {
        let said = pod.annotations();
        self.annotations().into_iter().all(|(name, value)| said.get(name).map(String::as_str) == value)
    }
}

/// A merge patch: `null` takes an annotation away.
#[derive(Debug, Serialize)]
struct Change {
    metadata: Annotated,
}

#[derive(Debug, Serialize)]
struct Annotated {
    annotations: BTreeMap<&'static str, Option<&'static str>>,
}

impl Work<'_> {
    /// Writes what has changed to the workers' Pods.
    pub(crate) async fn protect(&self, now: Timestamp) -> Result<(), Error> {
        let now = crate::node::time(now);
        let change = |worker: &Worker| {
            let pod = self.observed.pods.get(&worker.id.0)?;
            let protection = Protection::of(worker, now);
            let stays = pod.metadata.deletion_timestamp.is_none();
            // Without the queue nobody can be seen at work, nor idle.
            let known = self.observed.stats.is_some() || protection == Protection::Off;
            (stays && known && !protection.is_said_by(pod)).then(|| (worker.id.0.clone(), protection))
        };
        let changes: Vec<_> = self.observed.seen.workers.iter().filter_map(change).collect();
        let api = self.pods();
        let write = |(name, protection): (String, Protection)| {
            let api = api.clone();
            let change = Change { metadata: Annotated { annotations: protection.annotations() } };
            async move { api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(change)).await }
        };
        let written: Vec<_> = stream::iter(changes).map(write).buffer_unordered(CONCURRENCY).collect().await;
        let failure = written.into_iter().filter_map(Result::err).find(|error| !is_gone(error));
        failure.map_or(Ok(()), |error| Err(Error::Api(error)))
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

#[cfg(test)]
mod tests {
    use policy::{Capacity, WorkerId};
    use serde_json::json;

    use super::*;

    fn worker(phase: Phase, health: Health, order: Order) -> Worker {
        let id = WorkerId("w".into());
        Worker { phase, health, order, ..Worker::new(id, Capacity::Spot, Time::from_millis(0)) }
    }

    #[test]
    fn workers_at_work_are_protected_idle_and_doomed_ones_are_not() {
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let idle = |seconds: u64| Phase::Idle { since: at(100 - seconds) };
        let doomed = Health::Doomed { deadline: at(130) };
        let table = [
            (
                Phase::Unscheduled { machine: policy::Machine::Unknown },
                Health::Well,
                Order::Work,
                Protection::On,
            ),
            (Phase::Starting { scheduled: at(1) }, Health::Well, Order::Work, Protection::On),
            (Phase::Busy, Health::Well, Order::Work, Protection::On),
            (Phase::Busy, Health::AtRisk, Order::Hold, Protection::On),
            (Phase::Busy, doomed, Order::Work, Protection::Off),
            (Phase::Busy, Health::Well, Order::Doomed, Protection::Off),
            (Phase::Busy, Health::Gone, Order::Work, Protection::Off),
            (idle(9), Health::Well, Order::Work, Protection::On),
            (idle(10), Health::Well, Order::Work, Protection::Off),
            (idle(9), Health::Well, Order::Retire, Protection::Off),
        ];
        for (phase, health, order, want) in table {
            assert_eq!(Protection::of(&worker(phase, health, order), at(100)), want, "{phase:?} {health:?}");
        }
    }

    #[test]
    fn only_what_a_pod_does_not_say_yet_is_written() {
        let pod = |annotations| -> Pod {
            serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
        };
        let (on, off) = (
            pod(json!({DO_NOT_DISRUPT: "true", SAFE_TO_EVICT: "false", "team": "art"})),
            pod(json!({SAFE_TO_EVICT: "true", "team": "art"})),
        );
        assert!(Protection::On.is_said_by(&on) && !Protection::On.is_said_by(&off));
        assert!(Protection::Off.is_said_by(&off) && !Protection::Off.is_said_by(&on));
        assert!(!Protection::Off.is_said_by(&pod(json!({}))));
        let change = Change { metadata: Annotated { annotations: Protection::Off.annotations() } };
        assert_eq!(
            serde_json::to_value(change).unwrap(),
            json!({"metadata": {"annotations": {DO_NOT_DISRUPT: null, SAFE_TO_EVICT: "true"}}})
        );
    }
}
