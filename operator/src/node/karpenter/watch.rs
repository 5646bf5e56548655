//! Follows NodeClaims and Karpenter's Events, where Karpenter is installed and we may look.

use std::{fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::{Event, Node},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, CustomResource, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, watcher},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::sleep;

use super::Said;

/// After a watch that broke.
const RETRY: Duration = Duration::from_secs(5);
/// After one of a kind that is not there, or that we may not see: Karpenter may be installed later.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Only its metadata is ever read.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize)]
#[kube(group = "karpenter.sh", version = "v1", kind = "NodeClaim", schema = "disabled")]
struct NodeClaimSpec {}

type Claim = PartialObjectMeta<NodeClaim>;

/// What the watches saw; empty for as long as there is nothing to see.
#[derive(Clone)]
pub(crate) struct Reports {
    claims: Store<Claim>,
    interruptions: Store<Event>,
    rebalances: Store<Event>,
}

/// The writing ends of [`Reports`].
pub(crate) struct Followed {
    claims: Writer<Claim>,
    interruptions: Writer<Event>,
    rebalances: Writer<Event>,
}

impl Default for Reports {
    /// Of a cluster without Karpenter.
    fn default() -> Self {
        Self::new().0
    }
}

impl Reports {
    pub(crate) fn new() -> (Self, Followed) {
        let (claims, claims_writer) = reflector::store();
        let (interruptions, interruptions_writer) = reflector::store();
        let (rebalances, rebalances_writer) = reflector::store();
        (
            Self { claims, interruptions, rebalances },
            Followed {
                claims: claims_writer,
                interruptions: interruptions_writer,
                rebalances: rebalances_writer,
            },
        )
    }

    /// What is said of this node.
    pub(crate) fn said(&self, node: &Node) -> Said {
        let claim = node.owner_references().iter().find(|owner| owner.kind == "NodeClaim");
        let claim = claim.and_then(|owner| self.claims.get(&ObjectRef::new(&owner.name)));
        let deleted = claim.filter(|claim| claim.metadata.deletion_timestamp.is_some());
        Said {
            claim: deleted.map(|claim| claim.metadata.clone()),
            interrupted: told(&self.interruptions, node).min(),
            rebalance: told(&self.rebalances, node).next().is_some(),
        }
    }
}

/// When Events about a node were written. By its uid: names of nodes are used again.
fn told(events: &Store<Event>, node: &Node) -> impl Iterator<Item = jiff::Timestamp> {
    let about = events.state().into_iter().filter(|event| subject(event).is_some_and(|uid| is(node, uid)));
    about.filter_map(|event| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn subject(event: &Event) -> Option<&str> {
    event.involved_object.uid.as_deref()
}

/// Whether the uid is that of the node, or of its NodeClaim.
pub(crate) fn is(node: &Node, uid: &str) -> bool {
    node.metadata.uid.as_deref() == Some(uid) || node.owner_references().iter().any(|owner| owner.uid == uid)
}

impl Followed {
    /// Follows all of it for ever, and calls `changed` with the uid of what something new is said about: a
    /// Node or a NodeClaim.
    pub(crate) async fn run(self, client: Client, changed: impl Fn(&str)) {
        let Self { claims, interruptions, rebalances } = self;
        let events = || Api::<Event>::all(client.clone());
        let of_reason = |reason| watcher::Config::default().fields(&format!("reason={reason}"));
        let told = |event: &Event| subject(event).into_iter().for_each(&changed);
        tokio::join!(
            follow(
                Api::<Claim>::all(client.clone()),
                watcher::Config::default(),
                claims,
                trim_claim,
                |claim| {
                    claim.metadata.uid.as_deref().into_iter().for_each(&changed);
                }
            ),
            follow(events(), of_reason("SpotInterrupted"), interruptions, trim_event, told),
            follow(events(), of_reason("SpotRebalanceRecommendation"), rebalances, trim_event, told),
        );
    }
}

/// Follows what may not be there to follow.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    trim: fn(&mut K),
    changed: impl Fn(&K),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()));
        let mut broken = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => keep(event, &mut writer, trim, &changed),
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

fn keep<K>(mut event: watcher::Event<K>, writer: &mut Writer<K>, trim: fn(&mut K), changed: impl Fn(&K))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &mut event {
        trim(object);
    }
    writer.apply_watcher_event(&event);
    if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &event {
        changed(object);
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

fn trim_claim(claim: &mut Claim) {
    let ObjectMeta { managed_fields, labels, .. } = &mut claim.metadata;
    (*managed_fields, *labels) = (None, None);
}

fn trim_event(event: &mut Event) {
    event.metadata.managed_fields = None;
    event.message = None;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::node::fixtures::{at, node};

    const NODE: &str = "2d6a1c9e-5b0f-4a0e-9c1d-3f4e5a6b7c8d";
    const CLAIM: &str = "8f14e45f-ceea-467f-a0e6-3d6e1c1d2b3a";

    /// As Karpenter's recorder writes it.
    fn event(kind: &str, uid: &str, created: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": format!("gpu-1.{created}"), "namespace": "default", "creationTimestamp": created},
            "involvedObject": {"apiVersion": "v1", "kind": kind, "name": "gpu-1", "uid": uid},
            "reason": "SpotInterrupted", "type": "Warning",
            "message": "Spot interruption warning was triggered",
            "source": {"component": "karpenter"}, "reportingComponent": "karpenter", "reportingInstance": "",
            "firstTimestamp": created, "lastTimestamp": created, "count": 1, "eventTime": null}))
        .unwrap()
    }

    fn claim(uid: &str, deleted: Option<&str>) -> Claim {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "gpu-spot-7xk2p", "uid": uid, "deletionTimestamp": deleted}}))
        .unwrap()
    }

    fn owned() -> Value {
        json!({"metadata": {"ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "name": "gpu-spot-7xk2p", "uid": CLAIM, "blockOwnerDeletion": true}]}})
    }

    #[test]
    fn what_is_said_of_a_node_is_found_by_uid() {
        let (reports, mut followed) = Reports::new();
        let node = node("aws:///us-east-1a/i-0abc", &owned());
        assert_eq!(reports.said(&node), Said::default());

        // Of a machine that had this name before.
        let other = event("Node", "f3b1a9d0-0000-4000-8000-000000000000", "2026-01-01T00:00:10Z");
        followed.interruptions.apply_watcher_event(&watcher::Event::Apply(other));
        assert_eq!(reports.said(&node), Said::default());

        for (kind, uid, created) in
            [("Node", NODE, "2026-01-01T00:00:31Z"), ("NodeClaim", CLAIM, "2026-01-01T00:00:30Z")]
        {
            followed.interruptions.apply_watcher_event(&watcher::Event::Apply(event(kind, uid, created)));
        }
        followed.claims.apply_watcher_event(&watcher::Event::Apply(claim(CLAIM, None)));
        let interrupted = Some(at("2026-01-01T00:00:30Z"));
        assert_eq!(
            reports.said(&node),
            Said { interrupted, ..Said::default() },
            "the first time it was told"
        );

        let deleted = claim(CLAIM, Some("2026-01-01T00:00:32Z"));
        followed.claims.apply_watcher_event(&watcher::Event::Apply(deleted.clone()));
        assert_eq!(
            reports.said(&node),
            Said { interrupted, claim: Some(deleted.metadata), ..Said::default() }
        );
    }
}
