use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::AsyncCommands;
use testkit::{
    Access, Clock, Persistence, Redis, RedisCluster, RedisOptions, RedisSentinel, Transport, wait_for,
};

type Result = anyhow::Result<()>;

async fn connect(url: &str) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_with_append_only() -> Result {
    let persistence = Persistence::AppendOnly;
    let mut server = Redis::start(RedisOptions { persistence, ..RedisOptions::default() }).await?;
    let () = connect(&server.url()).await?.set("key", 7).await?;
    server.kill9()?;
    assert!(connect(&server.url()).await.is_err());
    server.restart().await?;
    let value: u32 = connect(&server.url()).await?.get("key").await?;
    assert_eq!(value, 7);
    Ok(())
}

#[tokio::test]
async fn without_persistence_a_restart_loses_everything() -> Result {
    let mut server = Redis::start(RedisOptions::default()).await?;
    let () = connect(&server.url()).await?.set("key", 7).await?;
    server.restart().await?;
    let value: Option<u32> = connect(&server.url()).await?.get("key").await?;
    assert_eq!(value, None);
    Ok(())
}

#[tokio::test]
async fn with_its_disk_everything_is_lost() -> Result {
    let persistence = Persistence::AppendOnly;
    let mut server = Redis::start(RedisOptions { persistence, ..RedisOptions::default() }).await?;
    let () = connect(&server.url()).await?.set("key", 7).await?;
    server.lose().await?;
    let value: Option<u32> = connect(&server.url()).await?.get("key").await?;
    assert_eq!(value, None);
    Ok(())
}

#[tokio::test]
async fn its_clock_may_be_off_and_jump() -> Result {
    let clock = Clock::new()?;
    let server = Redis::start(RedisOptions { clock: Some(clock.clone()), ..RedisOptions::default() }).await?;
    for ahead in [0, -60_000, 20_000] {
        clock.set_ms(ahead)?;
        let mut connection = connect(&server.url()).await?;
        let (theirs, _): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
        let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let off = theirs - ours;
        assert!((off - ahead / 1000).abs() <= 5, "{off} s for {ahead} ms");
    }
    clock.stop_at_ms(1_000_500)?;
    let mut connection = connect(&server.url()).await?;
    for _ in 0..2 {
        let stopped: (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
        assert_eq!(stopped, (1000, 500_000));
    }
    Ok(())
}

#[tokio::test]
async fn at_the_memory_limit_writes_are_refused() -> Result {
    let max_memory = Some(2 * 1024 * 1024);
    let server = Redis::start(RedisOptions { max_memory, ..RedisOptions::default() }).await?;
    let mut connection = connect(&server.url()).await?;
    let refused = connection.set::<_, _, ()>("key", vec![0_u8; 4 * 1024 * 1024]).await;
    let refused = match refused {
        // Redis looks at the memory before a command, so the first big one may pass.
        Ok(()) => connection.set::<_, _, ()>("other", 1).await,
        refused => refused,
    };
    assert_eq!(refused.unwrap_err().code(), Some("OOM"));
    Ok(())
}

#[tokio::test]
async fn credentials_are_asked_for() -> Result {
    let user = Access::User { name: "worker".into(), password: "secret".into() };
    for access in [Access::Password("secret".into()), user] {
        let server = Redis::start(RedisOptions { access, ..RedisOptions::default() }).await?;
        let () = connect(&server.url()).await?.set("key", 7).await?;
        let anyone = format!("redis://127.0.0.1:{}/", server.port());
        let refused = connect(&anyone).await?.set::<_, _, ()>("key", 8).await;
        assert_eq!(refused.unwrap_err().code(), Some("NOAUTH"));
    }
    Ok(())
}

#[tokio::test]
async fn tls_is_trusted_by_the_tests_own_authority_only() -> Result {
    rustls::crypto::ring::default_provider().install_default().ok();
    let server = Redis::start(RedisOptions { transport: Transport::Tls, ..RedisOptions::default() }).await?;
    let authority =
        redis::TlsCertificates { client_tls: None, root_cert: Some(std::fs::read(server.ca_file())?) };
    let trusting = redis::Client::build_with_tls(server.url(), authority)?;
    let () = trusting.get_multiplexed_async_connection().await?.set("key", 7).await?;
    assert!(connect(&server.url()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_once_it_is_resumed() -> Result {
    let server = Redis::start(RedisOptions::default()).await?;
    let mut connection = connect(&server.url()).await?;
    server.pause()?;
    let answer = connection.set::<_, _, ()>("key", 7);
    assert!(tokio::time::timeout(Duration::from_millis(200), answer).await.is_err());
    server.resume()?;
    wait_for("the server to answer", Duration::from_secs(5), async || {
        connection.get::<_, u32>("key").await.ok()
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_serves_every_slot() -> Result {
    let cluster = RedisCluster::start(3).await?;
    let mut connection = redis::cluster::ClusterClient::new(cluster.urls())?.get_async_connection().await?;
    for key in 0..100 {
        let () = connection.set(key, key).await?;
    }
    for key in 0..100 {
        assert_eq!(connection.get::<_, u32>(key).await?, key);
    }
    Ok(())
}

#[tokio::test]
async fn a_sentinel_promotes_the_replica() -> Result {
    let mut system = RedisSentinel::start(RedisOptions::default()).await?;
    let mut sentinel = redis::sentinel::Sentinel::build(vec![system.url()])?;
    let before = sentinel.async_master_for(RedisSentinel::SERVICE, None).await?;
    assert_eq!(
        before.get_connection_info().addr().to_string(),
        format!("127.0.0.1:{}", system.primary.port())
    );
    system.primary.kill9()?;
    let replica = format!("127.0.0.1:{}", system.replica.port());
    wait_for("the replica to be promoted", Duration::from_secs(20), async || {
        let now = sentinel.async_master_for(RedisSentinel::SERVICE, None).await.ok()?;
        (now.get_connection_info().addr().to_string() == replica).then_some(())
    })
    .await
}
