//! Files that users hand in.

use bytes::Bytes;
use futures::stream;
use reqwest::{
    Body, StatusCode,
    multipart::{Form, Part},
};
use serde_json::json;
use testkit::{S3, S3Options};

use crate::rig::{Answer, Rig, answer, picture};

/// BLAKE3 of `hello`, from the reference implementation.
const HELLO: &str = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";

async fn open(rig: &Rig) -> S3 {
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |pool| pool["spec"]["inputs"] = json!({"maxBytes": 1_000_000})).await;
    s3
}

#[tokio::test]
async fn a_file_is_kept_once_and_a_job_starts_from_it() {
    let rig = Rig::start().await;
    let _s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let part = Part::text("hello").file_name("grüße.txt").mime_str("text/plain").unwrap();
    let form = Form::new().text("purpose", "input").part("file", part);
    let uploaded = answer(rig.post(&replica, "/v1/files", &key).multipart(form)).await;
    assert_eq!((uploaded.status, &uploaded.json["id"]), (StatusCode::CREATED, &json!(HELLO)), "{uploaded:?}");
    for (field, value) in
        [("name", json!("grüße.txt")), ("mediaType", json!("text/plain")), ("bytes", json!(5))]
    {
        assert_eq!(uploaded.json[field], value, "{field}");
    }
    // The same again is the same file, also as the body itself.
    let again = answer(
        rig.post(&replica, "/v1/files?name=other.txt", &key)
            .header("content-type", "text/html")
            .body("hello"),
    )
    .await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &uploaded.json));
    let path = format!("/v1/files/{HELLO}");
    assert_eq!(answer(rig.get(&replica, &path, &key)).await.json, uploaded.json);
    let content = rig
        .get(&replica, &format!("{path}/content"), &key)
        .header("range", "bytes=1-3")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (content.status(), content.text().await.unwrap().as_str()),
        (StatusCode::PARTIAL_CONTENT, "ell")
    );

    let mut body = picture("a cat");
    body["inputs"] = json!([{"name": "photo", "from": {"file": HELLO}}]);
    let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let job = rig.jobs().get(created.json["id"].as_str().unwrap()).await.unwrap();
    let input = &job.spec.inputs[0];
    assert_eq!(input.from.s3.as_ref().unwrap().key, format!("generated/uploads/acme/{HELLO}"));
    assert_eq!(input.sha256.as_ref(), uploaded.json["sha256"].as_str().map(str::to_owned).as_ref());

    // To anybody else it does not exist.
    for path in [path.clone(), format!("{path}/content"), "/v1/files/nonsense".to_owned()] {
        assert_eq!(answer(rig.get(&replica, &path, &other)).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(answer(rig.delete(&replica, &path, &other)).await.status, StatusCode::NOT_FOUND);
    let stolen = answer(rig.post(&replica, "/v1/jobs", &other).json(&body)).await;
    assert_eq!(stolen.json["errors"][0]["pointer"], "/inputs/0/from/file", "{stolen:?}");
    assert_eq!(answer(rig.delete(&replica, &path, &key)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(answer(rig.get(&replica, &path, &key)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_that_is_too_large_empty_or_cut_leaves_nothing() {
    let rig = Rig::start().await;
    let s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let post = |body: Body| rig.post(&replica, "/v1/files", &key).body(body);
    let too_large = answer(post(vec![7; 1_000_001].into())).await;
    assert_eq!(
        (too_large.status, &too_large.json["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("too-large"))
    );
    assert_eq!(answer(post(Body::from(""))).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let no_file = answer(rig.post(&replica, "/v1/files", &key).multipart(Form::new().text("a", "b"))).await;
    assert_eq!(no_file.status, StatusCode::UNPROCESSABLE_ENTITY);
    let pieces: [Result<Bytes, std::io::Error>; 2] =
        [Ok(Bytes::from_static(b"half of it")), Err(std::io::Error::other("cut"))];
    assert!(post(Body::wrap_stream(stream::iter(pieces))).send().await.is_err());
    assert!(!s3.requests().iter().any(|request| request.method == "PUT"), "something was stored");
    assert_eq!(answer(post(vec![7; 1_000_000].into())).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_same_file_many_times_at_once_is_one() {
    let rig = Rig::start().await;
    let _s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let content = Bytes::from(vec![9; 500_000]);
    let uploads = (0..20).map(|_| answer(rig.post(&replica, "/v1/files", &key).body(content.clone())));
    let answers: Vec<Answer> = futures::future::join_all(uploads).await;
    assert!(answers.iter().all(|answer| answer.json["id"] == answers[0].json["id"]));
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
    assert!(answers.iter().all(|answer| answer.status.is_success()));
}
