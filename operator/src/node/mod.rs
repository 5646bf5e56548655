//! What the signs of a node and a Pod say of the worker on them: healthy, at risk, doomed or gone. Pure.
//!
//! One file a family; each reads objects and says what it finds, the worst counts. None of this is needed for
//! work to survive (the lease is); it only makes it come back sooner, and lets a worker finish what still fits.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use policy::{Health, Time};

mod aks;
mod aws_nth;
mod cloud;
mod cluster_autoscaler;
mod eks;
#[cfg(test)]
mod fixtures;
mod gke;
pub(crate) mod karpenter;
mod kubernetes;
mod oke;
mod pod;
mod protection;
mod worker;

pub(crate) use kubernetes::{scheduled_at, vanished};
pub(crate) use protection::Protection;
pub(crate) use worker::told;

/// What one family of signs looks at.
pub(crate) struct Signs<'a> {
    pub(crate) pod: &'a Pod,
    /// `None`: the Pod has no node yet, or its node is not there (any more).
    pub(crate) node: Option<&'a Node>,
    /// What Karpenter says of the node elsewhere.
    pub(crate) karpenter: karpenter::NodeReport,
    pub(crate) now: Timestamp,
}

/// What a sign means, and what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) health: Health,
    /// For people: who says what.
    pub(crate) cause: &'static str,
}

type Family = fn(&Signs<'_>) -> Option<Sign>;

const FAMILIES: &[Family] = &[
    pod::read,
    kubernetes::read,
    karpenter::read,
    aws_nth::read,
    cluster_autoscaler::read,
    eks::read,
    gke::read,
    aks::read,
    oke::read,
];

/// The worst that any family says of a Pod and its node; `None` when none says anything.
pub(crate) fn sign(signs: &Signs<'_>) -> Option<Sign> {
    worst(FAMILIES.iter().map(|read| read(signs)))
}

impl Sign {
    pub(crate) fn gone(cause: &'static str) -> Option<Self> {
        Some(Self { health: Health::Gone, cause })
    }

    fn at_risk(cause: &'static str) -> Option<Self> {
        Some(Self { health: Health::AtRisk, cause })
    }

    /// Doomed, with so much time since it was noticed.
    fn doomed(noticed: Timestamp, notice: Duration, cause: &'static str) -> Option<Self> {
        Some(Self { health: Health::Doomed { deadline: time(noticed).plus(notice) }, cause })
    }

    /// Gone before doomed before at risk; of two deadlines the earlier.
    fn severity(&self) -> (u8, u64) {
        match self.health {
            Health::Healthy => (0, 0),
            Health::AtRisk => (1, 0),
            Health::Doomed { deadline } => (2, u64::MAX - deadline.as_millis()),
            Health::Gone => (3, 0),
        }
    }
}

pub(crate) fn worst(signs: impl IntoIterator<Item = Option<Sign>>) -> Option<Sign> {
    signs.into_iter().flatten().max_by_key(Sign::severity)
}

/// The node's taint of this key.
fn taint<'a>(node: &'a Node, key: &str) -> Option<&'a Taint> {
    node.spec.as_ref()?.taints.as_ref()?.iter().find(|taint| taint.key == key)
}

/// The node's condition of this type, if it has this status.
fn condition<'a>(node: &'a Node, type_: &str, status: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
}

/// When a taint was put on the node: by itself (only some say), else as of now, when it is first seen. Once a
/// worker was told, what it was told stands.
fn added(taint: &Taint, now: Timestamp) -> Timestamp {
    taint.time_added.as_ref().map_or(now, |time| time.0)
}

/// Since when a condition is as it is.
fn since(condition: &NodeCondition, now: Timestamp) -> Timestamp {
    condition.last_transition_time.as_ref().map_or(now, |time| time.0)
}

/// What a Pod is granted between SIGTERM and SIGKILL.
fn grace(pod: &Pod) -> Duration {
    /// Kubernetes' own default.
    const DEFAULT: Duration = Duration::from_secs(30);
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DEFAULT, Duration::from_secs)
}

pub(crate) fn time(timestamp: Timestamp) -> Time {
    Time::from_millis(u64::try_from(timestamp.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_sign_counts_and_of_two_deadlines_the_earlier() {
        let said = |health| Some(Sign { health, cause: "test" });
        let doomed = |ms| said(Health::Doomed { deadline: Time::from_millis(ms) });
        let rising = [None, said(Health::AtRisk), doomed(200), doomed(100), said(Health::Gone)];
        for (n, sign) in rising.iter().enumerate() {
            assert_eq!(worst(rising[..=n].iter().copied()), *sign);
            assert_eq!(worst(rising[..=n].iter().rev().copied()), *sign);
        }
    }
}
