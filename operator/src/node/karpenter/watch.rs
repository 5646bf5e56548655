//! Follows NodeClaims and Karpenter's Events, where Karpenter is installed and we may look.

use std::{fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::{
    NodeReport,
    awaited::{Awaited, PodReport, awaited, nominated},
    claim::NodeClaim,
    remarks::Remarks,
};

/// After a watch that broke.
const RETRY: Duration = Duration::from_secs(5);
/// After one of a kind that is not there, or that we may not see: Karpenter may be installed later.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What the watches saw; empty for as long as there is nothing to see. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reports {
    claims: Store<NodeClaim>,
    /// By the uid of a Node or a NodeClaim.
    interruptions: Remarks,
    rebalances: Remarks,
    /// By the uid of a Pod.
    nominations: Remarks,
    unschedulable: Remarks,
    /// By the name of a NodeClaim, which is gone by then.
    no_capacity: Remarks,
}

/// The writing end of [`Reports`].
pub(crate) struct Followed {
    claims: Writer<NodeClaim>,
    reports: Reports,
}

impl Default for Reports {
    /// Of a cluster without Karpenter.
    fn default() -> Self {
        Self::new().0
    }
}

impl Reports {
    pub(crate) fn new() -> (Self, Followed) {
        let (claims, writer) = reflector::store();
        let reports = Self {
            claims,
            interruptions: Remarks::default(),
            rebalances: Remarks::default(),
            nominations: Remarks::default(),
            unschedulable: Remarks::default(),
            no_capacity: Remarks::default(),
        };
        (reports.clone(), Followed { claims: writer, reports })
    }

    /// What is said of this node.
    pub(crate) fn of_node(&self, node: &Node) -> NodeReport {
        let owner = node.owner_references().iter().find(|owner| owner.kind == "NodeClaim");
        let claim = owner.and_then(|owner| self.claims.get(&ObjectRef::new(&owner.name)));
        // By uids: names of nodes are used again.
        let uids = node.metadata.uid.as_deref().into_iter().chain(owner.map(|owner| owner.uid.as_str()));
        let about =
            |remarks: &Remarks| uids.clone().flat_map(|uid| remarks.of(uid)).map(|remark| remark.first).min();
        let deleted = claim.as_ref().filter(|claim| claim.metadata.deletion_timestamp.is_some());
        NodeReport {
            deleted: deleted.map(|claim| claim.metadata.clone()),
            disruption: claim.as_ref().and_then(|claim| claim.disruption()),
            interrupted: about(&self.interruptions),
            rebalance: about(&self.rebalances).is_some(),
        }
    }

    /// What is said of the machine that the Pod of this uid waits for.
    pub(crate) fn awaited(&self, pod: &str, now: Timestamp) -> Awaited {
        let nominations = self.nominations.of(pod);
        let names: Vec<&str> = nominations.iter().filter_map(|remark| nominated(&remark.words)).collect();
        let claims = names.iter().filter_map(|name| self.claims.get(&ObjectRef::new(name)));
        let claims = claims.map(|claim| (*claim).clone()).collect();
        let refused = |name: &&str| {
            self.no_capacity
                .of(name)
                .into_iter()
                .map(|remark| ((*name).to_owned(), remark))
                .collect::<Vec<_>>()
        };
        let no_capacity = names.iter().flat_map(refused).collect();
        let unschedulable = self.unschedulable.of(pod);
        awaited(&PodReport { nominations, claims, unschedulable, no_capacity }, now)
    }

    /// The uids of the Pods that were meant for a NodeClaim.
    fn meant_for(&self, claim: &str) -> Vec<Box<str>> {
        self.nominations.subjects(|words| nominated(words) == Some(claim))
    }
}

/// Whether the uid is that of the node, or of its NodeClaim.
pub(crate) fn is(node: &Node, uid: &str) -> bool {
    node.metadata.uid.as_deref() == Some(uid) || node.owner_references().iter().any(|owner| owner.uid == uid)
}

fn uid(event: &Event) -> Option<&str> {
    event.involved_object.uid.as_deref()
}

fn name(event: &Event) -> Option<&str> {
    event.involved_object.name.as_deref()
}

impl Followed {
    /// Follows all of it for ever, and calls `changed` with the uid of what something new is said about: a
    /// Node, a NodeClaim or a Pod.
    pub(crate) async fn run(self, client: Client, changed: impl Fn(&str)) {
        let Self { mut claims, reports } = self;
        let events = |reason: &str, told: Remarks, subject: fn(&Event) -> Option<&str>| {
            // The scheduler has a reason of the same name.
            let ours = watcher::Config::default().fields(&format!("reason={reason},source=karpenter"));
            let (api, changed, reports) = (Api::<Event>::all(client.clone()), &changed, &reports);
            let mut listed = Vec::new();
            follow(api, ours, move |event| {
                for event in keep(&told, &mut listed, subject, event) {
                    uid(&event).into_iter().for_each(changed);
                    // Of a NodeClaim that is gone: the Pods that were to get it.
                    let waiting = name(&event).map(|name| reports.meant_for(name)).unwrap_or_default();
                    waiting.iter().for_each(|pod| changed(pod));
                }
            })
        };
        let claims =
            follow(Api::<NodeClaim>::all(client.clone()), watcher::Config::default(), |mut event| {
                if let watcher::Event::Apply(claim) | watcher::Event::InitApply(claim) = &mut event {
                    (claim.metadata.managed_fields, claim.metadata.labels) = (None, None);
                }
                claims.apply_watcher_event(&event);
                if let watcher::Event::Apply(claim) | watcher::Event::InitApply(claim) = &event {
                    claim.metadata.uid.as_deref().into_iter().for_each(&changed);
                    reports.meant_for(&claim.name_any()).iter().for_each(|pod| changed(pod));
                }
            });
        tokio::join!(
            claims,
            events("SpotInterrupted", reports.interruptions.clone(), uid),
            events("SpotRebalanceRecommendation", reports.rebalances.clone(), uid),
            events("Nominated", reports.nominations.clone(), uid),
            events("FailedScheduling", reports.unschedulable.clone(), uid),
            events("InsufficientCapacityError", reports.no_capacity.clone(), name),
        );
    }
}

/// Keeps what an Event says; the Events that say something new.
fn keep(
    told: &Remarks,
    listed: &mut Vec<Event>,
    subject: fn(&Event) -> Option<&str>,
    event: watcher::Event<Event>,
) -> Vec<Event> {
    match event {
        watcher::Event::Apply(event) => {
            let Some(about) = subject(&event) else { return Vec::new() };
            told.add(about, &event);
            return vec![event];
        }
        watcher::Event::Delete(event) => {
            if let Some(about) = subject(&event) {
                told.remove(about, &event);
            }
        }
        watcher::Event::Init => listed.clear(),
        watcher::Event::InitApply(event) => listed.push(event),
        watcher::Event::InitDone => {
            let listed = std::mem::take(listed);
            told.replace(listed.iter().filter_map(|event| Some((subject(event)?, event))));
            return listed;
        }
    }
    Vec::new()
}

/// Follows what may not be there to follow.
async fn follow<K>(api: Api<K>, config: watcher::Config, mut keep: impl FnMut(watcher::Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()));
        let mut broken = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => keep(event),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        let absent = broken.as_ref().is_some_and(is_absent);
        let why = match broken {
            Some(_) if absent => "not installed, or not for us to see".to_owned(),
            Some(error) => error.to_string(),
            None => "the watch ended".to_owned(),
        };
        if last.as_ref() != Some(&why) {
            tracing::info!(kind = %K::kind(&()), why, "not followed for now");
            last = Some(why);
        }
        sleep(if absent { LOOK_AGAIN } else { RETRY }).await;
    }
}

/// Whether the kind is not installed, or not for us to see.
fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            // By the code: what answers for a group that is not there gives no reason.
            [404, 403].contains(&status.code)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use policy::Machine;
    use serde_json::{Value, json};

    use super::*;
    use crate::node::fixtures::{NOW, at, node};

    const NODE: &str = "2d6a1c9e-5b0f-4a0e-9c1d-3f4e5a6b7c8d";
    const CLAIM: &str = "8f14e45f-ceea-467f-a0e6-3d6e1c1d2b3a";
    const POD: &str = "c1d2e3f4-0000-4000-8000-000000000001";

    /// As Karpenter's recorder writes it.
    fn event(reason: &str, (kind, name, uid): (&str, &str, &str), created: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{name}.{created}"), "namespace": "default", "creationTimestamp": created,
                         "uid": format!("{uid}.{created}")},
            "involvedObject": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid},
            "reason": reason, "type": "Warning", "message": message,
            "source": {"component": "karpenter"}, "reportingComponent": "karpenter", "reportingInstance": "",
            "firstTimestamp": created, "lastTimestamp": created, "count": 1, "eventTime": null}))
        .unwrap()
    }

    fn interrupted(kind: &str, uid: &str, created: &str) -> Event {
        event("SpotInterrupted", (kind, "gpu-1", uid), created, "Spot interruption warning was triggered")
    }

    fn claim(change: &Value) -> watcher::Event<NodeClaim> {
        let mut claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {"name": "gpu-spot-7xk2p", "uid": CLAIM}, "spec": {}});
        json_patch::merge(&mut claim, change);
        watcher::Event::Apply(serde_json::from_value(claim).unwrap())
    }

    fn condition(kind: &str, reason: &str) -> Value {
        json!({"status": {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": "",
                                          "lastTransitionTime": "2026-01-01T00:00:31Z"}]}})
    }

    fn owned() -> Value {
        json!({"metadata": {"ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "name": "gpu-spot-7xk2p", "uid": CLAIM, "blockOwnerDeletion": true}]}})
    }

    fn hear(told: &Remarks, subject: fn(&Event) -> Option<&str>, event: Event) {
        keep(told, &mut Vec::new(), subject, watcher::Event::Apply(event));
    }

    #[test]
    fn what_is_said_of_a_node_is_found_by_uid() {
        let (reports, mut followed) = Reports::new();
        let node = node("aws:///us-east-1a/i-0abc", &owned());
        assert_eq!(reports.of_node(&node), NodeReport::default());

        // Of a machine that had this name before.
        let other = interrupted("Node", "f3b1a9d0-0000-4000-8000-000000000000", "2026-01-01T00:00:10Z");
        hear(&reports.interruptions, uid, other);
        assert_eq!(reports.of_node(&node), NodeReport::default());

        for (kind, about, created) in
            [("Node", NODE, "2026-01-01T00:00:31Z"), ("NodeClaim", CLAIM, "2026-01-01T00:00:30Z")]
        {
            hear(&reports.interruptions, uid, interrupted(kind, about, created));
        }
        followed.claims.apply_watcher_event(&claim(&json!({})));
        let interrupted = Some(at("2026-01-01T00:00:30Z"));
        let first = NodeReport { interrupted, ..NodeReport::default() };
        assert_eq!(reports.of_node(&node), first, "the first time it was told");

        let going = claim(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:32Z"}}));
        followed.claims.apply_watcher_event(&going);
        let report = reports.of_node(&node);
        assert!(report.deleted.is_some() && report.disruption.is_none());
    }

    #[test]
    fn a_node_that_is_to_be_replaced_says_why_and_takes_it_back() {
        let (reports, mut followed) = Reports::new();
        let node = node("aws:///us-east-1a/i-0abc", &owned());
        for (reason, words) in
            [("Drifted", "drifted"), ("Empty", "empty"), ("Underutilized", "underutilized")]
        {
            followed.claims.apply_watcher_event(&claim(&condition("DisruptionReason", reason)));
            assert!(reports.of_node(&node).disruption.unwrap().contains(words));
        }
        followed.claims.apply_watcher_event(&claim(&json!({})));
        assert_eq!(reports.of_node(&node), NodeReport::default());
    }

    #[test]
    fn what_is_said_of_a_pods_machine_is_found_by_the_claim_it_is_meant_for() {
        let (reports, mut followed) = Reports::new();
        let now = at(NOW);
        assert_eq!(reports.awaited(POD, now), Awaited::default());
        let meant = "Pod should schedule on: nodeclaim/gpu-spot-7xk2p";
        let pod = ("Pod", "sd15-spot-0123456789", POD);
        hear(&reports.nominations, uid, event("Nominated", pod, "2026-01-01T00:00:30Z", meant));
        assert_eq!(reports.meant_for("gpu-spot-7xk2p"), [Box::<str>::from(POD)]);
        followed.claims.apply_watcher_event(&claim(&condition("Launched", "Launched")));
        let at_31 = crate::node::time(at("2026-01-01T00:00:31Z"));
        assert_eq!(reports.awaited(POD, now).machine, Machine::Launched { at: at_31 });
        assert_eq!(reports.awaited("another", now), Awaited::default());

        followed.claims.apply_watcher_event(&watcher::Event::Delete(match claim(&json!({})) {
            watcher::Event::Apply(claim) => claim,
            other => panic!("{other:?}"),
        }));
        let words = "NodeClaim gpu-spot-7xk2p event: insufficient capacity";
        let about = ("NodeClaim", "gpu-spot-7xk2p", CLAIM);
        let refused = event("InsufficientCapacityError", about, "2026-01-01T00:00:32Z", words);
        hear(&reports.no_capacity, name, refused);
        assert_eq!(reports.awaited(POD, now).machine, Machine::Refused);
    }

    #[test]
    fn an_event_that_a_new_list_does_not_show_is_forgotten() {
        let (told, mut listed) = (Remarks::default(), Vec::new());
        let said = |told: &Remarks| told.of(NODE).len();
        let event = || interrupted("Node", NODE, "2026-01-01T00:00:31Z");
        hear(&told, uid, event());
        assert_eq!(said(&told), 1);
        for step in [watcher::Event::Init, watcher::Event::InitApply(event()), watcher::Event::InitDone] {
            keep(&told, &mut listed, uid, step);
        }
        assert_eq!(said(&told), 1);
        for step in [watcher::Event::Init, watcher::Event::InitDone] {
            keep(&told, &mut listed, uid, step);
        }
        assert_eq!(said(&told), 0);
        hear(&told, uid, event());
        keep(&told, &mut listed, uid, watcher::Event::Delete(event()));
        assert_eq!(said(&told), 0);
    }
}
