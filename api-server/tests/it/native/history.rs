//! `/history`, `/view` and `/api/jobs`: what came of prompts.

use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Fault, S3, S3Options, wait_for};

use super::{cancelled, complete, fail, get, graph, history, post, put, send};
use crate::rig::{PATIENCE, Rig, answer};

#[tokio::test]
async fn a_prompts_history_has_its_graph_its_files_and_how_it_ended() {
    let mut rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.key(&["--tenant", "acme"]).await;
    let replica = rig.replica().await;
    let content = Bytes::from_static(b"cat");
    put(&s3, "generated/a.png", &content).await;
    let id = send(&rig, &replica, &key, "me", "a cat").await;
    let path = format!("/history/{id}");
    for running in [false, true] {
        if running {
            rig.say(&id, &[("Ready", "Running")], json!({})).await;
        }
        assert_eq!(get(&rig, &replica, &path, &key).await.json, json!({}));
    }
    complete(&rig, &id, rig.output("sd15", &s3)).await;
    let shown = history(&rig, &replica, &key, &id).await;
    let name = format!("{id}_0_0_ComfyUI_00000.png");
    let output = json!({"images": [{"filename": name, "subfolder": "", "type": "output"}]});
    assert_eq!(shown["outputs"], json!({"9": output}));
    let prompt = &shown["prompt"];
    assert!(prompt[0].is_number(), "{prompt}");
    assert_eq!(
        (&prompt[1], &prompt[2]["6"], &prompt[3], &prompt[4]),
        (&json!(id), &graph("a cat")["6"], &json!({"client_id": "me"}), &json!(["9"]))
    );
    let status = &shown["status"];
    assert_eq!((&status["status_str"], &status["completed"]), (&json!("success"), &json!(true)));
    let last = status["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last[0], &last[1]["prompt_id"], &last[1]["timestamp"]),
        (&json!("execution_success"), &json!(id), &json!(1_767_225_609_000_i64))
    );

    // The file comes by its name, from this server.
    let view = format!("/view?filename={name}&subfolder=&type=output");
    let file = rig.get(&replica, &view, &key).send().await.unwrap();
    assert_eq!(
        (file.status(), &file.headers()["content-type"]),
        (StatusCode::OK, &"image/png".parse().unwrap())
    );
    assert_eq!(file.bytes().await.unwrap(), content);
    for (path, key) in [
        (view.as_str(), &other),
        ("/view?filename=a.png", &key),
        ("/view?filename=../../etc/passwd", &key),
        ("/view", &key),
        (&format!("/view?filename={}", name.replace("_0_0_", "_0_1_")), &key),
        (&format!("/view?filename={}", name.replace(&id, "7f1c0d2e-0000-4000-8000-00000000000a")), &key),
    ] {
        assert_eq!(answer(rig.get(&replica, path, key)).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&rig, &replica, &path, &other).await.json, json!({}));
    assert_eq!(get(&rig, &replica, "/history", &other).await.json, json!({}));

    // While the cluster's API server is away, the files are told all the same.
    rig.api_proxy.set(Fault::Refuse).await;
    let away = get(&rig, &replica, &path, &key).await.json;
    assert_eq!((&away[&id]["outputs"], &away[&id]["prompt"][4]), (&json!({"9": output}), &json!(["9"])));
}

#[tokio::test]
async fn the_history_lists_the_newest_and_what_is_hidden_stays_hidden() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut ids = vec![];
    for n in 0..4 {
        let body =
            json!({"prompt": graph("a cat"), "prompt_id": format!("7f1c0d2e-0000-4000-8000-00000000000{n}")});
        let sent = post(&rig, &replica, "/prompt", &key, &body).await.json;
        ids.push(sent["prompt_id"].as_str().unwrap().to_owned());
        // Times of creation are whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(if n == 1 { 1100 } else { 0 })).await;
    }
    complete(&rig, &ids[0], json!({})).await;
    fail(&rig, &ids[1]).await;
    cancelled(&rig, &ids[2]).await;
    let failed = history(&rig, &replica, &key, &ids[1]).await;
    assert_eq!(
        (&failed["status"]["status_str"], &failed["status"]["completed"], &failed["outputs"]),
        (&json!("error"), &json!(false), &json!({}))
    );
    let last = failed["status"]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last[0], &last[1]["exception_message"]),
        (&json!("execution_error"), &json!("node 3 (KSampler): out of luck"))
    );
    let stopped = history(&rig, &replica, &key, &ids[2]).await;
    assert_eq!(stopped["status"]["messages"].as_array().unwrap().last().unwrap()[0], "execution_interrupted");

    let listed = async |query: &str| {
        let all = get(&rig, &replica, &format!("/history{query}"), &key).await.json;
        all.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    history(&rig, &replica, &key, &ids[0]).await;
    assert_eq!(listed("").await, ids[..3]);
    assert_eq!(listed("?max_items=1").await, ids[2..3]);
    assert_eq!(get(&rig, &replica, "/history?max_items=many", &key).await.status, StatusCode::BAD_REQUEST);

    let hidden =
        post(&rig, &replica, "/history", &key, &json!({"delete": [ids[0], ids[3], "unknown"]})).await;
    assert_eq!((hidden.status, hidden.json), (StatusCode::OK, json!("")));
    assert_eq!(listed("").await, ids[1..3]);
    // By another replica too, which has only what the cluster keeps.
    let second = rig.replica().await;
    assert_eq!(get(&rig, &second, &format!("/history/{}", ids[0]), &key).await.json, json!({}));
    assert_eq!(post(&rig, &second, "/history", &key, &json!({"clear": true})).await.status, StatusCode::OK);
    assert_eq!(get(&rig, &second, "/history", &key).await.json, json!({}));
    // What had not ended is not hidden, and the jobs are still there.
    complete(&rig, &ids[3], json!({})).await;
    history(&rig, &second, &key, &ids[3]).await;
    assert_eq!(rig.how_many_jobs().await, 4);
}

#[tokio::test]
async fn jobs_are_listed_as_comfyuis_cloud_does() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.key(&["--tenant", "acme"]).await;
    let replica = rig.replica().await;
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(send(&rig, &replica, &key, "me", "a cat").await);
    }
    complete(&rig, &ids[1], json!({})).await;
    fail(&rig, &ids[2]).await;
    cancelled(&rig, &ids[3]).await;
    rig.say(&ids[4], &[("Ready", "Running")], json!({"startTime": "2026-01-01T00:00:01Z"})).await;
    let job = async |id: &str| get(&rig, &replica, &format!("/api/jobs/{id}"), &key).await.json;
    for (id, wanted, short) in [
        (&ids[0], "pending", "pending"),
        (&ids[1], "completed", "success"),
        (&ids[2], "failed", "error"),
        (&ids[3], "cancelled", "cancelled"),
        (&ids[4], "in_progress", "in_progress"),
    ] {
        let shown = wait_for("the state", PATIENCE, async || {
            Some(job(id).await).filter(|job| job["status"] == wanted)
        })
        .await
        .unwrap();
        assert!(
            shown["create_time"].is_number()
                && shown["update_time"].is_number()
                && shown["outputs"].is_object()
        );
        let status = get(&rig, &replica, &format!("/api/job/{id}/status"), &key).await.json;
        assert_eq!(status, json!({"id": id, "status": short}));
    }
    assert_eq!(job(&ids[1]).await["outputs"]["9"]["images"][0]["type"], "output");
    assert_eq!(job(&ids[2]).await["execution_error"]["exception_type"], "NodeFailed");
    let list = async |query: &str| get(&rig, &replica, &format!("/api/jobs{query}"), &key).await.json;
    let all = list("?limit=2&offset=1").await;
    assert_eq!(all["pagination"], json!({"offset": 1, "limit": 2, "total": 5, "has_more": true}));
    assert_eq!(all["jobs"].as_array().unwrap().len(), 2);
    let ended = list("?status=completed,failed").await;
    let states: Vec<&Value> = ended["jobs"].as_array().unwrap().iter().map(|job| &job["status"]).collect();
    assert_eq!(states.len(), 2, "{ended}");

    let cancel = async |id: &str, key: &str| {
        post(&rig, &replica, &format!("/api/jobs/{id}/cancel"), key, &json!({})).await
    };
    assert_eq!(cancel(&ids[0], &other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(cancel(&ids[0], &key).await.json, json!({"cancelled": true}));
    assert!(rig.jobs().get(&ids[0]).await.unwrap().spec.cancel);
    assert_eq!(cancel(&ids[1], &key).await.json, json!({"cancelled": false}));
    for path in [
        format!("/api/jobs/{}", ids[1]),
        format!("/api/job/{}/status", ids[1]),
        "/api/jobs/unknown".to_owned(),
    ] {
        assert_eq!(get(&rig, &replica, &path, &other).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&rig, &replica, "/api/jobs", &other).await.json["jobs"], json!([]));
}
