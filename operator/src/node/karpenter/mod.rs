//! Karpenter: a spot interruption, and its own decisions to take a node away.
//!
//! On an interruption it writes an Event and deletes the NodeClaim; that deletes the Node, which it then taints and
//! drains. Of a Pod with `karpenter.sh/do-not-disrupt` it only waits for the end.
//! Sources: <https://karpenter.sh/docs/concepts/disruption/>, `pkg/controllers/interruption` in
//! <https://github.com/aws/karpenter-provider-aws>, `pkg/controllers/node/termination` and
//! `pkg/controllers/nodeclaim/lifecycle` in <https://github.com/kubernetes-sigs/karpenter>.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use policy::Health;

use super::{Sign, Signs, added, cloud::notice, taint, time, worst};

mod watch;
pub(crate) use watch::{Followed, Reports, is};

/// The second is that of Karpenter before 1.0.
const DISRUPTED: [&str; 2] = ["karpenter.sh/disrupted", "karpenter.sh/disruption"];
/// By when a NodeClaim that is deleted shall be gone, RFC 3339.
const TERMINATION_TIME: &str = "karpenter.sh/nodeclaim-termination-timestamp";
const FINALIZER: &str = "karpenter.sh/termination";

/// What Karpenter says of a node elsewhere than on the Node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said {
    /// The node's NodeClaim, if it is being deleted.
    claim: Option<ObjectMeta>,
    /// When it told of the cloud's notice.
    interrupted: Option<Timestamp>,
    /// It told of the cloud's advice to rebalance; forgotten with the Event, after an hour.
    rebalance: bool,
}

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let Said { claim, interrupted, rebalance } = &signs.karpenter;
    let interrupted =
        interrupted.and_then(|at| Sign::doomed(at, notice(node), "Karpenter: spot interruption"));
    let claim = claim.as_ref().and_then(|claim| deleted(claim, node));
    let node_deleted = drains(node).then(|| deleted(&node.metadata, node)).flatten();
    let disrupted = DISRUPTED.iter().map(|key| {
        let taint = taint(node, key)?;
        Sign::doomed(added(taint, signs.now), notice(node), "Karpenter: the node is disrupted")
    });
    let rebalance = rebalance.then(|| Sign::at_risk("Karpenter: spot rebalance recommendation")).flatten();
    worst(disrupted.chain([interrupted, claim, node_deleted, rebalance]))
}

/// Whether Karpenter has something to do before the Node goes.
pub(super) fn drains(node: &Node) -> bool {
    node.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Of a deletion the reason is not known, so a spot machine may be behind it; Karpenter's own deadline may be
/// sooner, but if it is later it does not bind the cloud.
fn deleted(meta: &ObjectMeta, node: &Node) -> Option<Sign> {
    let deleted = meta.deletion_timestamp.as_ref()?.0;
    let cloud = Sign::doomed(deleted, notice(node), "Karpenter: the node is being deleted");
    let own = meta.annotations.as_ref().and_then(|annotations| annotations.get(TERMINATION_TIME));
    let own = own.and_then(|at| at.parse().ok()).map(|at| Sign {
        health: Health::Doomed { deadline: time(at) },
        cause: "Karpenter: the node is being deleted",
    });
    worst([cloud, own])
}

#[cfg(test)]
mod tests;
