//! Lists of jobs.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use super::{created, picture};
use crate::rig::{PATIENCE, Rig, answer};

fn ids(page: &Value) -> Vec<String> {
    page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_goes_from_the_newest_on_in_parts_and_by_labels() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let mut made = vec![];
    for n in 0..5 {
        let mut body = picture("a cat");
        body["metadata"] = json!({"parity": if n % 2 == 0 { "even" } else { "odd" }, "a b&c": "ü"});
        made.push(created(&rig, &replica, &key, &body).await);
    }
    let list =
        async |query: &[(&str, &str)]| answer(rig.get(&replica, "/api/v2/jobs", &key).query(query)).await;
    wait_for("all to be listed", PATIENCE, async || (ids(&list(&[]).await.json).len() == 5).then_some(()))
        .await
        .unwrap();
    let (mut seen, mut cursors): (Vec<String>, Vec<String>) = (vec![], vec![]);
    let mut last_time = String::from("9999");
    loop {
        let mut query = vec![("limit", "2")];
        if let Some(cursor) = cursors.last() {
            query.push(("cursor", cursor));
        }
        let page = list(&query).await.json;
        for job in page["jobs"].as_array().unwrap() {
            let time = job["create_time"].as_str().unwrap().to_owned();
            assert!(time <= last_time, "the newest comes first");
            last_time = time;
        }
        seen.extend(ids(&page));
        let Some(next) = page.get("next_cursor") else { break };
        let next = next.as_str().unwrap().to_owned();
        assert!(!cursors.contains(&next));
        cursors.push(next);
    }
    assert_eq!(seen.len(), 5);
    assert!(made.iter().all(|id| seen.contains(id)));

    let first = &list(&[("limit", "1"), ("metadata[parity]", "even")]).await.json["jobs"][0];
    assert_eq!(
        (&first["status"], &first["metadata"], &first["update_time"]),
        (&json!("queued"), &json!({"parity": "even", "a b&c": "ü"}), &first["create_time"])
    );
    for (query, found) in [
        (vec![("metadata[parity]", "even")], 3),
        (vec![("metadata[parity]", "even"), ("metadata[a b&c]", "ü")], 3),
        (vec![("metadata[parity]", "even"), ("metadata[a b&c]", "u")], 0),
        (vec![("metadata[none]", "")], 0),
    ] {
        assert_eq!(ids(&list(&query).await.json).len(), found, "{query:?}");
    }
    for (query, code) in [
        (("cursor", "x"), "invalid_cursor"),
        (("limit", "many"), "invalid_request"),
        (("metadata[", "x"), "invalid_metadata_filter"),
    ] {
        let refused = list(&[query]).await;
        assert_eq!(
            (refused.status, &refused.json["error"]["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)),
            "{query:?}"
        );
    }
}

#[tokio::test]
async fn below_a_pools_path_the_pools_jobs_are_listed() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    rig.pool("sdxl", &s3, |pool| pool["spec"]["default"] = json!(false)).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let base = |pool: &str| format!("/pools/{}/{pool}/api/v2/jobs", rig.studio);
    let created = answer(rig.post(&replica, &base("sdxl"), &key).json(&picture("a cat"))).await;
    let id = created.json["id"].as_str().unwrap().to_owned();
    let list = async |path: &str| ids(&answer(rig.get(&replica, path, &key)).await.json);
    wait_for("it to be listed", PATIENCE, async || (list("/api/v2/jobs").await.len() == 1).then_some(()))
        .await
        .unwrap();
    assert_eq!(list(&base("sdxl")).await, [id.as_str()]);
    assert!(list(&base("sd15")).await.is_empty());
    // Where the operator put it counts more than what it asked for.
    let output = rig.output("sd15", &s3);
    rig.say(&id, &[("Ready", "Waiting")], output).await;
    wait_for("it to have moved", PATIENCE, async || {
        (list(&base("sd15")).await == [id.as_str()]).then_some(())
    })
    .await
    .unwrap();
}
