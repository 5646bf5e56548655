//! What is refused, and how that is told.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use super::{created, picture, submit};
use crate::{
    engine::pool_with_workers,
    native::graph,
    rig::{PATIENCE, Rig, answer},
};

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_by_code_and_node() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"models": ["sdxl/*"]})).await;
    let replica = rig.replica().await;
    let graph = |node: Value| json!({"workflow": {"3": node}});
    let sampler = |seed: Value| graph(json!({"class_type": "KSampler", "inputs": {"seed": seed}}));
    let with = |field: &str, value: Value| {
        let mut body = picture("a cat");
        body[field] = value;
        body
    };
    let asset = json!({"__type": "core/ASSET", "info": {"id": "9f8a1c0d-2b3e-4f56-8a7b-1c2d3e4f5a6b"}});
    let large = json!({"3": [{"field": "seed", "reason":
        "an integer above 9223372036854775807 (2^63 - 1) would be rounded on its way; write it as a text"}]});
    let labels: serde_json::Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    for (body, code, says, nodes) in [
        (json!({}), "invalid_workflow", "a single value", Value::Null),
        (json!([]), "invalid_workflow", "", Value::Null),
        (json!({"workflow": {}}), "invalid_workflow", "it has no nodes", Value::Null),
        (
            graph(json!({"inputs": {}})),
            "invalid_workflow",
            "node \"3\" has no class_type",
            json!({"3": [{"field": "class_type", "reason": "has no class_type"}]}),
        ),
        (
            json!({"workflow": {"nodes": [], "links": [], "last_node_id": 9}}),
            "workflow_format_ui",
            "Export (API)",
            Value::Null,
        ),
        (
            sampler(json!(9_223_372_036_854_775_808_u64)),
            "invalid_workflow",
            "node 3: seed: an integer",
            large.clone(),
        ),
        (
            sampler(json!([[{"deep": 18_446_744_073_709_551_615_u64}]])),
            "invalid_workflow",
            "node 3",
            large.clone(),
        ),
        (sampler(json!(1e20)), "invalid_workflow", "node 3", large),
        (
            graph(json!({"class_type": "LoadImage", "inputs": {"image": asset}})),
            "missing_asset",
            "node 3: image: there is no such asset",
            json!({"3": [{"field": "image", "reason": "there is no such asset"}]}),
        ),
        (
            graph(
                json!({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux.safetensors"}}),
            ),
            "invalid_workflow",
            "\"flux.safetensors\" is not one that this tenant may use",
            Value::Null,
        ),
        (with("webhook_url", json!("https://example.com")), "invalid_workflow", "webhook_url", Value::Null),
        (with("inputs", json!({})), "invalid_workflow", "inputs", Value::Null),
        (with("metadata", json!({"n": 1})), "metadata_invalid", "\"n\" is no text", Value::Null),
        (with("metadata", json!("x")), "metadata_invalid", "a map of texts", Value::Null),
        (with("metadata", json!({"": "x"})), "metadata_invalid", "a label has a name", Value::Null),
        (with("metadata", Value::Object(labels)), "metadata_invalid", "at most 16", Value::Null),
    ] {
        let refused = submit(&rig, &replica, &key, &body).await;
        let error = &refused.json["error"];
        assert_eq!(
            (refused.status, &error["code"], &error["details"]["node_errors"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(code), &nodes),
            "{body}: {refused:?}"
        );
        assert!(error["message"].as_str().unwrap().contains(says), "{body}: {error}");
    }
    let largest = i64::MAX;
    created(&rig, &replica, &key, &sampler(json!(largest))).await;
    let broken = answer(rig.post(&replica, "/api/v2/jobs", &key).body("{\"workflow\": ")).await;
    assert_eq!(broken.json["error"]["code"], "invalid_workflow", "{broken:?}");
    let large = answer(rig.post(&replica, "/api/v2/jobs", &key).body("x".repeat((2 << 20) + 1))).await;
    assert_eq!(
        (large.status, &large.json["error"]["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("payload_too_large"))
    );
    assert_eq!(rig.how_many_jobs().await, 1);
}

#[tokio::test]
async fn keys_that_are_missing_or_may_not_are_told_apart() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let admin = rig.key(&["--admin"]).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    for path in
        ["/jobs", &format!("/jobs/{id}"), &format!("/jobs/{id}/events"), "/assets/x", "/assets/x/content"]
    {
        for key in ["", "ij_wrong"] {
            let refused = answer(rig.get(&replica, &format!("/api/v2{path}"), key)).await;
            assert_eq!(
                (refused.status, &refused.json["error"]["code"], refused.header("www-authenticate")),
                (StatusCode::UNAUTHORIZED, &json!("unauthorized"), Some("Bearer")),
                "{path}"
            );
        }
    }
    for refused in [
        submit(&rig, &replica, &looks, &picture("a cat")).await,
        answer(rig.post(&replica, &format!("/api/v2/jobs/{id}/cancel"), &looks)).await,
        answer(rig.get(&replica, "/api/v2/jobs", &admin)).await,
    ] {
        assert_eq!(
            (refused.status, &refused.json["error"]["code"]),
            (StatusCode::FORBIDDEN, &json!("forbidden"))
        );
    }
    assert_eq!(answer(rig.get(&replica, &format!("/api/v2/jobs/{id}"), &looks)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_tenants_job_and_its_files_do_not_exist() {
    let rig = Rig::start().await;
    let acme = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &acme, &picture("a secret")).await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], super::made(&rig, &s3, &["a.png"]))
        .await;
    super::until_status(&rig, &replica, &acme, &id, "succeeded").await;
    let unknown = "7f1c0d2e-0000-4000-8000-000000000000";
    for (method, path) in [
        ("GET", "jobs/ID"),
        ("GET", "jobs/ID/workflow"),
        ("GET", "jobs/ID/events"),
        ("POST", "jobs/ID/cancel"),
        ("GET", "assets/ID_0_0"),
        ("GET", "assets/ID_0_0/content"),
        ("DELETE", "assets/ID_0_0"),
    ] {
        let mut told = vec![];
        for id in [id.as_str(), unknown] {
            let path = format!("/api/v2/{}", path.replace("ID", id));
            let request = match method {
                "GET" => rig.get(&replica, &path, &other),
                "POST" => rig.post(&replica, &path, &other),
                _ => rig.delete(&replica, &path, &other),
            };
            let refused = answer(request).await;
            assert_eq!(
                (refused.status, &refused.json["error"]["code"]),
                (StatusCode::NOT_FOUND, &json!("not_found")),
                "{method} {path}"
            );
            told.push(refused.json.to_string().replace(id, "ID"));
        }
        assert_eq!(told[0], told[1], "{method} {path}");
    }
    assert_eq!(answer(rig.get(&replica, "/api/v2/jobs", &other)).await.json, json!({"jobs": []}));
}

#[tokio::test]
async fn paths_that_nobody_knows_are_not_there() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let unknown = answer(rig.get(&replica, "/api/v2/models/x", &key)).await;
    assert_eq!(
        (unknown.status, &unknown.json["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("not_found"))
    );
    let wrong = answer(rig.delete(&replica, "/api/v2/jobs", &key)).await;
    assert_eq!(
        (wrong.status, &wrong.json["error"]["code"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("method_not_allowed"))
    );
    // Health needs no key.
    let healthy = reqwest::get(format!("http://{}/api/v2/health", replica.address)).await.unwrap();
    assert_eq!(healthy.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_graph_that_the_pools_engine_would_refuse_is_refused_at_once() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    pool_with_workers(&rig, &s3).await;
    let wide = rig.tenant_with_key("wide", json!({})).await;
    let narrow = rig.tenant_with_key("narrow", json!({"models": ["sd15*", "gone*"]})).await;
    let replica = rig.replica().await;
    let with = |node: &str, input: &str, value: Value| {
        let mut graph = graph("a cat");
        graph[node]["inputs"][input] = value;
        json!({"workflow": graph})
    };
    wait_for("the engine", PATIENCE, async || {
        let refused = submit(&rig, &replica, &wide, &with("3", "sampler_name", json!("even"))).await;
        (refused.status == StatusCode::UNPROCESSABLE_ENTITY).then(|| {
            assert_eq!(refused.json["error"]["code"], "invalid_workflow");
            assert_eq!(refused.json["error"]["details"]["node_errors"]["3"][0]["field"], "sampler_name");
        })
    })
    .await
    .unwrap();
    let unknown =
        submit(&rig, &replica, &wide, &json!({"workflow": {"1": {"class_type": "Odd", "inputs": {}}}})).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(unknown.json["error"]["message"].as_str().unwrap().contains("Odd"), "{unknown:?}");
    // Names of other tenants' models are not told.
    let gone = submit(&rig, &replica, &narrow, &with("4", "ckpt_name", json!("gone.safetensors"))).await;
    assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY, "{gone:?}");
    assert!(!gone.json.to_string().contains("secret"), "{gone:?}");
    let fits = submit(&rig, &replica, &narrow, &json!({"workflow": graph("a cat")})).await;
    assert_eq!(fits.status, StatusCode::CREATED, "{fits:?}");
}
