//! What a tenant may use: pools and recipes.

use kube::{Api, api::PostParams};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use crate::rig::{PATIENCE, Rig, answer, picture};

#[tokio::test]
async fn pools_show_what_of_them_the_tenant_may_use_and_how_long_the_queue_is() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let images = json!({"made": 10, "gpuSeconds": "25.000", "amount": "1", "onDemandAmount": "3"});
    let at = "2026-01-01T00:00:00Z";
    let status = json!({
        "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "message": "Two workers.", "lastTransitionTime": at}],
        "queue": {"waiting": 3, "running": 2, "oldestSeconds": 7},
        "fleets": [{"name": "spot", "type": "Spot", "total": 3, "starting": 1, "idle": 0, "busy": 2, "draining": 0}],
        "models": [{"name": "sdxl/base.safetensors", "folder": "checkpoints", "family": "SDXL"}, {"name": "flux.safetensors", "folder": "checkpoints"}],
        "engine": {"version": "0.3.60", "nodes": 500, "digest": "sha256:00"},
        "cost": {"perHour": "1", "onDemandPerHour": "1", "currency": "USD", "images": images},
    });
    rig.pool("sd15", &s3, |pool| pool["status"] = status).await;
    rig.pool("video", &s3, |pool| pool["spec"]["default"] = json!(false)).await;
    let narrow = rig
        .tenant_with_key(
            "narrow",
            json!({"pools": [{"name": "sd15"}], "classes": ["relaxed"], "models": ["sdxl/*"]}),
        )
        .await;
    let wide = rig.tenant_with_key("wide", json!({})).await;
    let replica = rig.replica().await;
    let pools = async |key: &str| answer(rig.get(&replica, "/v1/pools", key)).await.json["pools"].clone();
    let names = |pools: &Value| {
        pools
            .as_array()
            .unwrap()
            .iter()
            .map(|pool| pool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    wait_for("the pool's status", PATIENCE, async || {
        (pools(&wide).await[0]["reason"] == "Serving").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(names(&pools(&wide).await), ["sd15", "video"]);
    let seen = pools(&narrow).await;
    assert_eq!(names(&seen), ["sd15"]);
    assert_eq!(
        seen[0],
        json!({
            "namespace": rig.studio, "name": "sd15", "ready": true, "reason": "Serving", "message": "Two workers.",
            "classes": [{"name": "relaxed", "default": false, "slaSeconds": 600}],
            "models": [{"name": "sdxl/base.safetensors", "folder": "checkpoints", "family": "SDXL"}],
            "engine": "0.3.60",
            "queue": {"waiting": 3, "running": 2, "oldestSeconds": 7},
            "workers": {"starting": 1, "idle": 0, "busy": 2},
            "secondsPerImage": 2.5, "waitSeconds": 5, "currency": "USD",
        })
    );
    // A job that names no pool is for the first of the tenant's.
    let created = answer(rig.post(&replica, "/v1/jobs", &narrow).json(&json!({"class": "relaxed", "work": {"textToImage": {"model": "sdxl/base.safetensors", "prompt": ""}}}))).await;
    assert_eq!(
        (created.status, &created.json["pool"]["name"]),
        (StatusCode::CREATED, &json!("sd15")),
        "{created:?}"
    );
    // What it would cost can be asked before.
    let order = json!({"class": "relaxed", "count": 4, "work": {"textToImage": {"model": "sdxl/base.safetensors", "prompt": ""}}});
    let estimate = answer(rig.post(&replica, "/v1/estimate", &narrow).json(&order)).await;
    assert_eq!(
        (estimate.status, &estimate.json["gpuSeconds"]),
        (StatusCode::OK, &json!(10.0)),
        "{estimate:?}"
    );
    assert_eq!((&estimate.json["amount"], &estimate.json["class"]), (&json!("0.0025"), &json!("relaxed")));
    assert!(estimate.json["completionTime"].is_string());
    assert_eq!(rig.how_many_jobs().await, 1);
    let refused = answer(rig.post(&replica, "/v1/jobs", &narrow).json(&picture("a cat"))).await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/work"))
    );
}

#[tokio::test]
async fn recipes_say_what_they_take_as_json_schema() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"recipes": ["portrait"]})).await;
    let replica = rig.replica().await;
    let recipe = |name: &str| -> crds::ImageRecipe {
        let inputs = json!([
            {"name": "prompt", "description": "What it shows.", "type": "String", "to": ["6.text"], "required": true, "maxLength": 500},
            {"name": "steps", "type": "Integer", "to": ["3.steps"], "default": 20, "minimum": 1, "maximum": "50"},
            {"name": "style", "type": "Enum", "to": ["3.style"], "choices": ["ink", "oil"]},
            {"name": "photo", "type": "Image", "to": ["4.image"]},
            {"name": "seed", "type": "Seed", "to": ["3.seed"]},
        ]);
        serde_json::from_value(json!({
            "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageRecipe", "metadata": {"name": name},
            "spec": {"description": "A portrait.", "graph": {"3": {"class_type": "KSampler", "inputs": {}}}, "inputs": inputs},
        }))
        .unwrap()
    };
    let api = Api::namespaced(rig.client.clone(), &rig.studio);
    for name in ["portrait", "secret"] {
        api.create(&PostParams::default(), &recipe(name)).await.unwrap();
    }
    let all = answer(rig.get(&replica, "/v1/recipes", &key)).await.json;
    assert_eq!(all["recipes"].as_array().unwrap().len(), 1);
    let one = answer(rig.get(&replica, "/v1/recipes/portrait", &key)).await.json;
    assert_eq!(one, all["recipes"][0]);
    assert_eq!((&one["name"], &one["description"]), (&json!("portrait"), &json!("A portrait.")));
    let schema = &one["inputs"];
    assert_eq!((&schema["type"], &schema["required"]), (&json!("object"), &json!(["prompt"])));
    assert_eq!(
        schema["properties"]["prompt"],
        json!({"type": "string", "maxLength": 500, "description": "What it shows."})
    );
    assert_eq!(
        schema["properties"]["steps"],
        json!({"type": "integer", "minimum": 1, "maximum": 50, "default": 20})
    );
    assert_eq!(schema["properties"]["style"], json!({"enum": ["ink", "oil"]}));
    assert_eq!(answer(rig.get(&replica, "/v1/recipes/secret", &key)).await.status, StatusCode::NOT_FOUND);
    let refused =
        answer(rig.post(&replica, "/v1/jobs", &key).json(&json!({"work": {"recipe": {"name": "secret"}}})))
            .await;
    assert_eq!(refused.json["errors"][0]["pointer"], "/work/recipe/name");
}
