use std::time::{Duration, Instant};

use store::{Error, Keys, Output, Put, Store};
use testkit::{Fault, Proxy};

use crate::{facts, open, output, picture, server};

#[tokio::test]
async fn a_bucket_that_answers_passes_the_check() {
    let s3 = server().await;
    open(&s3, &output(&s3)).await.check().await.expect("well");
    assert!(s3.requests().iter().all(|request| request.method != "PUT"), "a check writes nothing");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_and_name_the_place() {
    let s3 = server().await;
    let keys = Keys {
        access_key_id: s3.options().access_key.clone(),
        secret_access_key: "wrong".into(),
        session_token: None,
    };
    let store = Store::open_with_keys(&output(&s3), keys).await.expect("a store");

    for error in [
        store.check().await.expect_err("refused"),
        store.put_file("k.png", picture(), &facts()).await.expect_err("refused"),
    ] {
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        assert!(!error.is_retryable());
        let words = error.to_string();
        for word in ["images", &s3.endpoint(), "SignatureDoesNotMatch", "check the credentials"] {
            assert!(words.contains(word), "{word} is missing in: {words}");
        }
    }
}

#[tokio::test]
async fn a_missing_bucket_is_not_a_missing_object() {
    let s3 = server().await;
    let store = open(&s3, &Output { bucket: "nowhere".into(), ..output(&s3) }).await;

    let error = store.check().await.expect_err("no bucket");

    assert!(matches!(error, Error::NoSuchBucket { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_worth_another_try() {
    let mut s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.stop();

    let error = store.put_file("k.png", picture(), &facts()).await.expect_err("down");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&s3.endpoint()), "{error}");

    s3.restart().await.expect("up again");
    assert!(matches!(store.put_file("k.png", picture(), &facts()).await, Ok(Put::Created { .. })));
}

#[tokio::test]
async fn a_server_that_is_slow_is_given_up_in_time() {
    let s3 = server().await;
    let mut proxy = Proxy::start(s3.address().to_string()).await.expect("a proxy");
    proxy.set(Fault::Silent).await;
    let slow = Output {
        endpoint: Some(format!("http://{}", proxy.address())),
        request_timeout: Duration::from_millis(200),
        ..output(&s3)
    };
    let store = open(&s3, &slow).await;

    let started = Instant::now();
    let error = store.head("k.png").await.expect_err("too slow");

    assert!(error.is_retryable(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_in_trouble_is_worth_another_try() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    for status in [500, 503, 429] {
        s3.fail_next([status, status]);
        let error = store.put_file("k.png", picture(), &facts()).await.expect_err("in trouble");
        assert!(error.is_retryable(), "{status}: {error}");
    }
}

#[tokio::test]
async fn one_dropped_request_goes_unnoticed() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.fail_next([503]);
    assert!(matches!(store.put_file("k.png", picture(), &facts()).await, Ok(Put::Created { .. })));
}

#[tokio::test]
async fn a_server_without_conditional_writes_gets_plain_ones() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.fail_next([501]);
    assert!(matches!(store.put_file("k.png", picture(), &facts()).await, Ok(Put::Created { .. })));
    assert_eq!(store.get("k.png").await.expect("read"), picture());
}
