//! What the signs of a node and a Pod say of the worker on them: well, at risk, doomed or gone.
//!
//! One file a family; each reads objects and says what it finds, the worst counts. None of this is needed for
//! work to survive (the lease is); it only makes it come back sooner.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use policy::{Health, Time};

mod kubernetes;
pub(crate) use kubernetes::scheduled_at;
mod pod;

/// What one family of signs looks at.
pub(crate) struct Signs<'a> {
    pub(crate) pod: &'a Pod,
    /// `None`: the Pod has no node yet, or its node is not there (any more).
    pub(crate) node: Option<&'a Node>,
    pub(crate) now: Timestamp,
}

type Family = fn(&Signs<'_>) -> Option<Health>;

const FAMILIES: &[Family] = &[pod::read, kubernetes::read];

/// The worst that any family says.
pub(crate) fn health(signs: &Signs<'_>) -> Health {
    FAMILIES.iter().filter_map(|read| read(signs)).max_by_key(severity).unwrap_or(Health::Well)
}

/// Gone before doomed before at risk; of two deadlines the earlier.
fn severity(health: &Health) -> (u8, u64) {
    match health {
        Health::Well => (0, 0),
        Health::AtRisk => (1, 0),
        Health::Doomed { deadline } => (2, u64::MAX - deadline.as_millis()),
        Health::Gone => (3, 0),
    }
}

fn taints(node: Option<&Node>) -> &[Taint] {
    node.and_then(|node| node.spec.as_ref()).and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn has_taint(node: Option<&Node>, key: &str) -> bool {
    taints(node).iter().any(|taint| taint.key == key)
}

pub(crate) fn time(timestamp: Timestamp) -> Time {
    Time::from_millis(u64::try_from(timestamp.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_sign_counts_and_of_two_deadlines_the_earlier() {
        let doomed = |ms| Health::Doomed { deadline: Time::from_millis(ms) };
        let ordered = [Health::Well, Health::AtRisk, doomed(200), doomed(100), Health::Gone];
        assert!(ordered.windows(2).all(|pair| severity(&pair[0]) < severity(&pair[1])));
    }
}
