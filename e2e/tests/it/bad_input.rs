//! What cannot work is told where its user looks: at admission, or in the job's condition.

use anyhow::{Context as _, Result, ensure};
use crds::{
    WorkerPool,
    conditions::{ConditionType, JobReason, PoolReason, find_condition},
};
use e2e::{MODEL, World, graph, text_to_image, workflow};
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{
    SOON,
    graphs::{config_map, in_config_map},
    stage::{own_studio, studio},
};

pub(crate) async fn nonsense_is_refused_at_admission(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let picture =
        |field: &str, value: Value| e2e::picture(&json!({ "model": MODEL, "prompt": "x", field: value }));
    let mut both = picture("steps", json!(1));
    both["work"]["workflow"] = json!({ "graph": graph(MODEL) });
    let mut none = picture("steps", json!(1));
    none["count"] = 0.into();
    let one_field = "give the field that type names and no other";
    let cases = [
        (both, one_field),
        (json!({ "work": { "type": "Recipe" } }), one_field),
        (json!({ "work": { "type": "Miracle" } }), "spec.work.type: Unsupported value: \"Miracle\""),
        (json!({ "count": 1 }), "spec.work: Required value"),
        (picture("seed", json!(-1)), "spec.work.textToImage.seed: Invalid value"),
        (picture("cfgScale", json!("much")), "spec.work.textToImage.cfgScale: Invalid value"),
        (picture("width", json!(100)), "spec.work.textToImage.width: Invalid value: 100: "),
        (none, "spec.count: Invalid value: 0: "),
    ];
    for (spec, expected) in cases {
        let refused = studio.create_as_user("nonsense", &spec).err();
        let said = format!("{:#}", refused.with_context(|| format!("not refused: {spec}"))?);
        ensure!(said.contains(expected), "{spec}: expected {expected:?} in {said}");
    }
    Ok(())
}

pub(crate) async fn a_job_waits_for_its_pool(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let mut spec = text_to_image("early", 5, 1);
    spec["poolRef"] = json!({ "name": "later" });
    studio.submit("early", spec).await?;
    let message = studio.reason("early", JobReason::PoolNotFound, SOON).await?;
    ensure!(message.contains("studio/later"), "{message}");
    studio.add_pool("later", |spec| spec["default"] = false.into()).await?;
    studio.complete("early", SOON).await?.check_made_once(world).await
}

pub(crate) async fn a_job_waits_for_its_class(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let mut spec = text_to_image("hurry", 5, 1);
    spec["class"] = "yesterday".into();
    studio.submit("hurry", spec).await?;
    let message = studio.reason("hurry", JobReason::ClassNotFound, SOON).await?;
    ensure!(message.contains("yesterday") && message.contains("immediate, standard, relaxed"), "{message}");
    studio.delete("hurry").await
}

pub(crate) async fn what_the_engine_refuses_is_in_the_message(world: &World) -> Result<()> {
    // No worker has told yet what its engine has: every job is tried.
    let studio = own_studio(world, "untold").await?;
    let no_output = json!({ "1": { "class_type": "EmptyLatentImage", "inputs": { "width": 64, "height": 64, "batch_size": 1 } } });
    studio.submit("pointless", workflow(&no_output)).await?;
    studio.submit("wrong-model", workflow(&graph("nosuch.safetensors"))).await?;
    let (is, message) = studio.ended("pointless", SOON).await?.ready();
    ensure!(is == JobReason::Rejected.as_str() && message.contains("no outputs"), "{is}: {message}");
    let (is, message) = studio.ended("wrong-model", SOON).await?.ready();
    ensure!(is == JobReason::Rejected.as_str(), "{is}: {message}");
    ensure!(message.contains("nosuch.safetensors") && message.contains("ckpt_name"), "{message}");
    Ok(())
}

pub(crate) async fn a_refused_worker_is_not_said_to_be_started(world: &World) -> Result<()> {
    let studio = own_studio(world, "quota").await?;
    let quotas = studio.api::<ResourceQuota>();
    let none = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(none)?).await?;
    studio.submit("tower", text_to_image("a tower", 20, 1)).await?;
    let refused = async || {
        let pools = studio.api::<WorkerPool>().list(&ListParams::default()).await.ok()?.items;
        let status = pools.into_iter().next()?.status?;
        let ready = find_condition(&status.conditions, ConditionType::Ready)?;
        (ready.reason == PoolReason::PodsRefused.as_str()).then_some(status)
    };
    let status = wait_for("the refusal to be told", SOON, refused).await?;
    ensure!(status.last_decision.is_none(), "{:?}", status.last_decision);
    quotas.delete("none", &DeleteParams::default()).await?;
    studio.complete("tower", SOON).await?.check_made_once(world).await
}

pub(crate) async fn a_job_waits_for_its_config_map(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    studio.submit("patient", in_config_map("flow")).await?;
    let message = studio.reason("patient", JobReason::ConfigMapNotFound, SOON).await?;
    ensure!(message.contains("flow"), "{message}");
    config_map(&studio, "flow", graph(MODEL).to_string().as_bytes())?;
    studio.complete("patient", SOON).await?.check_made_once(world).await?;

    config_map(&studio, "prose", b"once upon a time")?;
    studio.submit("prose", in_config_map("prose")).await?;
    let message = studio.reason("prose", JobReason::ConfigMapInvalid, SOON).await?;
    ensure!(message.contains("not JSON") && message.contains("prose"), "{message}");
    studio.api::<ConfigMap>().delete("prose", &DeleteParams::default()).await?;
    config_map(&studio, "prose", graph(MODEL).to_string().as_bytes())?;
    studio.complete("prose", SOON).await?.check_made_once(world).await
}
