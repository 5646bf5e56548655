//! The store against a real S3 protocol server that checks signatures.
#![allow(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod capabilities;
mod keeping;
mod latents;
mod reading;
mod setup;
mod streaming;
mod trouble;

use bytes::Bytes;
use store::{FileFacts, Keys, Output, Store};
use testkit::{S3, S3Options};

async fn server() -> S3 {
    S3::start(S3Options::default()).await.expect("an S3 server")
}

fn output(s3: &S3) -> Output {
    Output {
        endpoint: Some(s3.endpoint()),
        path_style: true,
        key_prefix: "generated/".into(),
        ..Output::new("images")
    }
}

async fn open(s3: &S3, output: &Output) -> Store {
    let keys = Keys {
        access_key_id: s3.options().access_key.clone(),
        secret_access_key: s3.options().secret_key.clone(),
        session_token: None,
    };
    Store::open_with_keys(output, keys).await.expect("a store")
}

fn picture() -> Bytes {
    Bytes::from_static(b"\x89PNG and so on")
}

fn facts() -> FileFacts {
    FileFacts {
        node: "57:9".into(),
        name: "Maß_00001.png".into(),
        media_type: "image/png".into(),
        width: Some(512),
        height: Some(768),
        duration_ms: None,
        sha256: "ab".repeat(32),
        seed: Some(u64::MAX),
        gpu_ms: 1234,
        attempt: 2,
        capacity: "spot".into(),
        worker: "sd15-7x2kd".into(),
        extensions: vec!["png".into(), "webm".into()],
        labels: "campaign=spring".into(),
    }
}
