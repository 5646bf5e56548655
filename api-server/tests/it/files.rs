//! Files that jobs made, from a private bucket.

use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};
use store::{FileFacts, Keys, Output, Store};
use testkit::{S3, S3Options, wait_for};

use crate::rig::{PATIENCE, Replica, Rig, answer, picture};

const SHA: &str = "a3f1c0de00000000000000000000000000000000000000000000000000000000";

/// Puts a file into the bucket, as a worker does.
pub(crate) async fn put(s3: &S3, key: &str, content: &Bytes) {
    let keys = Keys {
        access_key_id: s3.options().access_key.clone(),
        secret_access_key: s3.options().secret_key.clone(),
        session_token: None,
    };
    let output = Output { endpoint: Some(s3.endpoint()), path_style: true, ..Output::new("images") };
    let facts = FileFacts {
        node: "9".into(),
        name: "cat_00000.png".into(),
        media_type: "image/png".into(),
        width: None,
        height: None,
        duration_ms: None,
        sha256: SHA.into(),
        seed: None,
        gpu_ms: 1,
        attempt: 1,
        capacity: "spot".into(),
        worker: "w".into(),
        extensions: vec!["png".into()],
        labels: String::new(),
    };
    let store = Box::pin(Store::open_with_keys(&output, keys)).await.unwrap();
    store.put_file(key, content.clone(), &facts).await.unwrap();
}

/// A finished job with one file in the bucket; returns the path of its results.
async fn finished(rig: &Rig, replica: &Replica, key: &str, s3: &S3, content: &Bytes) -> String {
    rig.pool("sd15", s3, |_| ()).await;
    let created = answer(rig.post(replica, "/v1/jobs", key).json(&picture("a cat"))).await.json;
    let id = created["id"].as_str().unwrap();
    put(s3, "generated/a.png", content).await;
    let file = json!({"node": "9", "name": "Kätzchen\"1.png", "mediaType": "image/png", "bytes": content.len(), "sha256": SHA,
        "key": "generated/a.png", "url": "https://cdn.example.com/generated/a.png"});
    let result = json!({"index": 0, "outputs": [file], "gpuSeconds": "1", "capacity": "Spot", "amount": "0.01", "attempts": 1});
    let mut status = rig.output("sd15", s3);
    status["results"] = json!([result]);
    rig.say(id, &[("Ready", "Completed"), ("Complete", "Completed")], status).await;
    let path = format!("/v1/jobs/{id}");
    wait_for("its end", PATIENCE, async || {
        (answer(rig.get(replica, &path, key)).await.json["state"] == "completed").then_some(())
    })
    .await
    .unwrap();
    format!("{path}/results")
}

#[tokio::test]
async fn a_file_of_a_private_bucket_is_streamed_whole_in_part_and_not_again() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let content: Bytes = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let results = finished(&rig, &replica, &key, &s3, &content).await;
    let path = format!("{results}/0/0");
    let get = || rig.get(&replica, &path, &key);

    let whole = get().send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-length", "1000000"),
        ("etag", &format!("\"{SHA}\"")),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("content-disposition", "inline; filename=\"K_tzchen_1.png\""),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(whole.headers()[name], value, "{name}");
    }
    assert_eq!(whole.bytes().await.unwrap(), content);

    let part = get().header("range", "bytes=-10").send().await.unwrap();
    assert_eq!(
        (part.status(), part.headers()["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, "bytes 999990-999999/1000000")
    );
    assert_eq!(part.bytes().await.unwrap(), content.slice(999_990..));
    let beyond = get().header("range", "bytes=1000000-").send().await.unwrap();
    assert_eq!(
        (beyond.status(), beyond.headers()["content-range"].to_str().unwrap()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */1000000")
    );
    let other_version =
        get().header("range", "bytes=0-9").header("if-range", "\"other\"").send().await.unwrap();
    assert_eq!(other_version.status(), StatusCode::OK);
    let known = get().header("if-none-match", format!("\"x\", \"{SHA}\"")).send().await.unwrap();
    assert_eq!((known.status(), known.bytes().await.unwrap().len()), (StatusCode::NOT_MODIFIED, 0));

    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let sent_on = plain
        .get(format!("http://{}{path}?redirect=true", replica.address))
        .bearer_auth(&key)
        .send()
        .await
        .unwrap();
    assert_eq!(sent_on.status(), StatusCode::FOUND);
    let signed = sent_on.headers()["location"].to_str().unwrap();
    assert_eq!(reqwest::get(signed).await.unwrap().bytes().await.unwrap(), content);

    for missing in ["/1/0", "/0/1", "/0/x"] {
        let status = answer(rig.get(&replica, &format!("{results}{missing}"), &key)).await.status;
        assert!(status.is_client_error(), "{missing}: {status}");
    }
    let other = rig.tenant_with_key("other", json!({})).await;
    assert_eq!(answer(rig.get(&replica, &path, &other)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_bucket_that_is_away_or_has_lost_the_file_is_said() {
    let rig = Rig::start().await;
    let mut s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let path = format!("{}/0/0", finished(&rig, &replica, &key, &s3, &Bytes::from_static(b"cat")).await);
    let get = async || answer(rig.get(&replica, &path, &key)).await;
    assert_eq!(get().await.json, Value::from("cat"));
    std::fs::remove_file(s3.object_file("images", "generated/a.png")).unwrap();
    assert_eq!(get().await.status, StatusCode::NOT_FOUND);
    s3.stop();
    let away = get().await;
    assert_eq!((away.status, away.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
}
