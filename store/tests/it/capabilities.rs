//! Servers that differ from S3.

use bytes::Bytes;
use store::{Capabilities, Conditions, Error, Put, Store};
use testkit::{S3, S3Fault};

use crate::{facts, open, output, picture, server};

async fn probed(fault: S3Fault) -> (S3, Store, Capabilities) {
    let s3 = server().await;
    s3.misbehave([fault]);
    let store = open(&s3, &output(&s3)).await;
    let capabilities = store.probe().await.expect("it takes pictures");
    (s3, store, capabilities)
}

fn puts(s3: &S3) -> usize {
    s3.requests().iter().filter(|request| request.method == "PUT").count()
}

#[tokio::test]
async fn a_server_that_is_as_it_should_be_is_found_to_be_so() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    for puts_so_far in [2, 3] {
        assert_eq!(store.probe().await.expect("it takes pictures"), Capabilities::default());
        assert_eq!(puts(&s3), puts_so_far, "from the second time on the object is there");
    }
    assert_eq!(store.get("generated/.probe").await.expect("written"), Bytes::from_static(b"ok"));
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_found_out_and_nothing_is_overwritten() {
    let (s3, store, capabilities) = probed(S3Fault::IgnoreConditions).await;
    assert_eq!(capabilities, Capabilities { conditions: Conditions::Ignored, checksums: true });
    assert!(matches!(store.put_file("k.png", picture(), &facts()).await, Ok(Put::Created { .. })));

    let other = Bytes::from_static(b"a picture of a worker that comes late");
    let late = store.clone().put_file("k.png", other, &facts()).await.expect("answered");

    assert!(matches!(late, Put::Existed(_)), "{late:?}");
    assert_eq!(store.get("k.png").await.expect("read"), picture());
    drop(s3);
}

#[tokio::test]
async fn a_server_without_conditions_is_sent_each_picture_once() {
    let (s3, store, capabilities) = probed(S3Fault::RefuseConditions).await;
    assert_eq!(capabilities.conditions, Conditions::Unsupported);
    let before = puts(&s3);
    for key in ["a.png", "b.png"] {
        assert!(matches!(store.put_file(key, picture(), &facts()).await, Ok(Put::Created { .. })));
    }
    assert_eq!(puts(&s3) - before, 2);
    assert!(matches!(store.put_file("a.png", picture(), &facts()).await, Ok(Put::Existed(_))));
}

#[tokio::test]
async fn a_server_that_refuses_checksums_gets_none() {
    let (_s3, store, capabilities) = probed(S3Fault::RefuseChecksums).await;
    assert_eq!(capabilities, Capabilities { conditions: Conditions::Kept, checksums: false });
    assert!(matches!(store.put_file("k.png", picture(), &facts()).await, Ok(Put::Created { .. })));
    assert_eq!(store.get("k.png").await.expect("read"), picture());
    store.put_json("list.json", Bytes::from_static(b"[]")).await.expect("written");
}

#[tokio::test]
async fn a_bucket_that_may_be_read_and_not_written_does_not_pass() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.misbehave([S3Fault::RefusePuts(403)]);
    store.check().await.expect("it answers");
    let error = store.probe().await.expect_err("refused");
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    s3.misbehave([]);
    store.probe().await.expect("it takes pictures again");
}

#[tokio::test]
async fn a_server_that_refuses_everything_says_why() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.misbehave([S3Fault::RefusePuts(400)]);
    let error = store.probe().await.expect_err("refused");
    assert!(matches!(&error, Error::Unexpected { cause, .. } if cause.contains("400")), "{error}");
}
