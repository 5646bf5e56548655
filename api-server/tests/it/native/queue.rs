//! `/queue` and `/interrupt`.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::wait_for;

use super::{get, post, send};
use crate::rig::{PATIENCE, Rig, answer};

#[tokio::test]
async fn the_queue_is_the_keys_own_and_so_is_what_is_stopped() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.key(&["--tenant", "acme"]).await;
    let replica = rig.replica().await;
    let mut ids = vec![];
    for text in ["a", "b", "c", "d"] {
        ids.push(send(&rig, &replica, &key, "me", text).await);
    }
    let foreign = send(&rig, &replica, &other, "me", "a").await;
    for id in [&ids[0], &ids[1], &foreign] {
        rig.say(id, &[("Ready", "Running")], json!({})).await;
    }
    let queue = async |key: &str| {
        let queue = get(&rig, &replica, "/queue", key).await.json;
        let ids = |list: &str| {
            let items = queue[list].as_array().unwrap().iter();
            items.map(|item| item[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (ids("queue_running"), ids("queue_pending"))
    };
    wait_for("the queue", PATIENCE, async || {
        (queue(&key).await == (ids[..2].to_vec(), ids[2..].to_vec())).then_some(())
    })
    .await
    .unwrap();
    let item = get(&rig, &replica, "/queue", &key).await.json["queue_running"][0].clone();
    assert!(item[0].is_number() && item[2].is_object() && item[4].is_array());
    assert_eq!(item[3], json!({"client_id": "me"}));

    let stopped = async || {
        let mut stopped = vec![];
        for id in ids.iter().chain([&foreign]) {
            stopped.push(rig.jobs().get(id).await.unwrap().spec.cancel);
        }
        stopped
    };
    let sent = async |path: &str, key: &str, body: Value| {
        let answer = post(&rig, &replica, path, key, &body).await;
        assert_eq!((answer.status, answer.json), (StatusCode::OK, json!("")), "{path} {body}");
    };
    // What runs does not leave the queue, nor what is another key's.
    sent("/queue", &key, json!({"delete": [ids[0], ids[2], foreign, "unknown"]})).await;
    assert_eq!(stopped().await, [false, false, true, false, false]);
    sent("/interrupt", &other, json!({"prompt_id": ids[1]})).await;
    sent("/interrupt", &key, json!({"prompt_id": ids[1]})).await;
    assert_eq!(stopped().await, [false, true, true, false, false]);
    // An empty body stops all that runs.
    let all = answer(rig.post(&replica, "/interrupt", &key)).await;
    assert_eq!(all.status, StatusCode::OK);
    assert_eq!(stopped().await, [true, true, true, false, false]);
    sent("/api/queue", &key, json!({"clear": true})).await;
    assert_eq!(stopped().await, [true, true, true, true, false]);
    sent("/api/interrupt", &other, json!({})).await;
    assert_eq!(stopped().await, [true; 5]);
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    assert_eq!(post(&rig, &replica, "/interrupt", &looks, &json!({})).await.status, StatusCode::FORBIDDEN);
}
