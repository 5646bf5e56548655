//! Files that callers hand in, and jobs that start from them.

use bytes::Bytes;
use futures::stream;
use reqwest::{
    Body, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use testkit::{S3, S3Options};

use super::{created, made, picture, submit, until_status};
use crate::rig::{Answer, Replica, Rig, answer};

/// BLAKE3 of `hello`, from the reference implementation.
const HELLO: &str = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";
const UNKNOWN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

async fn open(rig: &Rig) -> S3 {
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |pool| pool["spec"]["inputs"] = json!({"maxBytes": 1_000_000})).await;
    s3
}

fn blake3(id: &str) -> String {
    format!("blake3:{id}")
}

/// A form as the SDKs send it.
fn form(hash: &str, file: Part) -> Form {
    let form = Form::new().text("content_type", "image/png").text("file_path", "grüße.png");
    form.text("expected_hash", hash.to_owned()).text("tags", "a").text("tags", "b").part("file", file)
}

async fn upload(rig: &Rig, replica: &Replica, key: &str, form: Form) -> Answer {
    answer(rig.post(replica, "/api/v2/assets", key).multipart(form)).await
}

/// Hands `hello` in.
async fn hello(rig: &Rig, replica: &Replica, key: &str) -> Answer {
    upload(rig, replica, key, form(&blake3(HELLO), Part::text("hello").file_name("photo"))).await
}

async fn is_there(replica: &Replica, key: &str, hash: &str) -> StatusCode {
    let url = format!("http://{}/api/v2/assets/by-hash/{hash}", replica.address);
    reqwest::Client::new().head(url).bearer_auth(key).send().await.unwrap().status()
}

fn asset(id: &str) -> Value {
    json!({"__type": "core/ASSET", "info": {"id": id, "hash": "blake3:00", "file_path": "photo.png"}})
}

fn told(answer: &Answer) -> (StatusCode, &str) {
    (answer.status, answer.json["error"]["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_file_is_an_asset_of_its_tenant_until_it_is_deleted() {
    let rig = Rig::start().await;
    let _s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let from_hash = async |key: &str, hash: &str| {
        let body = json!({"hash": hash, "file_path": "b.png", "tags": ["a"]});
        answer(rig.post(&replica, "/api/v2/assets/from-hash", key).json(&body)).await
    };
    assert_eq!(is_there(&replica, &key, &blake3(HELLO)).await, StatusCode::NOT_FOUND);
    let first = hello(&rig, &replica, &key).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let path = format!("/api/v2/assets/{HELLO}");
    let mut wanted = json!({
        "id": HELLO, "hash": blake3(HELLO), "size_bytes": 5, "content_type": "image/png", "file_path": "grüße.png",
        "created_new": true, "created_at": first.json["created_at"],
        "url": format!("https://images.example.com{path}/content"),
        "url_expires_at": "9000-01-01T00:00:00Z", "expires_at": null,
    });
    assert_eq!(first.json, wanted);

    // The same file again, and by its hash alone.
    wanted["created_new"] = json!(false);
    let again = hello(&rig, &replica, &key).await;
    wanted["created_at"] = again.json["created_at"].clone();
    assert_eq!((again.status, &again.json), (StatusCode::OK, &wanted));
    assert_eq!(is_there(&replica, &key, &blake3(HELLO)).await, StatusCode::OK);
    let by_hash = from_hash(&key, &blake3(HELLO)).await;
    assert_eq!((by_hash.status, &by_hash.json), (StatusCode::CREATED, &wanted));
    wanted.as_object_mut().unwrap().remove("created_new");
    assert_eq!(answer(rig.get(&replica, &path, &looks)).await.json, wanted);
    let part = rig.get(&replica, &format!("{path}/content"), &key).header("range", "bytes=1-3");
    let part = part.send().await.unwrap();
    assert_eq!(
        (part.status(), &part.headers()["content-type"]),
        (StatusCode::PARTIAL_CONTENT, &"image/png".parse().unwrap())
    );
    assert_eq!(part.text().await.unwrap(), "ell");

    // To anybody else it does not exist; neither does what nobody handed in.
    for (key, id) in [(&other, HELLO), (&key, UNKNOWN), (&key, "nonsense")] {
        assert_eq!(is_there(&replica, key, &blake3(id)).await, StatusCode::NOT_FOUND);
        assert_eq!(told(&from_hash(key, &blake3(id)).await), (StatusCode::NOT_FOUND, "blob_not_found"));
        for end in ["", "/content"] {
            let none = answer(rig.get(&replica, &format!("/api/v2/assets/{id}{end}"), key)).await;
            assert_eq!(told(&none), (StatusCode::NOT_FOUND, "not_found"), "{id}{end}");
        }
        let none = answer(rig.delete(&replica, &format!("/api/v2/assets/{id}"), key)).await;
        assert_eq!(told(&none), (StatusCode::NOT_FOUND, "not_found"));
    }
    assert_eq!(is_there(&replica, &key, HELLO).await, StatusCode::NOT_FOUND, "a hash says its kind");
    // A key that may only look changes nothing.
    for refused in [
        hello(&rig, &replica, &looks).await,
        from_hash(&looks, &blake3(HELLO)).await,
        answer(rig.delete(&replica, &path, &looks)).await,
    ] {
        assert_eq!(told(&refused), (StatusCode::FORBIDDEN, "forbidden"));
    }
    assert_eq!(answer(rig.delete(&replica, &path, &key)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(told(&answer(rig.get(&replica, &path, &key)).await), (StatusCode::NOT_FOUND, "not_found"));
    assert_eq!(hello(&rig, &replica, &key).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_file_that_is_another_than_it_is_said_to_be_or_is_cut_leaves_nothing() {
    let rig = Rig::start().await;
    let s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let text = |text: &'static str| Part::text(text);
    for (form, status, code) in [
        (form(&blake3(HELLO), text("hullo")), StatusCode::CONFLICT, "hash_mismatch"),
        (form(HELLO, text("hello")), StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
        (form("", text("hello")), StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
        (Form::new().text("file_path", "a.png"), StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
        (Form::new().part("file", text("")), StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
        (
            Form::new().text("file_path", "x".repeat(5000)).part("file", text("hello")),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
        ),
        (
            Form::new().part("file", Part::bytes(vec![7; 1_000_001])),
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
        ),
    ] {
        let refused = upload(&rig, &replica, &key, form).await;
        assert_eq!(told(&refused), (status, code), "{refused:?}");
    }
    let no_form = answer(rig.post(&replica, "/api/v2/assets", &key).body("hello")).await;
    assert_eq!(told(&no_form), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"));
    let pieces: [Result<Bytes, std::io::Error>; 2] =
        [Ok(Bytes::from_static(b"hello")), Err(std::io::Error::other("cut"))];
    let cut = form(&blake3(HELLO), Part::stream(Body::wrap_stream(stream::iter(pieces))));
    assert!(rig.post(&replica, "/api/v2/assets", &key).multipart(cut).send().await.is_err());
    assert_eq!(is_there(&replica, &key, &blake3(HELLO)).await, StatusCode::NOT_FOUND);
    assert!(!s3.requests().iter().any(|request| request.method == "PUT"), "something was stored");
    // A form that says nothing of its file but its name.
    let bare = Form::new().part("file", Part::bytes(vec![7; 1_000_000]).file_name("a.bin"));
    let bare = upload(&rig, &replica, &key, bare).await;
    assert_eq!(
        (bare.status, &bare.json["file_path"], &bare.json["content_type"]),
        (StatusCode::CREATED, &json!("a.bin"), &json!("application/octet-stream"))
    );
}

#[tokio::test]
async fn a_graph_names_assets_where_a_node_takes_a_file() {
    let rig = Rig::start().await;
    let s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let earlier = created(&rig, &replica, &key, &picture("a cat")).await;
    rig.say(&earlier, &[("Ready", "Completed"), ("Complete", "Completed")], made(&rig, &s3, &["a.png"]))
        .await;
    until_status(&rig, &replica, &key, &earlier, "succeeded").await;
    let output = format!("{earlier}_0_0");
    assert_eq!(hello(&rig, &replica, &key).await.status, StatusCode::CREATED);

    let load = |image: Value| json!({"class_type": "LoadImage", "inputs": {"image": image}});
    let body = json!({"workflow": {
        "1": load(asset(HELLO)),
        "2": load(asset(&output)),
        "3": {"class_type": "LoadImages", "inputs": {"images": [asset(HELLO)]}},
        // A file of the engine's own keeps its name.
        "4": load(json!("asset-1")),
    }});
    let id = created(&rig, &replica, &key, &body).await;
    let job = rig.jobs().get(&id).await.unwrap();
    let named = |file: bool| {
        let found = job.spec.inputs.iter().find(|input| input.from.s3.is_some() == file);
        found.unwrap()
    };
    assert_eq!(job.spec.inputs.len(), 2);
    let (uploaded, of_job) = (named(true), named(false));
    let key_of = uploaded.from.s3.as_ref().map(|object| object.key.as_str());
    assert_eq!(key_of, Some(format!("generated/uploads/acme/{HELLO}").as_str()));
    // SHA-256 of `hello`.
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(uploaded.sha256.as_deref(), Some(sha256));
    assert_eq!(json!(of_job.from.job), json!({"name": earlier, "index": 0, "output": 0}));
    let graph = json!(job.spec.work)["workflow"]["graph"].clone();
    for (value, wanted) in [
        (&graph["1"]["inputs"]["image"], uploaded.name.as_str()),
        (&graph["2"]["inputs"]["image"], of_job.name.as_str()),
        (&graph["3"]["inputs"]["images"][0], uploaded.name.as_str()),
        (&graph["4"]["inputs"]["image"], "asset-1"),
    ] {
        assert_eq!(value, wanted);
    }
    assert!(job.spec.inputs.iter().all(|input| input.name != "asset-1"));

    // What is unknown, somebody else's or no reference is told by node; a job is not created.
    let jobs = rig.how_many_jobs().await;
    let nodes = json!({"2": [{"field": "image", "reason": "there is no such asset"}]});
    for (key, first, second) in [
        (&key, json!("a.png"), asset(UNKNOWN)),
        (&key, asset(HELLO), asset(&format!("{earlier}_0_1"))),
        (&key, json!("a.png"), json!({"__type": "core/ASSET"})),
        (&key, json!("a.png"), json!({"__type": "core/ASSET", "info": {"id": 7}})),
        (&key, json!("a.png"), json!([{"__type": "core/ASSET", "info": "x"}])),
        (&other, json!("a.png"), asset(HELLO)),
        (&other, json!("a.png"), asset(&output)),
    ] {
        let body = json!({"workflow": {"1": load(first), "2": load(second)}});
        let refused = submit(&rig, &replica, key, &body).await;
        assert_eq!(told(&refused), (StatusCode::UNPROCESSABLE_ENTITY, "missing_asset"), "{refused:?}");
        assert_eq!(refused.json["error"]["details"]["node_errors"], nodes, "{body}");
    }
    let many: Value = (0..21).map(|n| (n.to_string(), load(asset(&format!("{n:064}"))))).collect();
    let refused = submit(&rig, &replica, &key, &json!({"workflow": many})).await;
    assert_eq!(told(&refused), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_workflow"), "{refused:?}");
    assert_eq!(rig.how_many_jobs().await, jobs);
}

#[tokio::test]
async fn while_the_bucket_is_away_a_job_with_an_asset_is_to_be_sent_again() {
    let rig = Rig::start().await;
    let mut s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    assert_eq!(hello(&rig, &replica, &key).await.status, StatusCode::CREATED);
    s3.stop();
    let body = json!({"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": asset(HELLO)}}}});
    let away = submit(&rig, &replica, &key, &body).await;
    assert_eq!(told(&away), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{away:?}");
    assert_eq!(away.header("retry-after"), Some("5"));
}
