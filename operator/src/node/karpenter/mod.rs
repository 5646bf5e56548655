//! Karpenter: a spot interruption, and its own decisions to take a node away.
//!
//! On an interruption it writes an Event and deletes the NodeClaim; that deletes the Node, which it then taints and
//! drains. Of a Pod with `karpenter.sh/do-not-disrupt` it only waits for the end. What it wants to replace or remove by
//! itself it taints first, with a reason in the NodeClaim; it deletes it when the replacement is there, or takes both
//! back.
//! Sources: <https://karpenter.sh/docs/concepts/disruption/>, `pkg/controllers/interruption` in
//! <https://github.com/aws/karpenter-provider-aws>, `pkg/controllers/node/termination`,
//! `pkg/controllers/nodeclaim/lifecycle` and `pkg/controllers/disruption/queue.go` in
//! <https://github.com/kubernetes-sigs/karpenter>.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use policy::Health;

use super::{Sign, Signs, cloud::notice, taint, time, worst};

mod awaited;
mod claim;
mod remarks;
mod watch;
pub(crate) use awaited::Awaited;
pub(crate) use watch::{Followed, Reports, is};

/// The second is that of Karpenter before 1.0.
const DISRUPTED: [&str; 2] = ["karpenter.sh/disrupted", "karpenter.sh/disruption"];
/// By when a NodeClaim that is deleted shall be gone, RFC 3339.
const TERMINATION_TIME: &str = "karpenter.sh/nodeclaim-termination-timestamp";
const FINALIZER: &str = "karpenter.sh/termination";

/// What Karpenter says of a node elsewhere than on the Node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeReport {
    /// The node's NodeClaim, if it is being deleted.
    deleted: Option<ObjectMeta>,
    /// Why it means to take the machine away by itself.
    disruption: Option<&'static str>,
    /// When it told of the cloud's notice.
    interrupted: Option<Timestamp>,
    /// It told of the cloud's advice to rebalance; forgotten with the Event, after an hour.
    rebalance: bool,
}

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let NodeReport { deleted: claim, disruption, interrupted, rebalance } = &signs.karpenter;
    let own = disruption.is_some() && interrupted.is_none();
    let interrupted =
        interrupted.and_then(|at| Sign::doomed(at, notice(node), "Karpenter: spot interruption"));
    let claim = claim.as_ref().and_then(|claim| deleted(claim, node, own));
    let node_deleted = drains(node).then(|| deleted(&node.metadata, node, own)).flatten();
    let is_tainted = DISRUPTED.iter().any(|key| taint(node, key).is_some());
    let tainted =
        is_tainted.then(|| Sign::at_risk("Karpenter: the node is to be replaced or removed")).flatten();
    let disruption = disruption.and_then(Sign::at_risk);
    let rebalance = rebalance.then(|| Sign::at_risk("Karpenter: spot rebalance recommendation")).flatten();
    worst([interrupted, claim, node_deleted, rebalance, tainted, disruption])
}

/// Whether Karpenter has something to do before the Node goes.
pub(super) fn drains(node: &Node) -> bool {
    node.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// By when a machine is gone whose NodeClaim or Node is deleted. `own`: Karpenter takes it away by itself, so its own
/// deadline counts. Else the reason is not known, and a spot machine may be behind it: Karpenter's deadline may be
/// sooner than the cloud's, but if it is later it does not bind the cloud.
fn deleted(meta: &ObjectMeta, node: &Node, own: bool) -> Option<Sign> {
    let deleted = meta.deletion_timestamp.as_ref()?.0;
    let cloud = Sign::doomed(deleted, notice(node), "Karpenter: the node is being deleted");
    let deadline = meta.annotations.as_ref().and_then(|annotations| annotations.get(TERMINATION_TIME));
    let deadline = deadline.and_then(|at| at.parse().ok()).map(|at| Sign {
        health: Health::Doomed { deadline: time(at) },
        cause: "Karpenter: the node is being deleted",
    });
    if own && deadline.is_some() { deadline } else { worst([cloud, deadline]) }
}

#[cfg(test)]
mod tests;
