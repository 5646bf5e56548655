//! Machines whose end is announced: who hears of it, and what is done in the time that is left.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{Caught, Studio, World, text_to_image};
use k8s_openapi::{
    api::core::v1::{Event, Node, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::SOON;

const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";

pub(crate) async fn an_interruption_is_heard_from_the_machine_and_from_karpenter(
    world: &World,
) -> Result<()> {
    const NOTICE: Duration = Duration::from_secs(12);
    let grace = json!({ "spec": { "terminationGracePeriodSeconds": NOTICE.as_secs() } });
    let studio = Studio::open(world, "interrupted", |spec| spec["podTemplate"] = grace).await?;
    // More work than fits into the notice.
    studio.submit("dunes", text_to_image("dunes", 1000, 1)).await?;
    let caught = studio.caught(SOON).await?;
    ensure!(caught.pod.annotations()[DO_NOT_DISRUPT] == "true", "nobody may disturb a worker at work");

    world.interrupt_machine(&caught.machine, NOTICE)?;

    // Both tell of it; the machine's word comes first to the worker.
    let log = ["logs", "-n", &studio.namespace, "-c", "gpu-worker", &caught.lease.worker.0];
    wait_for("the worker to hear it from its machine", NOTICE, async || {
        let log = world.cluster.kubectl(log).ok()?;
        log.contains("the metadata service says that the machine is taken away").then_some(())
    })
    .await?;
    doomed(&studio, &caught, "the node stops at 2", NOTICE).await?;
    // Karpenter evicts it only once it is no longer protected.
    wait_for("the worker's Pod to be evicted", NOTICE, async || {
        let pod = studio.api::<Pod>().get_opt(&caught.lease.worker.0).await.ok()?;
        pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(())
    })
    .await?;
    studio.delete("dunes").await
}

pub(crate) async fn a_deleted_node_claim_is_heard_of_though_karpenter_came_after_us(
    world: &World,
) -> Result<()> {
    let studio = Studio::open(world, "karpenter", |_| ()).await?;
    studio.submit("glacier", text_to_image("a glacier", 1000, 20)).await?;
    let caught = studio.caught(SOON).await?;
    let karpenter = Karpenter::install(world).await?;
    karpenter.claim(&caught.machine).await?;
    karpenter.delete_claim().await?;
    let told = doomed(&studio, &caught, "(Karpenter: the node is being deleted)", SOON).await;
    studio.delete("glacier").await?;
    karpenter.remove(&caught.machine).await?;
    told
}

/// Waits for the Event that tells of the worker's doom, and of who says so.
async fn doomed(studio: &Studio<'_>, caught: &Caught, words: &str, within: Duration) -> Result<()> {
    let worker = &caught.lease.worker.0;
    let only = ListParams::default().fields("reason=WorkerDoomed");
    wait_for("the Event of the worker's doom", within, async || {
        let events = studio.api::<Event>().list(&only).await.ok()?.items;
        let message = |event: Event| event.message.unwrap_or_default();
        events.into_iter().map(message).find(|said| said.starts_with(worker) && said.contains(words))
    })
    .await
    .map(drop)
}

/// As much of Karpenter as it takes to have a NodeClaim.
struct Karpenter {
    crds: Api<CustomResourceDefinition>,
    claims: Api<DynamicObject>,
    nodes: Api<Node>,
}

impl Karpenter {
    const CRD: &str = "nodeclaims.karpenter.sh";
    const CLAIM: &str = "gpu-spot-7xk2p";

    async fn install(world: &World) -> Result<Self> {
        let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
        crds.create(&PostParams::default(), &serde_json::from_value(Self::crd())?).await?;
        let kind = GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim");
        let claims = Api::all_with(world.client.clone(), &ApiResource::from_gvk(&kind));
        wait_for("NodeClaims to be served", SOON, async || {
            claims.list(&ListParams::default()).await.ok().map(drop)
        })
        .await?;
        Ok(Self { crds, claims, nodes: Api::all(world.client.clone()) })
    }

    fn crd() -> Value {
        let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": Self::CRD },
            "spec": {
                "group": "karpenter.sh", "scope": "Cluster",
                "names": { "kind": "NodeClaim", "plural": "nodeclaims", "singular": "nodeclaim" },
                "versions": [{ "name": "v1", "served": true, "storage": true,
                               "schema": { "openAPIV3Schema": schema } }],
            },
        })
    }

    /// Makes the NodeClaim of a node.
    async fn claim(&self, node: &str) -> Result<()> {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": Self::CLAIM, "finalizers": ["karpenter.sh/termination"] },
            "spec": {}, "status": { "nodeName": node },
        });
        let claim = self.claims.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
        let uid = claim.uid().context("an object of the API server has a uid")?;
        let owner = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": Self::CLAIM,
                            "uid": uid, "blockOwnerDeletion": true });
        self.own(node, json!([owner])).await
    }

    async fn own(&self, node: &str, owners: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": owners } }));
        self.nodes.patch(node, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// It stays until Karpenter has done its part.
    async fn delete_claim(&self) -> Result<()> {
        self.claims.delete(Self::CLAIM, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn remove(&self, node: &str) -> Result<()> {
        self.own(node, Value::Null).await?;
        let done = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        self.claims.patch(Self::CLAIM, &PatchParams::default(), &done).await?;
        self.crds.delete(Self::CRD, &DeleteParams::default()).await?;
        Ok(())
    }
}
