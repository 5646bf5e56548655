//! Files that are not held in memory: a source is opened anew for each try.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use store::{Content, Error, Pieces, Put};
use testkit::S3Fault;
use tokio::sync::mpsc;

use crate::{facts, open, output, server};

const PIECE: usize = 100_000;

/// A source of these pieces, then of this error; and how often it was opened.
fn source(length: u64, pieces: usize, error: Option<&'static str>) -> (Content, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open = move || -> Pieces {
        count.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..pieces {
                if sender.send(Ok(Bytes::from(vec![7; PIECE]))).await.is_err() {
                    return;
                }
            }
            if let Some(error) = error {
                let _ = sender.send(Err(error.into())).await;
            }
        });
        receiver
    };
    (Content::pieces(length, open), opened)
}

fn of(pieces: usize) -> (Content, Arc<AtomicUsize>) {
    source((pieces * PIECE) as u64, pieces, None)
}

#[tokio::test]
async fn a_file_is_stored_as_it_comes() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let put = store.put_file("k.mp4", of(30).0, &facts()).await.expect("stored");
    let found = store.head("k.mp4").await.expect("found");
    assert_eq!(put, Put::Created { etag: found.etag.clone() });
    assert_eq!((found.bytes, found.facts), ((30 * PIECE) as u64, Some(facts())));
    assert_eq!(store.get("k.mp4").await.expect("read"), vec![7; 30 * PIECE]);

    let late = store.put_file("k.mp4", of(2).0, &facts()).await.expect("answered");
    assert!(matches!(late, Put::Existed(found) if found.bytes == (30 * PIECE) as u64));
}

#[tokio::test]
async fn a_request_that_fails_is_sent_again_from_the_beginning() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    s3.fail_next([503]);
    let (content, opened) = of(3);
    store.put_file("k.mp4", content, &facts()).await.expect("stored");
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    assert_eq!(store.get("k.mp4").await.expect("read").len(), 3 * PIECE);
}

#[tokio::test]
async fn servers_without_checksums_or_conditions_take_it_too() {
    for fault in [S3Fault::RefuseChecksums, S3Fault::RefuseConditions, S3Fault::IgnoreConditions] {
        let s3 = server().await;
        s3.misbehave([fault]);
        let store = open(&s3, &output(&s3)).await;
        store.probe().await.expect("probed");
        store.put_file("k.mp4", of(3).0, &facts()).await.expect("stored");
        assert_eq!(store.get("k.mp4").await.expect("read").len(), 3 * PIECE, "{fault:?}");
    }
}

#[tokio::test]
async fn of_a_source_that_breaks_ends_early_or_goes_on_too_long_nothing_is_stored() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let length = (3 * PIECE) as u64;
    for content in
        [source(length, 2, Some("the engine is gone")), source(length, 2, None), source(length, 4, None)]
    {
        let error = store.put_file("k.mp4", content.0, &facts()).await.expect_err("not stored");
        assert!(error.is_retryable(), "{error}");
        let found = store.head("k.mp4").await;
        assert!(matches!(found, Err(Error::NotFound { .. })), "{found:?}");
    }
}
