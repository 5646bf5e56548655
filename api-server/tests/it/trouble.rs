//! What happens while parts are away, and when a replica is told to stop.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::json;
use testkit::{Fault, wait_for};

use crate::rig::{PATIENCE, Rig, answer, picture};

#[tokio::test]
async fn while_the_cluster_is_away_reads_are_answered_and_no_job_is_half_created() {
    let mut rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await;
    let path = format!("/v1/jobs/{}", created.json["id"].as_str().unwrap());
    wait_for("the watch to show it", PATIENCE, async || {
        let page = answer(rig.get(&replica, "/v1/jobs", &key)).await;
        (page.json["jobs"].as_array()?.len() == 1).then_some(())
    })
    .await
    .unwrap();
    rig.api_proxy.set(Fault::Refuse).await;
    let seen = answer(rig.get(&replica, &path, &key)).await;
    assert_eq!((seen.status, &seen.json["id"]), (StatusCode::OK, &created.json["id"]));
    let refused = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a dog"))).await;
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(rig.how_many_jobs().await, 1);
    rig.api_proxy.set(Fault::None).await;
    let again = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a dog"))).await;
    assert_eq!(again.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_answers_what_runs() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let mut replica = rig.replica().await;
    let waiting = tokio::spawn(answer(
        rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat")).header("prefer", "wait=2"),
    ));
    wait_for("the job", PATIENCE, async || (rig.how_many_jobs().await == 1).then_some(())).await.unwrap();
    let stopped = tokio::task::spawn_blocking(move || replica.process.terminate().map(|()| replica));
    let answered = waiting.await.unwrap();
    assert_eq!(answered.status, StatusCode::ACCEPTED, "{answered:?}");
    let replica = tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap().unwrap().unwrap();
    assert!(!replica.process.is_running());
    assert!(!replica.said().contains("still running"), "{}", replica.said());
}

#[tokio::test]
async fn a_stream_of_a_killed_replica_goes_on_at_another() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let (mut dying, other) = (rig.replica().await, rig.replica().await);
    let id = answer(rig.post(&dying, "/v1/jobs", &key).json(&picture("a cat"))).await.json["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/jobs/{id}/events");
    let mut stream = rig.get(&dying, &path, &key).send().await.unwrap();
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let last_id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    dying.process.kill9().unwrap();
    while stream.chunk().await.is_ok_and(|piece| piece.is_some()) {}
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], json!({})).await;
    let rest = rig
        .get(&other, &path, &key)
        .header("last-event-id", last_id)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(rest.contains(r#""state":"completed""#), "{rest}");
}

#[tokio::test]
async fn a_thousand_streams_and_who_does_not_read_hold_nobody_up() {
    const STREAMS: usize = 1000;
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await.json["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/jobs/{id}/events");
    let open = stream::iter(0..STREAMS).map(|_| async {
        let mut stream = rig.get(&replica, &path, &key).send().await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        stream.chunk().await.unwrap().unwrap();
        stream
    });
    let mut streams: Vec<_> = open.buffer_unordered(50).collect().await;
    // A tenth of them never reads again.
    let unread = streams.split_off(STREAMS - STREAMS / 10);
    assert_eq!(answer(rig.get(&replica, &format!("/v1/jobs/{id}"), &key)).await.status, StatusCode::OK);
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], json!({})).await;
    let ended = stream::iter(streams)
        .map(|stream| async { stream.text().await.unwrap().contains(r#""state":"completed""#) });
    let ended: Vec<bool> = ended.buffer_unordered(STREAMS).collect().await;
    assert_eq!(ended.iter().filter(|ended| **ended).count(), STREAMS - STREAMS / 10);
    drop(unread);
}

#[tokio::test]
async fn what_is_too_large_or_never_comes_is_not_waited_for() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let headers = rig.get(&replica, "/v1/jobs", &key).header("x-large", "x".repeat(1 << 20)).send().await;
    assert!(
        headers.is_err()
            || headers.is_ok_and(|answer| answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    );
    let bomb = rig
        .post(&replica, "/v1/jobs", &key)
        .header("content-encoding", "gzip")
        .body(vec![0x1f, 0x8b, 8, 0, 0, 0]);
    assert_eq!(answer(bomb).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    // A client that sends everything before it reads gets its answer, also of a body that is far larger than is read.
    for path in ["/v1/jobs", "/api/v2/jobs", "/prompt", "/v1/images/generations"] {
        let large = rig.post(&replica, path, &key).body(vec![b' '; 12 << 20]);
        assert_eq!(answer(large).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    let no_key = rig.post(&replica, "/v1/jobs", "ij_none").body(vec![b' '; 12 << 20]);
    assert_eq!(answer(no_key).await.status, StatusCode::UNAUTHORIZED);
    // A body that never goes on holds its own connection only, and not for ever.
    let begun = tokio::time::Instant::now();
    let never = stream::once(async { Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"{")) })
        .chain(stream::pending());
    let stuck =
        tokio::spawn(rig.post(&replica, "/v1/jobs", &key).body(reqwest::Body::wrap_stream(never)).send());
    assert_eq!(
        answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await.status,
        StatusCode::CREATED
    );
    let answered = tokio::time::timeout(Duration::from_secs(60), stuck).await.unwrap().unwrap();
    assert!(answered.is_err() || answered.is_ok_and(|answer| answer.status().is_client_error()));
    assert!(begun.elapsed() > Duration::from_secs(20));
}
