//! AWS Node Termination Handler, where it is set up to taint (`taintNode`); by default it cordons and evicts,
//! which Kubernetes' own signs tell.
//! Source: <https://github.com/aws/aws-node-termination-handler/blob/main/config/helm/aws-node-termination-handler/README.md>.

use super::{Sign, Signs, added, cloud::notice, taint, worst};

const REBALANCE: &str = "aws-node-termination-handler/rebalance-recommendation";
const GOING: [(&str, &str); 3] = [
    ("aws-node-termination-handler/spot-itn", "Node Termination Handler: spot interruption"),
    ("aws-node-termination-handler/scheduled-maintenance", "Node Termination Handler: maintenance"),
    ("aws-node-termination-handler/asg-lifecycle-termination", "Node Termination Handler: scale-in"),
];

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let going = GOING.iter().map(|(key, cause)| {
        taint(node, key).and_then(|taint| Sign::doomed(added(taint, signs.now), notice(node), cause))
    });
    let rebalance = taint(node, REBALANCE)
        .and_then(|_| Sign::at_risk("Node Termination Handler: rebalance recommendation"));
    worst(going.chain([rebalance]))
}

#[cfg(test)]
mod tests {
    use policy::Health;

    use super::*;
    use crate::node::fixtures::{doomed, health, node, tainted};

    #[test]
    fn signs_and_what_they_mean() {
        let prefix = "aws-node-termination-handler";
        let table = [
            ("spot-itn", "spot-itn-3b8f2a", doomed("2026-01-01T00:03:00Z")),
            ("scheduled-maintenance", "instance-event-0d59937288b749b32", doomed("2026-01-01T00:03:00Z")),
            ("asg-lifecycle-termination", "asg-lifecycle-term-6b39a5", doomed("2026-01-01T00:03:00Z")),
            ("rebalance-recommendation", "rebalance-recommendation-11ce", Some(Health::AtRisk)),
            ("something-new", "", None),
        ];
        for (key, value, want) in table {
            let key = format!("{prefix}/{key}");
            for effect in ["NoSchedule", "NoExecute"] {
                let node = node("aws:///us-east-1a/i-0abc123def4567890", &tainted(&key, value, effect));
                assert_eq!(health(read, Some(&node)), want, "{key}:{effect}");
            }
        }
    }
}
