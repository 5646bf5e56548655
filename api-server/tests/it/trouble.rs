//! What happens while parts are away, and when a replica is told to stop.

use std::time::Duration;

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
