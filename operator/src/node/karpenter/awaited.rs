//! What Karpenter says of the machine that a Pod waits for: bought and on its way, or not to be had.
//!
//! It says in an Event which NodeClaim a Pod is meant for, and in the NodeClaim how far that is. A NodeClaim for which
//! there is no capacity it deletes, tells so in an Event, and tries another a few seconds later.
//! Sources: `pkg/controllers/provisioning/scheduling/events.go` and `pkg/controllers/nodeclaim/lifecycle` in
//! <https://github.com/kubernetes-sigs/karpenter>.

use std::time::Duration;

use jiff::Timestamp;
use policy::Machine;

use super::{claim::NodeClaim, remarks::Remark};
use crate::node::time;

/// A refusal holds for so long, though Karpenter has thought of another machine since: that is refused in its turn, or
/// bought.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// What is known of the machine that a Pod waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) machine: Machine,
    /// In Karpenter's words, with those of the machine that does not come.
    pub(crate) words: Option<String>,
}

impl Default for Awaited {
    /// Nothing is known.
    fn default() -> Self {
        Self { machine: Machine::Unknown, words: None }
    }
}

/// The name of the NodeClaim that a Pod was meant for, by the Event that says so.
pub(super) fn nominated(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("nodeclaim/")?;
    rest.split([',', ' ']).next().filter(|name| !name.is_empty())
}

/// What is said of a Pod and of the NodeClaims it was meant for.
#[derive(Default)]
pub(super) struct PodReport {
    /// That it was meant for a NodeClaim.
    pub(super) nominations: Vec<Remark>,
    /// Those of these that are there.
    pub(super) claims: Vec<NodeClaim>,
    /// That no machine would do for it.
    pub(super) unschedulable: Vec<Remark>,
    /// That the cloud has none, by the NodeClaim's name.
    pub(super) no_capacity: Vec<(String, Remark)>,
}

/// Puts together what a report says.
pub(super) fn awaited(report: &PodReport, now: Timestamp) -> Awaited {
    let PodReport { nominations, claims, unschedulable, no_capacity } = report;
    let bought = claims.iter().filter_map(|claim| Some((claim.bought()?, claim)));
    if let Some((at, claim)) = bought.max_by_key(|(at, _)| *at) {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let words = format!(
            "Karpenter: the machine of NodeClaim {name} was bought {} and has not joined the cluster (kubectl describe \
             nodeclaim {name})",
            time(at)
        );
        return Awaited { machine: Machine::Launched { at: time(at) }, words: Some(words) };
    }
    let refusals = unschedulable.iter().map(|remark| (remark.last, words_of(remark)));
    let refusals =
        refusals.chain(no_capacity.iter().map(|(claim, remark)| (remark.last, short(claim, remark))));
    let Some((refused, words)) = refusals.max_by_key(|(at, _)| *at) else { return Awaited::default() };
    let hoped = nominations.iter().map(|remark| remark.last).max();
    if hoped.is_none_or(|hoped| refused >= hoped) || time(now).since(time(refused)) < REFUSED_FOR {
        return Awaited { machine: Machine::Refused, words: Some(words) };
    }
    Awaited::default()
}

fn words_of(remark: &Remark) -> String {
    let words = remark.words.strip_prefix("Failed to schedule pod, ").unwrap_or(&remark.words);
    format!("Karpenter: {words}")
}

/// With the name of the NodePool: that of the NodeClaim, which begins with it, is another each time.
fn short(claim: &str, remark: &Remark) -> String {
    let pool = claim.rsplit_once('-').map_or(claim, |(pool, _)| pool);
    let words = remark.words.split_once(" event: ").map_or(&*remark.words, |(_, words)| words);
    format!("Karpenter, NodePool {pool}: {words}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::fixtures::{NOW, at};

    fn remark(time: &str, words: &str) -> Remark {
        Remark { first: at(time), last: at(time), words: words.into() }
    }

    fn meant_for(claim: &str, time: &str) -> Remark {
        remark(time, &format!("Pod should schedule on: nodeclaim/{claim}"))
    }

    /// A NodeClaim of `karpenter.sh/v1` with these conditions, each since 00:00:10.
    fn claim(name: &str, conditions: &[(&str, &str)]) -> NodeClaim {
        let conditions = conditions.iter().map(|(kind, status)| {
            json!({"type": kind, "status": status, "reason": kind, "message": "", "observedGeneration": 1,
                   "lastTransitionTime": "2026-01-01T00:00:10Z"})
        });
        let status =
            json!({"conditions": conditions.collect::<Vec<_>>(), "nodeName": "", "imageID": "ami-1"});
        serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": name},
            "spec": {"expireAfter": "720h", "nodeClassRef": {"group": "karpenter.k8s.aws"}}, "status": status,
        }))
        .unwrap()
    }

    fn launched(name: &str) -> NodeClaim {
        claim(name, &[("Launched", "True"), ("Registered", "Unknown")])
    }

    const EARLY: &str = "2026-01-01T00:00:05Z";
    const LATE: &str = "2026-01-01T00:00:40Z";

    #[test]
    fn the_claim_that_a_pod_is_meant_for_is_named_by_the_event() {
        assert_eq!(nominated("Pod should schedule on: nodeclaim/gpu-spot-7xk2p"), Some("gpu-spot-7xk2p"));
        assert_eq!(
            nominated("Pod should schedule on: nodeclaim/gpu-spot-7xk2p, node/n1"),
            Some("gpu-spot-7xk2p")
        );
        assert_eq!(nominated("Pod should schedule on: node/n1"), None);
    }

    #[test]
    fn a_machine_that_was_bought_is_on_its_way_until_it_has_joined() {
        let of = |claim: NodeClaim| {
            let report = PodReport {
                nominations: vec![meant_for("gpu-7xk2p", EARLY)],
                claims: vec![claim],
                ..PodReport::default()
            };
            awaited(&report, at(NOW))
        };
        let on_its_way = of(launched("gpu-7xk2p"));
        assert_eq!(on_its_way.machine, Machine::Launched { at: time(at("2026-01-01T00:00:10Z")) });
        let words = on_its_way.words.unwrap();
        assert!(
            words.contains("bought 2026-01-01T00:00:10Z")
                && words.contains("kubectl describe nodeclaim gpu-7xk2p")
        );
        assert_eq!(of(claim("gpu-7xk2p", &[("Launched", "Unknown")])), Awaited::default(), "not bought yet");
        let joined = claim("gpu-7xk2p", &[("Launched", "True"), ("Registered", "True")]);
        assert_eq!(of(joined), Awaited::default(), "the scheduler has the word");
    }

    #[test]
    fn a_refusal_is_heard_at_once_and_holds_until_a_machine_was_bought() {
        let no_capacity = |time: &str| {
            let words = "NodeClaim gpu-spot-7xk2p event: creating instance, insufficient capacity";
            ("gpu-spot-7xk2p".to_owned(), remark(time, words))
        };
        let mut report = PodReport {
            nominations: vec![meant_for("gpu-spot-7xk2p", EARLY)],
            no_capacity: vec![no_capacity(EARLY)],
            ..PodReport::default()
        };
        let refused = awaited(&report, at(NOW));
        assert_eq!(refused.machine, Machine::Refused);
        let words = "Karpenter, NodePool gpu-spot: creating instance, insufficient capacity";
        assert_eq!(refused.words.as_deref(), Some(words), "the same for each NodeClaim");
        report.nominations.push(meant_for("gpu-spot-9abcd", LATE));
        assert_eq!(
            awaited(&report, at(NOW)).machine,
            Machine::Refused,
            "the next one is likely refused, too"
        );
        assert_eq!(awaited(&report, at("2026-01-01T00:05:00Z")).machine, Machine::Unknown);
        report.claims.push(launched("gpu-spot-9abcd"));
        assert!(matches!(awaited(&report, at(NOW)).machine, Machine::Launched { .. }));
    }

    #[test]
    fn a_pod_for_which_no_machine_would_do_is_refused_for_as_long_as_nothing_else_is_said() {
        let words =
            "Failed to schedule pod, all available instance types exceed limits for nodepool: \"gpu-spot\"";
        let mut report = PodReport { unschedulable: vec![remark(EARLY, words)], ..PodReport::default() };
        let much_later = at("2026-01-01T00:30:00Z");
        let refused = awaited(&report, much_later);
        assert_eq!(refused.machine, Machine::Refused);
        let words = "Karpenter: all available instance types exceed limits for nodepool: \"gpu-spot\"";
        assert_eq!(refused.words.as_deref(), Some(words));
        report.nominations.push(meant_for("gpu-spot-9abcd", LATE));
        assert_eq!(awaited(&report, much_later), Awaited::default());
        assert_eq!(awaited(&PodReport::default(), much_later), Awaited::default());
    }
}
