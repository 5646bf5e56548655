//! `/prompt`, and what is refused there.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Fault, S3, S3Options, wait_for};

use super::{get, graph, post, send};
use crate::rig::{PATIENCE, Rig, answer};

const ID: &str = "7f1c0d2e-0000-4000-8000-00000000000a";

#[tokio::test]
async fn a_prompt_is_a_job_of_its_key_and_the_same_again_makes_no_second() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let (second_key, other) =
        (rig.key(&["--tenant", "acme"]).await, rig.tenant_with_key("other", json!({})).await);
    let (a, b) = (rig.replica().await, rig.replica().await);
    let body = json!({"prompt": graph("a cat"), "prompt_id": ID, "client_id": "me", "number": 7, "extra_data": {"a": 1}});
    // As urllib sends it.
    let request = rig.post(&a, "/prompt", &key).header("content-type", "application/x-www-form-urlencoded");
    let sent = answer(request.body(body.to_string())).await;
    let wanted = json!({"prompt_id": ID, "number": 7, "node_errors": {}});
    assert_eq!((sent.status, &sent.json), (StatusCode::OK, &wanted));
    assert!(sent.header("x-request-id").is_some());
    let job = rig.jobs().get(ID).await.unwrap();
    assert_eq!(job.metadata.labels.as_ref().unwrap()["imagejob.dev/front"], "comfyui");
    let workflow = job.spec.work.workflow.unwrap();
    assert_eq!(Value::Object(workflow.graph.unwrap())["6"]["inputs"]["text"], "a cat");

    let again = post(&rig, &b, "/api/prompt", &key, &body).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &wanted));
    let mut changed = body.clone();
    changed["prompt"] = graph("a dog");
    for (key, body) in [(&key, &changed), (&second_key, &body), (&other, &body)] {
        let refused = post(&rig, &a, "/prompt", key, body).await;
        assert_eq!(
            (refused.status, &refused.json["error"]["type"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_prompt_id")),
            "{refused:?}"
        );
    }
    assert_eq!(rig.how_many_jobs().await, 1);
    let remaining =
        async |key: &str| get(&rig, &a, "/prompt", key).await.json["exec_info"]["queue_remaining"].clone();
    assert_eq!((remaining(&key).await, remaining(&second_key).await), (json!(1), json!(0)));
    let made_up = send(&rig, &a, &key, "me", "a bird").await;
    assert_eq!(made_up.len(), 36);
    // The next question finds it in the queue.
    assert_eq!(remaining(&key).await, 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_comfyuis_shape() {
    let mut rig = Rig::start().await;
    let key =
        rig.tenant_with_key("acme", json!({"models": ["sd15*"], "limits": {"unfinishedJobs": 1}})).await;
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let replica = rig.replica().await;
    let with = |node: &str, input: &str, value: Value| {
        let mut graph = graph("a cat");
        graph[node]["inputs"][input] = value;
        json!({"prompt": graph})
    };
    for (body, kind, says) in [
        (json!({}), "no_prompt", "No prompt"),
        (json!({"prompt": {}}), "prompt_no_outputs", "no outputs"),
        (json!({"prompt": {"nodes": [], "links": []}}), "invalid_prompt", "Workflow > Export (API)"),
        (json!({"nodes": [], "links": []}), "invalid_prompt", "Workflow > Export (API)"),
        (json!({"prompt": {"3": {"inputs": {}}}}), "invalid_prompt", "has no class_type"),
        (json!({"prompt": graph("a cat"), "prompt_id": "Me"}), "invalid_prompt_id", "UUID"),
        (with("3", "seed", json!(u64::MAX)), "prompt_outputs_failed_validation", "node 3: seed"),
        (with("4", "ckpt_name", json!("flux.safetensors")), "prompt_outputs_failed_validation", "flux"),
    ] {
        let refused = post(&rig, &replica, "/prompt", &key, &body).await;
        assert_eq!(
            (refused.status, &refused.json["error"]["type"]),
            (StatusCode::BAD_REQUEST, &json!(kind)),
            "{refused:?}"
        );
        assert!(refused.json["error"].to_string().contains(says), "{refused:?}");
        assert!(refused.json["node_errors"].is_object() && refused.json["error"]["extra_info"].is_object());
    }
    let seed = post(&rig, &replica, "/prompt", &key, &with("3", "seed", json!(u64::MAX))).await.json;
    let error = &seed["node_errors"]["3"];
    assert_eq!(
        (&error["class_type"], &error["errors"][0]["type"]),
        (&json!("KSampler"), &json!("value_bigger_than_max"))
    );
    for body in ["{", "", "[1]"] {
        let refused = answer(rig.post(&replica, "/prompt", &key).body(body)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {refused:?}");
    }
    let fits = json!({"prompt": graph("a cat")});
    let sent = post(&rig, &replica, "/prompt", &key, &fits).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    let over = post(&rig, &replica, "/prompt", &key, &fits).await;
    assert_eq!(
        (over.status, &over.json["error"]["type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("over_limit"))
    );
    assert!(over.header("retry-after").is_some());
    assert_eq!(post(&rig, &replica, "/prompt", &looks, &fits).await.status, StatusCode::FORBIDDEN);
    let large = answer(rig.post(&replica, "/prompt", &key).body("x".repeat((2 << 20) + 1))).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rig.how_many_jobs().await, 1);
    let other = rig.tenant_with_key("other", json!({})).await;
    wait_for("the other key", PATIENCE, async || {
        (get(&rig, &replica, "/prompt", &other).await.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    rig.api_proxy.set(Fault::Refuse).await;
    let away = post(&rig, &replica, "/prompt", &other, &fits).await;
    assert_eq!(
        (away.status, &away.json["error"]["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
}

#[tokio::test]
async fn every_route_wants_a_key() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut paths: Vec<(&str, String)> = vec![];
    for prefix in ["", "/api"] {
        for path in [
            "/prompt",
            "/history",
            "/history/a",
            "/queue",
            "/object_info",
            "/object_info/KSampler",
            "/models",
            "/models/vae",
            "/embeddings",
            "/extensions",
            "/system_stats",
            "/features",
            "/view?filename=a",
            "/ws?clientId=a",
        ] {
            paths.push(("GET", format!("{prefix}{path}")));
        }
        for path in ["/prompt", "/history", "/queue", "/interrupt", "/free", "/upload/image", "/upload/mask"]
        {
            paths.push(("POST", format!("{prefix}{path}")));
        }
    }
    for path in ["/api/jobs", "/api/jobs/a", "/api/job/a/status"] {
        paths.push(("GET", path.to_owned()));
    }
    paths.push(("POST", "/api/jobs/a/cancel".to_owned()));
    for (method, path) in paths {
        let request = |key: &str| match method {
            "GET" => rig.get(&replica, &path, key),
            _ => rig.post(&replica, &path, key).body("{}"),
        };
        for wrong in ["", "ij_wrong"] {
            let refused = answer(request(wrong)).await;
            assert_eq!(
                (refused.status, &refused.json["error"]["type"]),
                (StatusCode::UNAUTHORIZED, &json!("unauthorized")),
                "{method} {path}"
            );
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
        let known = answer(request(&key)).await.status.as_u16();
        assert!(matches!(known, 200 | 400 | 404 | 426), "{method} {path}: {known}");
    }
    // A token counts for a WebSocket only.
    let elsewhere = answer(rig.get(&replica, &format!("/prompt?token={key}"), "")).await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
}
