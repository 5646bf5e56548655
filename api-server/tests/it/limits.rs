//! How much a tenant may ask for.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Fault, wait_for};

use crate::rig::{Answer, PATIENCE, Replica, Rig, answer, picture};

async fn submit(rig: &Rig, replica: &Replica, key: &str, count: u32) -> Answer {
    let mut body = picture("a cat");
    body["count"] = json!(count);
    answer(rig.post(replica, "/v1/jobs", key).json(&body)).await
}

#[track_caller]
fn is_over(refused: &Answer, limit: &str) {
    assert_eq!(
        (refused.status, &refused.json["violated-policies"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!([limit])),
        "{refused:?}"
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31 * 86_400).contains(&seconds), "{seconds}");
    assert!(refused.json["detail"].as_str().unwrap().contains(limit), "{refused:?}");
}

#[tokio::test]
async fn replicas_count_a_tenants_requests_together() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"limits": {"requestsPerSecond": 1}})).await;
    let other = rig.tenant_with_key("other", json!({"limits": {"requestsPerSecond": 1}})).await;
    let replicas = [rig.replica().await, rig.replica().await];
    let first = submit(&rig, &replicas[0], &key, 1).await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"requests\";q=10;w=10"));
    assert!(first.header("ratelimit").unwrap().starts_with("\"requests\";r=9;t="), "{first:?}");
    let mut refused = vec![];
    for n in 0..20 {
        let answer = submit(&rig, &replicas[n % 2], &key, 1).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused.push(answer);
        }
    }
    assert!(refused.len() >= 5, "{} of 20 were refused", refused.len());
    refused.iter().for_each(|refused| is_over(refused, "requestsPerSecond"));
    // Reads go on, and other tenants.
    let id = first.json["id"].as_str().unwrap();
    assert_eq!(answer(rig.get(&replicas[0], &format!("/v1/jobs/{id}"), &key)).await.status, StatusCode::OK);
    assert_eq!(submit(&rig, &replicas[0], &other, 1).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn images_of_a_day_and_unfinished_jobs_are_limited() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"limits": {"imagesPerDay": 10, "unfinishedJobs": 2}})).await;
    let replica = rig.replica().await;
    let first = submit(&rig, &replica, &key, 6).await;
    assert_eq!(first.status, StatusCode::CREATED);
    is_over(&submit(&rig, &replica, &key, 5).await, "imagesPerDay");
    // What is refused for another reason is not counted.
    let mut wrong = picture("a cat");
    wrong["count"] = json!(4);
    wrong["work"]["textToImage"]["width"] = json!(9);
    let refused = answer(rig.post(&replica, "/v1/jobs", &key).json(&wrong)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    assert_eq!(submit(&rig, &replica, &key, 4).await.status, StatusCode::CREATED);
    wait_for("two jobs to be seen", PATIENCE, async || {
        (answer(rig.get(&replica, "/v1/jobs", &key)).await.json["jobs"].as_array()?.len() == 2).then_some(())
    })
    .await
    .unwrap();
    is_over(&submit(&rig, &replica, &key, 1).await, "unfinishedJobs");
    rig.say(
        first.json["id"].as_str().unwrap(),
        &[("Ready", "Completed"), ("Complete", "Completed")],
        json!({}),
    )
    .await;
    wait_for("the day's limit to be the next", PATIENCE, async || {
        let refused = submit(&rig, &replica, &key, 1).await;
        (refused.json["violated-policies"] == json!(["imagesPerDay"])).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn money_that_is_spent_ends_submissions_and_is_told_by_day_and_key() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({"limits": {"amountPerDay": "0.05"}})).await;
    let replicas = [rig.replica().await, rig.replica().await];
    let first = submit(&rig, &replicas[0], &key, 2).await;
    let id = first.json["id"].as_str().unwrap();
    let cost = |amount: &str| json!({"cost": {"gpuSeconds": "9", "amount": amount, "onDemandAmount": amount, "savingPercent": 0, "currency": "USD"}});
    rig.say(id, &[("Ready", "Running")], cost("0.03")).await;
    let usage = async || answer(rig.get(&replicas[1], "/v1/usage", &key)).await.json;
    let today = |usage: &Value| usage["days"].as_array().unwrap().last().unwrap().clone();
    wait_for("the cost to be counted", PATIENCE, async || {
        (today(&usage().await)["all"]["amount"] == "0.03").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(submit(&rig, &replicas[1], &key, 1).await.status, StatusCode::CREATED);
    rig.say(id, &[("Ready", "Completed"), ("Complete", "Completed")], cost("0.05")).await;
    wait_for("the money to be spent", PATIENCE, async || {
        (submit(&rig, &replicas[1], &key, 1).await.status == StatusCode::TOO_MANY_REQUESTS).then_some(())
    })
    .await
    .unwrap();
    is_over(&submit(&rig, &replicas[0], &key, 1).await, "amountPerDay");
    let told = usage().await;
    let all = &today(&told)["all"];
    assert_eq!(all["amount"], "0.05", "{told}");
    assert_eq!(told["days"].as_array().unwrap().len(), 7);
    let keys = today(&told)["keys"].clone();
    assert_eq!(keys.as_object().unwrap().len(), 1);
    assert_eq!(keys.as_object().unwrap().values().next().unwrap(), all);

    // Redis loses everything: what was spent is counted again, from the jobs.
    rig.redis.command(&["FLUSHALL"]).await.unwrap();
    let fresh = rig.replica().await;
    wait_for("the cost to be counted again", PATIENCE, async || {
        (submit(&rig, &fresh, &key, 1).await.status == StatusCode::TOO_MANY_REQUESTS).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn while_redis_is_away_rates_hold_and_money_waits() {
    let mut rig = Rig::start().await;
    let rated = rig.tenant_with_key("rated", json!({"limits": {"requestsPerSecond": 1}})).await;
    let paying = rig.tenant_with_key("paying", json!({"limits": {"amountPerMonth": "5"}})).await;
    let free = rig.tenant_with_key("free", json!({})).await;
    let replica = rig.replica().await;
    rig.redis_proxy.set(Fault::Refuse).await;
    assert_eq!(submit(&rig, &replica, &free, 1).await.status, StatusCode::CREATED);
    let unknown = submit(&rig, &replica, &paying, 1).await;
    assert_eq!(
        (unknown.status, &unknown.json["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
    let mut refused = 0;
    for _ in 0..20 {
        match submit(&rig, &replica, &rated, 1).await.status {
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            status => assert_eq!(status, StatusCode::CREATED),
        }
    }
    assert!(refused >= 5, "{refused} of 20 were refused");
    rig.redis_proxy.set(Fault::None).await;
    wait_for("money to be known again", PATIENCE, async || {
        (submit(&rig, &replica, &paying, 1).await.status == StatusCode::CREATED).then_some(())
    })
    .await
    .unwrap();
}
