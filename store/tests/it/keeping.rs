use bytes::Bytes;
use store::{Error, FileFacts, Put};
use testkit::{Reading, S3, S3Options};

use crate::{facts, open, output, picture, server};

#[tokio::test]
async fn an_image_found_later_tells_all_about_itself() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let key = store.output().file_key("7d3c", 0, 0, "png");

    let put = store.put_file(&key, picture(), &facts()).await.expect("stored");
    let found = store.head(&key).await.expect("found");

    assert_eq!(put, Put::Created { etag: found.etag.clone() });
    assert_eq!(found.facts, Some(facts()));
    assert_eq!(found.bytes, 14);
    assert!(!found.etag.is_empty() && !found.etag.contains('"'), "{}", found.etag);
    assert_eq!(store.get(&key).await.expect("read"), picture());
}

#[tokio::test]
async fn a_late_writer_does_not_change_what_is_there() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    store.put_file("k.png", picture(), &facts()).await.expect("stored");

    let late = store.put_file("k.png", Bytes::from_static(b"other"), &facts()).await.expect("answered");

    let Put::Existed(found) = late else { panic!("overwritten") };
    assert_eq!(found.facts, Some(facts()));
    assert_eq!(store.get("k.png").await.expect("read"), picture());
}

#[tokio::test]
async fn a_manifest_is_written_anew_each_time() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let key = store.output().manifest_key("7d3c");
    let (first, second) = (Bytes::from_static(b"{\"images\":[]}"), Bytes::from_static(b"{\"images\":[0]}"));

    store.put_json(&key, first).await.expect("written");
    store.put_json(&key, second.clone()).await.expect("written again");

    assert_eq!(key, "generated/7d3c/manifest.json");
    assert_eq!(store.get(&key).await.expect("read"), second);
}

#[tokio::test]
async fn an_image_is_served_as_one_that_may_be_cached_for_good() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let s3 =
        S3::start(S3Options { reading: Reading::Public, ..S3Options::default() }).await.expect("a server");
    let store = open(&s3, &output(&s3)).await;
    store.put_file("a b/ü.png", picture(), &facts()).await.expect("stored");

    let answer = reqwest::get(store.output().url("a b/ü.png")).await.expect("an answer");

    assert_eq!(answer.headers()["content-type"], "image/png");
    assert!(answer.headers()["cache-control"].to_str().expect("text").contains("immutable"));
    assert_eq!(answer.bytes().await.expect("a body"), picture());
}

#[tokio::test]
async fn deleting_twice_is_fine() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    store.put_file("k.png", picture(), &facts()).await.expect("stored");

    store.delete("k.png").await.expect("deleted");
    store.delete("k.png").await.expect("nothing to delete");

    assert!(matches!(store.head("k.png").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_could_run_scripts_is_saved_and_not_opened() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let s3 =
        S3::start(S3Options { reading: Reading::Public, ..S3Options::default() }).await.expect("a server");
    let store = open(&s3, &output(&s3)).await;
    let table = [
        ("image/svg+xml", Some("attachment")),
        ("text/html", Some("attachment")),
        ("application/xhtml+xml", Some("attachment")),
        ("image/png", None),
        ("video/mp4", None),
        ("text/plain; charset=utf-8", None),
        ("model/gltf+json", None),
    ];
    for (n, (media_type, disposition)) in table.into_iter().enumerate() {
        let key = format!("file-{n}");
        let facts = FileFacts { media_type: media_type.into(), ..facts() };
        store.put_file(&key, picture(), &facts).await.expect("stored");
        let answer = reqwest::get(store.output().url(&key)).await.expect("an answer");
        let told = answer.headers().get("content-disposition").and_then(|value| value.to_str().ok());
        assert_eq!((told, answer.headers()["content-type"].to_str().ok()), (disposition, Some(media_type)));
    }
}
