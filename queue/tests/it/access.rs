//! A user of its own for each pool.

use anyhow::Result;
use queue::{Beat, Queue, Redis, access};
use testkit::{RedisOptions, wait_for};

use crate::setup::{DEADLINE, Worker, job, settings, tasks, uid, worker};

async fn refused(redis: &Redis, words: &[&str], port: u16, user: &str) -> Result<()> {
    let client = redis::Client::open(format!("redis://{user}:pw@127.0.0.1:{port}/"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
    let code = answer.as_ref().err().and_then(redis::RedisError::code);
    assert_eq!(code, Some("NOPERM"), "{words:?}: {answer:?}");
    redis.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_pools_user_does_its_workers_work_and_sees_nothing_of_others() -> Result<()> {
    let server = testkit::Redis::start(RedisOptions::default()).await?;
    let operator = Redis::connect(&server.url()).await?;
    for pool in ["studio/a", "studio/b"] {
        let queue = Queue::new(operator.clone(), pool);
        queue.configure(&settings()).await?;
        queue.enqueue(&tasks("a", 3)).await?;
    }
    access::grant(&operator, "studio/a", &["old", "pw"]).await?;
    let user = access::user_of("studio/a");
    let url = format!("redis://{user}:pw@127.0.0.1:{}/", server.port());
    let redis = Redis::connect(&url).await?;
    let mine = Queue::new(redis.clone(), "studio/a");
    let mut bell = queue::Bell::open(&mine, &worker("w")).await?;
    let lease = mine.must_claim("w").await?;
    mine.beat(&worker("w"), &Beat::default()).await?;
    mine.renew("w", &lease).await?;
    mine.finish("w", &lease).await?;
    let lease = mine.must_claim("w").await?;
    mine.give_back("w", &lease, &queue::Release::Preempted).await?;
    assert_eq!(mine.outcomes(&uid("a"), 0, 9).await?.len(), 1);
    let _: Option<queue::Ring> = bell.wait(std::time::Duration::from_millis(1)).await?;

    let others = Queue::new(redis.clone(), "studio/b");
    assert!(others.claim_one("w").await.is_err());
    assert!(others.job(&uid("a")).await.is_err());
    assert!(others.enqueue(&job("forged")).await.is_err());
    assert!(queue::Bell::open(&others, &worker("w")).await.is_err());
    for words in [
        &["FLUSHALL"][..],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["RANDOMKEY"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["SCRIPT", "FLUSH"],
        &["FUNCTION", "FLUSH"],
        &["CLIENT", "LIST"],
        &["MONITOR"],
        &["GET", "ij2:{studio/b}:epoch"],
    ] {
        refused(&redis, words, server.port(), &user).await?;
    }

    // Another password, and none of the old ones.
    access::grant(&operator, "studio/a", &["new"]).await?;
    assert!(Redis::connect(&url).await.is_err());
    Redis::connect(&url.replace(":pw@", ":new@")).await?;
    access::revoke(&operator, "studio/a").await?;
    wait_for("the user to be gone", DEADLINE, async || {
        Redis::connect(&url.replace(":pw@", ":new@")).await.is_err().then_some(())
    })
    .await?;
    Ok(())
}
