//! How far jobs are, as polls see it.

use queue::{JobUid, NodeProgress, RunningNode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use super::{created, job, made, picture, until_status};
use crate::{
    events::{begin, tell},
    rig::{PATIENCE, Rig, answer},
};

#[tokio::test]
async fn a_job_goes_from_queued_to_succeeded_with_its_files() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let created_at = rig.jobs().get(&id).await.unwrap().metadata.creation_timestamp.unwrap().0;
    let after = |seconds: i64| (created_at + jiff::SignedDuration::from_secs(seconds)).to_string();
    let mut status = rig.output("sd15", &s3);
    status["startTime"] = json!(after(9));
    rig.say(&id, &[("Ready", "Running")], status).await;
    let running = until_status(&rig, &replica, &key, &id, "running").await;
    assert_eq!(
        (&running["started_at"], &running["metrics"]),
        (&json!(after(9)), &json!({"queue_ms": 9000, "execution_ms": null}))
    );
    let mut status = made(&rig, &s3, &["cat_00000.png"]);
    status["completionTime"] = json!(after(51));
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], status).await;
    let done = until_status(&rig, &replica, &key, &id, "succeeded").await;
    let expires = after(51 + 604_800);
    assert_eq!(
        done["outputs"],
        json!([{
            "node_id": "9", "name": "cat_00000.png", "type": "image", "content_type": "image/png", "size_bytes": 77,
            "id": format!("{id}_0_0"), "hash": null,
            "url": format!("https://images.example.com/api/v2/assets/{id}_0_0/content"),
            "url_expires_at": expires, "job_id": id,
        }])
    );
    for (field, value) in [
        ("completed_at", json!(after(51))),
        ("expires_at", json!(expires)),
        ("metrics", json!({"queue_ms": 9000, "execution_ms": 42_000})),
        ("error", Value::Null),
        ("progress", Value::Null),
    ] {
        assert_eq!(done[field], value, "{field}");
    }
    // A finished job stays as it is.
    let cancelled = answer(rig.post(&replica, &format!("/api/v2/jobs/{id}/cancel"), &key)).await;
    assert_eq!((cancelled.status, cancelled.json), (StatusCode::OK, done));
}

#[tokio::test]
async fn a_job_that_fails_says_which_node_and_why() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let failure = |reason: &str, message: &str| json!({"failures": [{"index": 0, "reason": reason, "message": message, "attempts": 3}]});
    for (reason, more, error) in [
        (
            "ImagesFailed",
            failure("EngineError", "node 3 (KSampler): RuntimeError: sizes: 4 and 16"),
            json!({"code": "node_execution_error", "message": "node 3 (KSampler): RuntimeError: sizes: 4 and 16",
                "node_id": "3", "class_type": "KSampler", "traceback": null}),
        ),
        (
            "ImagesFailed",
            failure("OutOfMemory", "it takes too much memory"),
            json!({"code": "out_of_memory", "message": "it takes too much memory", "node_id": null, "class_type": null,
                "traceback": null}),
        ),
        (
            "WorkflowInvalid",
            json!({}),
            json!({"code": "invalid_workflow", "message": "It is WorkflowInvalid.", "node_id": null, "class_type": null,
                "traceback": null}),
        ),
        (
            "Rejected",
            failure("EngineRejected", "node 4: it has no model"),
            json!({"code": "invalid_workflow", "message": "node 4: it has no model", "node_id": "4", "class_type": null,
                "traceback": null}),
        ),
    ] {
        let id = created(&rig, &replica, &key, &picture("a cat")).await;
        rig.say(&id, &[("Ready", reason), ("Failed", reason)], more).await;
        let failed = until_status(&rig, &replica, &key, &id, "failed").await;
        assert_eq!(failed["error"], error);
    }
}

#[tokio::test]
async fn a_job_is_cancelled_once_and_can_be_asked_again() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let cancel = async || answer(rig.post(&replica, &format!("/api/v2/jobs/{id}/cancel"), &key)).await;
    for _ in 0..2 {
        let cancelling = cancel().await;
        assert_eq!((cancelling.status, &cancelling.json["status"]), (StatusCode::OK, &json!("canceling")));
    }
    assert!(rig.jobs().get(&id).await.unwrap().spec.cancel);
    rig.say(&id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
    let cancelled = until_status(&rig, &replica, &key, &id, "canceled").await;
    assert_eq!(cancelled["error"], Value::Null);
    assert_eq!(cancel().await.json["status"], "canceled");
}

#[tokio::test]
async fn polls_see_how_far_the_image_is_and_what_a_job_waits_for() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let until = async |is: &dyn Fn(&Value) -> bool| {
        wait_for("the progress", PATIENCE, async || {
            Some(job(&rig, &replica, &key, &id).await).filter(|job| is(&job["progress"]))
        })
        .await
        .unwrap()
    };
    rig.say(&id, &[("Ready", "NotOnWorkers")], json!({})).await;
    let waits = until(&|progress| !progress.is_null()).await;
    assert_eq!(
        (&waits["status"], &waits["progress"]),
        (
            &json!("queued"),
            &json!({"value": 0.0, "nodes_done": 0, "nodes_total": 0, "message": "It is NotOnWorkers."})
        )
    );
    rig.say(&id, &[("Ready", "Waiting")], json!({})).await;
    until(&Value::is_null).await;

    let uid = JobUid(rig.jobs().get(&id).await.unwrap().metadata.uid.unwrap());
    let queue = rig.queue("sd15").await;
    rig.say(&id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    begin(&queue, &uid).await;
    let running = RunningNode { id: "3".into(), class: Some("KSampler".into()) };
    tell(&queue, &uid, (10, 20), NodeProgress { done: 4, total: 8, running: Some(running) }).await;
    let running = until(&|progress| progress["step"] == 10).await;
    assert_eq!(running["status"], "running");
    assert_eq!(
        running["progress"],
        json!({"value": 0.563, "nodes_done": 4, "nodes_total": 8, "current_node": "3", "current_node_class": "KSampler",
            "step": 10, "steps": 20, "message": "KSampler 10/20"})
    );
}

#[tokio::test]
async fn a_job_of_another_front_is_shown_too_but_has_no_workflow() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&crate::rig::picture("a cat"))).await;
    let id = created.json["id"].as_str().unwrap();
    assert_eq!(job(&rig, &replica, &key, id).await["status"], "queued");
    let none = answer(rig.get(&replica, &format!("/api/v2/jobs/{id}/workflow"), &key)).await;
    assert_eq!((none.status, &none.json["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    answer(rig.post(&replica, &format!("/v1/jobs/{id}/suspend"), &key)).await;
    assert_eq!(job(&rig, &replica, &key, id).await["status"], "queued");
}
