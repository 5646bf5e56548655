//! Jobs are created.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Fault, S3, S3Options, wait_for};

use super::{created, job, picture, submit};
use crate::rig::{PATIENCE, Rig, answer};

#[tokio::test]
async fn a_graph_becomes_a_job_that_shows_every_key() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut body = picture("a lighthouse");
    body["metadata"] = json!({"client": "Zoë & Søn", "order": "4711"});
    body["extra_data"] = json!({"api_key_comfy_org": "secret-of-the-caller"});
    let created = submit(&rig, &replica, &key, &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(created.header("x-request-id"), created.header("x-comfy-request-id"));
    let id = created.json["id"].as_str().unwrap();
    let object = rig.jobs().get(id).await.unwrap();
    let created_at = object.metadata.creation_timestamp.clone().unwrap();
    let expires_at = created_at.0 + jiff::SignedDuration::from_hours(7 * 24);
    let this = format!("https://images.example.com/api/v2/jobs/{id}");
    assert_eq!(
        created.json,
        json!({
            "id": id, "status": "queued", "created_at": created_at, "started_at": null, "completed_at": null,
            "expires_at": expires_at, "queue_position": null, "progress": null, "outputs": [], "error": null,
            "metrics": {"queue_ms": null, "execution_ms": null},
            "metadata": body["metadata"],
            "urls": {"self": this, "events": format!("{this}/events"), "cancel": format!("{this}/cancel")},
        })
    );
    assert_eq!(job(&rig, &replica, &key, id).await, created.json);
    let labels = object.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["imagejob.dev/front"], "comfy-v2");
    assert!(!serde_json::to_string(&object).unwrap().contains("secret-of-the-caller"));
    let workflow = answer(rig.get(&replica, &format!("/api/v2/jobs/{id}/workflow"), &key)).await;
    assert_eq!(workflow.json, json!({"workflow": body["workflow"], "format": "api"}));
}

#[tokio::test]
async fn below_a_pools_path_jobs_are_for_that_pool_and_links_lead_there() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let pool = format!("/pools/{}/sd15", rig.studio);
    let created =
        answer(rig.post(&replica, &format!("{pool}/api/v2/jobs"), &key).json(&picture("a cat"))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.json["id"].as_str().unwrap();
    let this = format!("https://images.example.com{pool}/api/v2/jobs/{id}");
    assert_eq!(created.json["urls"]["self"], this);
    let pool_ref = rig.jobs().get(id).await.unwrap().spec.pool_ref.unwrap();
    assert_eq!((pool_ref.name.as_str(), pool_ref.namespace), ("sd15", Some(rig.studio.clone())));
}

#[tokio::test]
async fn a_key_counts_once_unless_its_request_was_refused() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let send = async |key: &str, body: &Value| {
        answer(rig.post(&replica, "/api/v2/jobs", key).header("idempotency-key", "k").json(body)).await
    };
    let refused = send(&key, &json!({"workflow": {}})).await;
    assert_eq!(refused.json["error"]["code"], "invalid_workflow", "{refused:?}");
    assert_eq!(send(&key, &picture("a cat")).await.status, StatusCode::CREATED);
    for body in [picture("a cat"), picture("a dog")] {
        let again = send(&key, &body).await;
        assert_eq!(
            (again.status, &again.json["error"]["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reuse"))
        );
    }
    assert_eq!(send(&other, &picture("a cat")).await.status, StatusCode::CREATED);
    let bad = answer(
        rig.post(&replica, "/api/v2/jobs", &key).header("idempotency-key", "").json(&picture("a cat")),
    )
    .await;
    assert_eq!(bad.json["error"]["code"], "invalid_request", "{bad:?}");
    assert_eq!(rig.how_many_jobs().await, 2);
}

#[tokio::test]
async fn of_many_requests_with_one_key_at_once_one_makes_a_job() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replicas = [rig.replica().await, rig.replica().await];
    let (rig, body) = (&rig, picture("a cat"));
    let requests = (0..60).map(|n| {
        let request = rig.post(&replicas[n % 2], "/api/v2/jobs", &key).header("idempotency-key", "k");
        answer(request.json(&body))
    });
    let mut made = 0;
    for answer in futures::future::join_all(requests).await {
        let code = answer.json["error"]["code"].as_str().unwrap_or_default();
        match (answer.status.as_u16(), code) {
            (201, _) => made += 1,
            (422, "idempotency_key_reuse") => {}
            // It is being made; to ask again tells.
            (429, "rate_limited") => assert_eq!(answer.header("retry-after"), Some("1")),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((made, rig.how_many_jobs().await), (1, 1));
}

#[tokio::test]
async fn who_is_over_a_limit_is_told_when_to_come_again() {
    let rig = Rig::start().await;
    let rated = rig.tenant_with_key("rated", json!({"limits": {"requestsPerSecond": 1}})).await;
    let full = rig.tenant_with_key("full", json!({"limits": {"unfinishedJobs": 1}})).await;
    let replica = rig.replica().await;
    created(&rig, &replica, &full, &picture("a cat")).await;
    for (key, code) in [(&rated, "rate_limited"), (&full, "queue_full")] {
        let refused = wait_for("the limit to be reached", PATIENCE, async || {
            let answer = submit(&rig, &replica, key, &picture("a cat")).await;
            (answer.status != StatusCode::CREATED).then_some(answer)
        })
        .await
        .unwrap();
        assert_eq!(
            (refused.status, &refused.json["error"]["code"]),
            (StatusCode::TOO_MANY_REQUESTS, &json!(code)),
            "{refused:?}"
        );
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_only_if_there_is_certainly_no_job() {
    let mut rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let paying = rig.tenant_with_key("paying", json!({"limits": {"amountPerDay": "5"}})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let send = async |rig: &Rig, key: &str, idempotency: &str| {
        let request = rig.post(&replica, "/api/v2/jobs", key).header("idempotency-key", idempotency);
        answer(request.json(&picture("a cat"))).await
    };
    wait_for("the watch to show it", PATIENCE, async || {
        let page = answer(rig.get(&replica, "/api/v2/jobs", &key)).await;
        (page.json["jobs"].as_array()?.len() == 1).then_some(())
    })
    .await
    .unwrap();

    rig.redis_proxy.set(Fault::Refuse).await;
    let passes = send(&rig, &paying, "money").await;
    assert_eq!(
        (passes.status, &passes.json["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited"))
    );
    assert!(passes.header("retry-after").is_some());
    rig.redis_proxy.set(Fault::None).await;

    // The request goes there, and no answer comes back.
    rig.api_proxy.set(Fault::Silent).await;
    let unclear = send(&rig, &key, "silent").await;
    assert_eq!(
        (unclear.status, &unclear.json["error"]["code"], unclear.header("retry-after")),
        (StatusCode::INTERNAL_SERVER_ERROR, &json!("upstream_error"), None)
    );
    // Reads are answered meanwhile.
    assert_eq!(job(&rig, &replica, &key, &id).await["id"], id);
    rig.api_proxy.set(Fault::Refuse).await;
    let away = send(&rig, &key, "refused").await;
    assert_eq!(
        (away.status, away.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, Some("5")),
        "{away:?}"
    );
    rig.api_proxy.set(Fault::None).await;
    assert_eq!(send(&rig, &key, "refused").await.status, StatusCode::CREATED);
}
