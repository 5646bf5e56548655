//! Files of jobs, as assets.

use bytes::Bytes;
use reqwest::{RequestBuilder, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use testkit::{S3, S3Options};

use super::{created, made, picture, until_status};
use crate::{
    files::put,
    rig::{Replica, Rig, answer},
};

/// A finished job with one file in the bucket; returns the path of its asset.
async fn finished(
    rig: &Rig,
    replica: &Replica,
    key: &str,
    s3: &S3,
    content: &Bytes,
    public_url: Option<&str>,
) -> String {
    rig.pool("sd15", s3, |_| ()).await;
    let id = created(rig, replica, key, &picture("a cat")).await;
    put(s3, "generated/a.png", content).await;
    let mut status = made(rig, s3, &["a.png"]);
    status["results"][0]["outputs"][0]["bytes"] = json!(content.len());
    if let Some(public_url) = public_url {
        status["output"]["publicURL"] = json!(public_url);
    }
    status["completionTime"] = json!("2026-01-01T00:00:09Z");
    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], status).await;
    until_status(rig, replica, key, &id, "succeeded").await;
    format!("/api/v2/assets/{id}_0_0")
}

#[tokio::test]
async fn a_file_is_an_asset_that_is_fetched_from_the_bucket_where_the_key_stays_behind() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let content: Bytes = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let path = finished(&rig, &replica, &key, &s3, &content, None).await;
    let asset = answer(rig.get(&replica, &path, &key)).await.json;
    let id = path.rsplit_once('/').unwrap().1;
    let job = id.split('_').next().unwrap();
    assert_eq!(
        asset,
        json!({
            "id": id, "hash": null, "size_bytes": 100_000, "content_type": "image/png", "file_path": "a.png",
            "created_at": "2026-01-01T00:00:09Z",
            "url": format!("https://images.example.com{path}/content"),
            "url_expires_at": "2026-01-08T00:00:09Z", "expires_at": "2026-01-08T00:00:09Z", "job_id": job,
        })
    );

    let plain = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let url = format!("http://{}{path}/content", replica.address);
    let sent_on = plain.get(&url).bearer_auth(&key).send().await.unwrap();
    assert_eq!(sent_on.status(), StatusCode::FOUND);
    let location = sent_on.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&s3.endpoint()), "{location}");
    assert_eq!(reqwest::get(location).await.unwrap().bytes().await.unwrap(), content);
    // The SDKs follow, and their range goes along.
    let part = rig.get(&replica, &format!("{path}/content"), &key).header("range", "bytes=0-4");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status(), part.bytes().await.unwrap()),
        (StatusCode::PARTIAL_CONTENT, content.slice(0..5))
    );

    // Whoever would pass the key on gets the bytes here; so does who asks for nothing but the headers.
    let with_api_key = |request: RequestBuilder| request.header("x-api-key", &key);
    let whole = with_api_key(plain.get(&url)).send().await.unwrap();
    assert_eq!(
        (whole.status(), &whole.headers()["content-type"]),
        (StatusCode::OK, &"image/png".parse().unwrap())
    );
    assert_eq!(whole.bytes().await.unwrap(), content);
    let part = with_api_key(plain.get(&url)).header("range", "bytes=-10").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 99990-99999/100000");
    let both = with_api_key(plain.get(&url)).bearer_auth(&key).send().await.unwrap();
    assert_eq!(both.status(), StatusCode::OK);
    let head = plain.head(&url).bearer_auth(&key).send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"100000".parse().unwrap())
    );
}

#[tokio::test]
async fn from_a_bucket_that_callers_do_not_reach_bytes_come_through_the_api() {
    let rig = Rig::start().await;
    let mut s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let content = Bytes::from_static(b"cat");
    let path = finished(&rig, &replica, &key, &s3, &content, Some("https://cdn.example.com")).await;
    let get = async |path: &str| answer(rig.get(&replica, path, &key)).await;
    let here = get(&format!("{path}/content")).await;
    assert_eq!((here.status, here.json), (StatusCode::OK, Value::from("cat")));
    let job = path.strip_suffix("_0_0").unwrap();
    for unknown in ["", "_0_1", "_1_0", "_0", "_0_00", "_0_0_0"] {
        for end in ["", "/content"] {
            let none = get(&format!("{job}{unknown}{end}")).await;
            assert_eq!(
                (none.status, &none.json["error"]["code"]),
                (StatusCode::NOT_FOUND, &json!("not_found"))
            );
        }
    }
    let deleted = answer(rig.delete(&replica, &path, &key)).await;
    assert_eq!(deleted.status, StatusCode::NOT_IMPLEMENTED, "{deleted:?}");
    s3.stop();
    let away = get(&format!("{path}/content")).await;
    assert_eq!(
        (away.status, &away.json["error"]["code"], away.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("upstream_error"), Some("5"))
    );
}
