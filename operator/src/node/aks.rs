//! AKS: what its node problem detector reads in Azure's scheduled events, and node auto-drain's taint.
//! Sources: <https://learn.microsoft.com/azure/aks/node-auto-drain>,
//! <https://learn.microsoft.com/azure/aks/node-problem-detector>; the condition's message as written by
//! `check_scheduledevent.sh` in <https://github.com/Azure/AgentBaker> and read by
//! <https://github.com/Azure/karpenter-provider-azure>.

use jiff::{Timestamp, fmt::rfc2822};
use k8s_openapi::api::core::v1::NodeCondition;

use super::{Sign, Signs, added, cloud::notice, condition, since, taint, time, worst};

const DRAINED: &str = "remediator.kubernetes.azure.com/unschedulable";
/// Any scheduled event; and the one that only a preemption raises, which newer nodes have, too.
const EVENTS: [&str; 2] = ["VMEventScheduled", "PreemptionScheduled"];

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let node = signs.node?;
    let drained = taint(node, DRAINED)
        .and_then(|taint| Sign::doomed(added(taint, signs.now), notice(node), "AKS: node auto-drain"));
    let events = EVENTS.iter().map(|type_| {
        let event = condition(node, type_, "True").filter(|event| !is_freeze(event))?;
        let cause = "AKS: scheduled event of the machine";
        match not_before(event) {
            Some(at) => Some(Sign { health: policy::Health::Doomed { deadline: time(at) }, cause }),
            None => Sign::doomed(since(event, signs.now), notice(node), cause),
        }
    });
    worst(events.chain([drained]))
}

/// A pause of some seconds after which all goes on.
fn is_freeze(event: &NodeCondition) -> bool {
    event.message.as_deref().is_some_and(|message| message.starts_with("Freeze"))
}

/// When it begins: `Preempt Scheduled: Mon, 02 Mar 2026 19:01:45 GMT. For more information, …`.
fn not_before(event: &NodeCondition) -> Option<Timestamp> {
    let (_, rest) = event.message.as_deref()?.split_once("Scheduled: ")?;
    let date = rest.split_once(" GMT")?.0;
    rfc2822::DateTimeParser::new().parse_timestamp(format!("{date} +0000")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixtures::{conditioned, doomed, health, node, tainted};

    fn event(status: &str, message: &str) -> serde_json::Value {
        conditioned("VMEventScheduled", status, "VMEventScheduled", message)
    }

    #[test]
    fn signs_and_what_they_mean() {
        let preempt = "Preempt Scheduled: Thu, 01 Jan 2026 00:01:28 GMT. For more information, see \
                       https://aka.ms/aks/scheduledevents. EventId: 40B7BD88-C56E-44E4-93F6-75CEDACE2869";
        let table = [
            (event("True", preempt), doomed("2026-01-01T00:01:28Z")),
            (
                conditioned("PreemptionScheduled", "True", "SpotEvictionIncoming", preempt),
                doomed("2026-01-01T00:01:28Z"),
            ),
            (
                event("True", "Redeploy Scheduled: Thu, 1 Jan 2026 00:11:00 GMT. DurationInSeconds: -1."),
                doomed("2026-01-01T00:11:00Z"),
            ),
            (event("True", "Terminate Started. DurationInSeconds: -1."), doomed("2026-01-01T00:01:20Z")),
            (event("True", "Preempt Scheduled: soon"), doomed("2026-01-01T00:01:20Z")),
            (event("True", "Preempt Scheduled: Thu, 01 Foo 2026 GMT"), doomed("2026-01-01T00:01:20Z")),
            (event("True", ""), doomed("2026-01-01T00:01:20Z")),
            (event("True", "Freeze Scheduled: Thu, 01 Jan 2026 00:16:00 GMT. DurationInSeconds: 9."), None),
            (event("False", "VM has no scheduled event"), None),
            (event("Unknown", "IMDS query failed"), None),
            (tainted(DRAINED, "", "NoSchedule"), doomed("2026-01-01T00:01:30Z")),
            (tainted("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"), None),
        ];
        let id = "azure:///subscriptions/0/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/s/1";
        for (change, want) in table {
            assert_eq!(health(read, Some(&node(id, &change))), want, "{change}");
        }
    }
}
