//! What workers tell of their engines.

use std::sync::Arc;

use anyhow::Result;
use queue::{EngineFacts, EngineSeen, EnginesRead, ModelFile, Options, Queue};
use testkit::{Clock, RedisOptions};

use crate::setup::{now_ms, start, start_with};

fn facts(digest: &str) -> EngineFacts {
    let model = ModelFile { folder: "checkpoints".into(), name: "xl.safetensors".into(), bytes: Some(7) };
    EngineFacts {
        digest: digest.into(),
        version: "0.33.0".into(),
        template: "2.a.b".into(),
        key: None,
        models: vec![model],
    }
}

async fn engines(queue: &Queue) -> Result<Vec<EngineSeen>> {
    let mut read = EnginesRead::default();
    queue.engines(&mut read).await?;
    Ok(read.engines)
}

#[tokio::test]
async fn definitions_are_asked_for_until_they_are_there() -> Result<()> {
    let q = start().await?;
    assert!(engines(&q).await?.is_empty());
    assert!(!q.publish_engine(&facts("sha256:a"), None).await?, "it has no definitions yet");
    assert_eq!(q.definitions("sha256:a").await?, None);
    let definitions = [0x1f, 0x8b, 0, 255];
    assert!(q.publish_engine(&facts("sha256:a"), Some(&definitions)).await?);
    assert!(q.publish_engine(&facts("sha256:a"), None).await?, "once is enough");
    assert_eq!(q.definitions("sha256:a").await?.as_deref(), Some(definitions.as_slice()));
    let seen = engines(&q).await?;
    assert_eq!(seen.iter().map(|seen| &seen.facts).collect::<Vec<_>>(), [&Arc::new(facts("sha256:a"))]);
    assert!(seen[0].seen_ms <= seen[0].now_ms);
    Ok(())
}

#[tokio::test]
async fn the_last_eight_engines_are_remembered_the_last_one_told_of_first() -> Result<()> {
    let clock = Clock::new()?;
    let options = RedisOptions { clock: Some(clock.clone()), ..RedisOptions::default() };
    let q = start_with(options, Options::default()).await?;
    let began = now_ms();
    for n in 0..9_u64 {
        clock.stop_at_ms((began + n).cast_signed())?;
        q.publish_engine(&facts(&format!("sha256:{n}")), Some(b"x")).await?;
    }
    let seen = engines(&q).await?;
    let digests: Vec<&str> = seen.iter().map(|seen| seen.facts.digest.as_str()).collect();
    let eight = ["8", "7", "6", "5", "4", "3", "2", "1"].map(|n| format!("sha256:{n}"));
    assert_eq!(digests, eight);
    assert_eq!(q.definitions("sha256:0").await?, None, "nobody has it any more");
    assert_eq!((seen[0].seen_ms, seen[1].seen_ms), (began + 8, began + 7));
    Ok(())
}

#[tokio::test]
async fn what_is_known_of_engines_goes_with_the_queue() -> Result<()> {
    let q = start().await?;
    q.publish_engine(&facts("sha256:a"), Some(b"x")).await?;
    q.delete_all().await?;
    assert!(engines(&q).await?.is_empty());
    assert_eq!(q.definitions("sha256:a").await?, None);
    Ok(())
}

/// The operator reads it every few seconds.
#[tokio::test]
async fn only_what_has_changed_is_read_again() -> Result<()> {
    let q = start().await?;
    let mut read = EnginesRead::default();
    q.publish_engine(&facts("sha256:a"), Some(b"x")).await?;
    q.engines(&mut read).await?;
    let first = read.engines[0].clone();

    q.publish_engine(&facts("sha256:a"), None).await?;
    q.engines(&mut read).await?;
    assert!(Arc::ptr_eq(&read.engines[0].facts, &first.facts), "told again, it is the same");
    assert!(read.engines[0].now_ms >= first.now_ms && read.engines[0].seen_ms >= first.seen_ms);

    let stored = EngineFacts { key: Some("engines/a".into()), ..facts("sha256:a") };
    q.publish_engine(&stored, None).await?;
    q.publish_engine(&facts("sha256:b"), Some(b"x")).await?;
    q.engines(&mut read).await?;
    let (a, b) = (EngineFacts::clone(&read.engines[1].facts), EngineFacts::clone(&read.engines[0].facts));
    assert_eq!((a, b), (stored.clone(), facts("sha256:b")));

    q.delete_all().await?;
    q.publish_engine(&stored, None).await?;
    q.engines(&mut read).await?;
    assert_eq!(read.engines.len(), 1, "a queue that lost all is read anew");
    Ok(())
}
