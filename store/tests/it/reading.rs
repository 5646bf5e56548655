//! Objects are read in pieces, in part, and by signed URLs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use store::{Error, Reading, Store};

use crate::{facts, open, output, server};

async fn all(mut reading: Reading) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(piece) = reading.next().await.expect("a piece") {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read.len() as u64, reading.length);
    read.freeze()
}

async fn stored(store: &Store) -> Bytes {
    let content: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    store.put_file("generated/a.png", content.clone(), &facts()).await.expect("stored");
    content
}

#[tokio::test]
async fn an_object_is_read_as_a_whole_and_in_part() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let content = stored(&store).await;
    let whole = store.read("generated/a.png", None).await.expect("found");
    assert_eq!((whole.size, whole.length, whole.media_type.as_str()), (3_000_000, 3_000_000, "image/png"));
    assert!(!whole.etag.is_empty() && !whole.etag.contains('"'));
    assert_eq!(all(whole).await, content);
    for (asked, from, to) in
        [(0..=0, 0, 1), (100..=199, 100, 200), (2_999_999..=u64::MAX >> 1, 2_999_999, 3_000_000)]
    {
        let part = store.read("generated/a.png", Some(asked)).await.expect("found");
        assert_eq!(part.size, 3_000_000);
        assert_eq!(all(part).await, content.slice(from..to));
    }
    let beyond =
        store.read("generated/a.png", Some(3_000_000..=3_000_001)).await.expect_err("beyond its end");
    assert!(matches!(beyond, Error::Range { .. }), "{beyond}");
    let missing = store.read("generated/b.png", None).await.expect_err("missing");
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn a_signed_url_needs_no_credentials_and_ends() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let content = stored(&store).await;
    let signed = store.presign("generated/a.png", Duration::from_secs(60)).await.expect("signed");
    let answer = reqwest::get(&signed).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.bytes().await.expect("a body")), (200, content));
    let unsigned = signed.split_once('?').expect("a query").0;
    assert_eq!(reqwest::get(unsigned).await.expect("an answer").status().as_u16(), 403);
    let too_long = store.presign("generated/a.png", Duration::from_secs(8 * 86_400)).await;
    assert!(too_long.is_err());
}
