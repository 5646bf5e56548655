//! Jobs by the own API: create, look, list, change, delete.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, answer, picture};

#[tokio::test]
async fn a_job_is_created_looked_at_and_deleted_by_any_replica() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let (a, b) = (rig.replica().await, rig.replica().await);
    let mut body = picture("a lighthouse");
    body["labels"] = json!({"order": "4711", "für": "Zoë & Søn"});
    body["count"] = json!(2);
    let created = answer(rig.post(&a, "/v1/jobs", &key).json(&body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.json["id"].as_str().unwrap();
    let here = format!("https://images.example.com/v1/jobs/{id}");
    assert_eq!(
        (created.header("location"), created.json["links"]["self"].as_str()),
        (Some(&*here), Some(&*here))
    );
    for (field, value) in [
        ("state", json!("queued")),
        ("type", json!("TextToImage")),
        ("labels", body["labels"].clone()),
        ("counts", json!({"total": 2, "waiting": 2, "running": 0, "succeeded": 0, "failed": 0})),
    ] {
        assert_eq!(created.json[field], value, "{field}");
    }
    // The other replica finds it, whether its watch has shown it yet or not.
    let path = format!("/v1/jobs/{id}");
    let seen = answer(rig.get(&b, &path, &key)).await;
    assert_eq!((seen.status, &seen.json["id"]), (StatusCode::OK, &created.json["id"]));
    let object = rig.jobs().get(id).await.unwrap();
    assert_eq!(object.spec.tenant.as_deref(), Some("acme"));
    assert_eq!(object.spec.ttl_seconds_after_finished, Some(604_800));
    let work = answer(rig.get(&b, &format!("{path}/work"), &key)).await;
    assert_eq!(work.json["work"]["textToImage"]["prompt"], "a lighthouse");
    assert_eq!(answer(rig.delete(&b, &path, &key)).await.status, StatusCode::NO_CONTENT);
    assert!(rig.jobs().get_opt(id).await.unwrap().is_none());
    wait_for("both replicas to forget it", PATIENCE, async || {
        let gone =
            async |replica| answer(rig.get(replica, &path, &key)).await.status == StatusCode::NOT_FOUND;
        (gone(&a).await && gone(&b).await).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_operator_says_is_what_the_job_shows() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = create(&rig, &replica, &key, &picture("a cat")).await;
    let path = format!("/v1/jobs/{id}");
    let result = json!({"index": 0, "outputs": [{"node": "9", "name": "cat_00000.png", "mediaType": "image/png", "bytes": 77,
        "key": "generated/a.png", "url": "https://cdn.example.com/generated/a.png"}], "seed": 42, "gpuSeconds": "1.5",
        "capacity": "Spot", "amount": "0.0004", "attempts": 1});
    let cost = json!({"gpuSeconds": "1.5", "amount": "0.0004", "onDemandAmount": "0.0012", "savingPercent": 66, "currency": "USD"});
    rig.say(
        &id,
        &[("Ready", "Running")],
        json!({"counts": {"total": 1, "waiting": 0, "running": 1, "succeeded": 0, "failed": 0}}),
    )
    .await;
    // A read may wait for the end.
    let waiting = tokio::spawn({
        let request = rig.get(&replica, &path, &key).header("prefer", "wait=30");
        async move { answer(request).await }
    });
    wait_for("it to run", PATIENCE, async || {
        (answer(rig.get(&replica, &path, &key)).await.json["state"] == "running").then_some(())
    })
    .await
    .unwrap();
    rig.say(
        &id,
        &[("Ready", "Completed"), ("Complete", "Completed")],
        json!({"results": [result], "cost": cost, "seed": 42,
        "completionTime": "2026-01-01T00:00:09Z"}),
    )
    .await;
    let done = waiting.await.unwrap();
    assert_eq!(done.json["state"], "completed", "{done:?}");
    assert_eq!((&done.json["results"], &done.json["cost"]), (&json!([result]), &cost));
    assert_eq!(
        (&done.json["seed"], &done.json["completionTime"]),
        (&json!(42), &json!("2026-01-01T00:00:09Z"))
    );
    assert_eq!(done.json["message"], "It is Completed.");
}

#[tokio::test]
async fn prefer_wait_answers_with_the_end_or_with_where_to_look() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let request = || rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"));
    let unfinished = answer(request().header("prefer", "respond-async, wait=1")).await;
    assert_eq!(unfinished.status, StatusCode::ACCEPTED, "{unfinished:?}");
    assert_eq!(unfinished.header("preference-applied"), Some("wait=1"));
    assert!(unfinished.header("retry-after").is_some() && unfinished.header("location").is_some());
    let waiting = tokio::spawn(answer(request().header("prefer", "wait=40").header("idempotency-key", "w")));
    let id = wait_for("the job", PATIENCE, async || {
        let page = answer(rig.get(&replica, "/v1/jobs", &key)).await;
        page.json["jobs"]
            .as_array()?
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .find(|id| *id != unfinished.json["id"])
    });
    let id = id.await.unwrap();
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], json!({})).await;
    let finished = waiting.await.unwrap();
    assert_eq!((finished.status, &finished.json["state"]), (StatusCode::CREATED, &json!("completed")));
}

#[tokio::test]
async fn a_list_has_parts_and_can_be_narrowed() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut made = HashSet::new();
    for n in 0..5 {
        let mut body = picture("a cat");
        body["labels"] = json!({"parity": if n % 2 == 0 { "even" } else { "odd" }});
        made.insert(create(&rig, &replica, &key, &body).await);
    }
    let list = async |query: &str| answer(rig.get(&replica, &format!("/v1/jobs{query}"), &key)).await;
    wait_for("all to be listed", PATIENCE, async || {
        (list("").await.json["jobs"].as_array()?.len() == 5).then_some(())
    })
    .await
    .unwrap();
    let (mut seen, mut query) = (vec![], "?limit=2".to_owned());
    loop {
        let page = list(&query).await.json;
        seen.extend(
            page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!((seen.len(), seen.into_iter().collect::<HashSet<_>>()), (5, made));
    assert_eq!(list("?label=parity:odd").await.json["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(list("?state=completed").await.json["jobs"], json!([]));
    assert_eq!(list("?state=queued").await.json["jobs"].as_array().unwrap().len(), 5);
    for bad in ["?cursor=x", "?state=happy", "?limit=many"] {
        let refused = list(bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {refused:?}");
    }
}

#[tokio::test]
async fn cancel_and_suspend_change_the_spec_and_a_finished_job_stays_as_it_is() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = create(&rig, &replica, &key, &picture("a cat")).await;
    let post = async |verb: &str| answer(rig.post(&replica, &format!("/v1/jobs/{id}/{verb}"), &key)).await;
    assert_eq!(post("suspend").await.json["state"], "suspended");
    assert!(rig.jobs().get(&id).await.unwrap().spec.suspend);
    assert_eq!(post("resume").await.json["state"], "queued");
    for _ in 0..2 {
        assert_eq!(post("cancel").await.json["state"], "cancelling");
    }
    rig.say(&id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
    wait_for("its end", PATIENCE, async || (post("cancel").await.json["state"] == "cancelled").then_some(()))
        .await
        .unwrap();
    let resumed = post("resume").await;
    assert_eq!((resumed.status, &resumed.json["state"]), (StatusCode::OK, &json!("cancelled")));
}

#[tokio::test]
async fn a_request_that_comes_again_makes_no_second_job() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let send = async |key: &str, idempotency: &str, body: &Value| {
        answer(rig.post(&replica, "/v1/jobs", key).header("idempotency-key", idempotency).json(body)).await
    };
    let first = send(&key, "k", &picture("a cat")).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = send(&key, "\"k\"", &picture("a cat")).await;
    assert_eq!((again.status, &again.json["id"]), (StatusCode::OK, &first.json["id"]));
    let reused = send(&key, "k", &picture("a dog")).await;
    assert_eq!(
        (reused.status, &reused.json["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency-key-reused"))
    );
    // Another tenant's key is its own.
    let foreign = send(&other, "k", &picture("a cat")).await;
    assert_eq!(foreign.status, StatusCode::CREATED);
    assert_ne!(foreign.json["id"], first.json["id"]);
    // Also by another replica, after a restart.
    let second = rig.replica().await;
    let again =
        answer(rig.post(&second, "/v1/jobs", &key).header("idempotency-key", "k").json(&picture("a cat")))
            .await;
    assert_eq!((again.status, &again.json["id"]), (StatusCode::OK, &first.json["id"]));
    assert_eq!(rig.how_many_jobs().await, 2);
}

#[tokio::test]
async fn one_key_a_thousand_times_at_once_makes_one_job() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replicas = [rig.replica().await, rig.replica().await];
    let requests = (0..1000).map(|n| {
        let replica = &replicas[n % 2];
        answer(rig.post(replica, "/v1/jobs", &key).header("idempotency-key", "k").json(&picture("a cat")))
    });
    let answers: Vec<_> = stream::iter(requests).buffer_unordered(200).collect().await;
    let mut ids = HashSet::new();
    for answer in &answers {
        match answer.status.as_u16() {
            200 | 201 => drop(ids.insert(answer.json["id"].clone())),
            409 => assert_eq!(answer.json["code"], "request-in-progress"),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((ids.len(), rig.how_many_jobs().await), (1, 1));
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place_in_the_request() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"classes": ["standard"]})).await;
    let replica = rig.replica().await;
    let text = |field: &str, value: Value| {
        let mut body = picture("a cat");
        body["work"]["textToImage"][field] = value;
        body
    };
    let with = |field: &str, value: Value| {
        let mut body = picture("a cat");
        body[field] = value;
        body
    };
    let graph = |node: Value| json!({"work": {"workflow": {"graph": {"3": node}}}});
    for (body, pointer, says) in [
        (json!({}), "/work", "Required value"),
        (json!({"work": {}}), "/work/type", "Required value"),
        (json!({"work": {"type": "TextToImage"}}), "/work", "spec.work has no field"),
        (text("width", json!(100)), "/work/textToImage/width", "multiple of 8"),
        (text("width", json!("wide")), "/work/textToImage/width", "must be of type integer"),
        (text("seed", json!("18446744073709551616")), "/work/textToImage/seed", ""),
        (text("colour", json!("red")), "/work/textToImage/colour", "there is no such field"),
        (with("colour", json!("red")), "/colour", "there is no such field"),
        (with("class", json!("immediate")), "/class", "not one of this tenant's: standard"),
        (with("tenant", json!("other")), "/tenant", "leave this out"),
        (with("count", json!(0)), "/count", "greater than or equal to 1"),
        (with("labels", json!({"a": 1})), "/labels", "a map of texts"),
        (
            with("inputs", json!([{"name": "photo", "from": {"job": {"name": "of-another"}}}])),
            "/inputs/0/from/job/name",
            "there is no job",
        ),
        (graph(json!({"inputs": {}})), "", "not in ComfyUI's API format"),
        (graph(json!({"class_type": "KSampler", "inputs": {"seed": 1e19}})), "", "above 9223372036854775807"),
    ] {
        let refused = answer(rig.post(&replica, "/v1/jobs", &key).json(&body)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {refused:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert_eq!(refused.json["type"], "https://images.example.com/errors/invalid-request");
        let errors = refused.json["errors"].as_array().unwrap();
        let told = errors
            .iter()
            .any(|error| error["pointer"] == pointer && error["detail"].as_str().unwrap().contains(says));
        assert!(told, "{body}: {errors:?}");
    }
    for (body, status) in [("{", 422), ("[]", 422), ("\u{0}", 422), ("{} {}", 422)] {
        let refused = answer(rig.post(&replica, "/v1/jobs", &key).body(body)).await;
        assert_eq!(refused.status.as_u16(), status, "{body}: {refused:?}");
    }
    let large = answer(rig.post(&replica, "/v1/jobs", &key).body("x".repeat((2 << 20) + 1))).await;
    assert_eq!((large.status, &large.json["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too-large")));
    assert_eq!(rig.how_many_jobs().await, 0);
}

#[tokio::test]
async fn a_body_is_json_whatever_its_content_type_says() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    for content_type in ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/json"]
    {
        let request = rig.post(&replica, "/v1/jobs", &key).header("content-type", content_type);
        let created = answer(request.body(picture("a cat").to_string())).await;
        assert_eq!(created.status, StatusCode::CREATED, "{content_type}");
    }
}

#[tokio::test]
async fn failed_images_are_asked_for_again_with_their_seeds_and_once() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut body = picture("a cat");
    (body["count"], body["labels"]) = (json!(5), json!({"order": "4711"}));
    let id = create(&rig, &replica, &key, &body).await;
    let retry = async || answer(rig.post(&replica, &format!("/v1/jobs/{id}/retry"), &key)).await;
    assert_eq!(retry().await.status, StatusCode::UNPROCESSABLE_ENTITY, "it has not failed");
    let failure =
        |index: u32| json!({"index": index, "reason": "OutOfMemory", "message": "no room", "attempts": 3});
    let status = json!({"counts": {"total": 5, "waiting": 0, "running": 0, "succeeded": 2, "failed": 3}, "seed": 100,
        "failures": [failure(1), failure(3), failure(4)]});
    rig.say(&id, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], status).await;
    let first = wait_for("its end", PATIENCE, async || {
        Some(retry().await).filter(|told| told.status == StatusCode::CREATED)
    })
    .await
    .unwrap();
    assert_eq!(retry().await.json["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(rig.how_many_jobs().await, 3, "a second retry made more jobs");
    let mut seen = vec![];
    for job in first.json["jobs"].as_array().unwrap() {
        assert_eq!(job["labels"], body["labels"]);
        let job = rig.jobs().get(job["id"].as_str().unwrap()).await.unwrap();
        seen.push((job.spec.count, job.spec.work.text_to_image.unwrap().sampling.seed));
    }
    assert_eq!(seen, [(1, Some(101)), (2, Some(103))]);
}

async fn create(rig: &Rig, replica: &crate::rig::Replica, key: &str, body: &Value) -> String {
    let created =
        answer(rig.post(replica, "/v1/jobs", key).json(body).timeout(Duration::from_secs(30))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json["id"].as_str().unwrap().to_owned()
}
