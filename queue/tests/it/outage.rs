//! Redis stopped, lost, full, failed over, clustered, encrypted.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use queue::{
    Beat, Bell, Claim, Enqueued, Epoch, Error, Job, Options, Order, Queue, Redis, Release, Results, Tls,
    Written,
};
use testkit::{Access, Persistence, RedisCluster, RedisOptions, RedisSentinel, Transport, wait_for};

use crate::setup::{
    DEADLINE, Worker, a_claim, failed, job, now_ms, raw, settings, start, start_hasty, start_with, tasks,
    uid, worker,
};

fn durable() -> RedisOptions {
    RedisOptions { persistence: Persistence::AppendOnly, ..RedisOptions::default() }
}

/// Redis may put off writing to its file while an earlier write is on its way to the disk.
async fn written_to_disk(server: &testkit::Redis) -> Result<()> {
    wait_for("Redis to write its file", DEADLINE, async || {
        let info: String = raw(server, redis::cmd("INFO").arg("persistence")).await.ok()?;
        info.contains("aof_buffer_length:0\r").then_some(())
    })
    .await
}

/// Faults 3 and 4: the worker tries again, and nothing runs a second time.
#[tokio::test]
async fn a_completion_survives_a_redis_that_is_down() -> Result<()> {
    let mut q = start_with(durable(), Options::default()).await?;
    q.enqueue(&tasks("a", 2)).await?;
    let lease = q.must_claim("w").await?;
    // What is written to the file survives the process, if not the machine.
    written_to_disk(&q.server).await?;
    q.server.kill9()?;
    let error = q.finish("w", &lease).await.expect_err("Redis is down");
    assert!(error.downcast_ref::<Error>().is_some_and(|error| matches!(error, Error::Redis(_))), "{error:?}");
    assert!(q.claim_one("w").await.is_err(), "an error is not an empty queue");
    q.server.restart().await?;
    let written = wait_for("the completion", DEADLINE, async || q.finish("w", &lease).await.ok()).await?;
    assert_eq!(written, Written::Accepted);
    assert_eq!(q.drain("w").await?, ["a/1"]);
    assert_eq!(q.state("a").await?.succeeded, 2);
    Ok(())
}

/// Fault 3, the other half: Redis had written it when the connection broke.
#[tokio::test]
async fn an_answer_that_is_lost_is_not_a_second_run() -> Result<()> {
    let q = start().await?;
    let mut proxy = testkit::Proxy::start(format!("127.0.0.1:{}", q.server.port())).await?;
    let far = Queue::new(Redis::connect(&format!("redis://{}/", proxy.address())).await?, "studio/sd15");
    q.enqueue(&job("a")).await?;
    let lease = far.must_claim("w").await?;
    proxy.set(testkit::Fault::Silent).await;
    let (lost, _) = tokio::join!(far.finish("w", &lease), async {
        wait_for("the write to arrive", DEADLINE, async || {
            (q.state("a").await.ok()?.succeeded == 1).then_some(())
        })
        .await
    });
    lost.expect_err("the answer is lost");
    proxy.set(testkit::Fault::None).await;
    let written = wait_for("Redis to answer", DEADLINE, async || far.finish("w", &lease).await.ok()).await?;
    assert_eq!(written, Written::Accepted);
    assert_eq!(q.state("a").await?.succeeded, 1);
    Ok(())
}

/// Fault 15.
#[tokio::test]
async fn the_epoch_tells_of_a_restart_and_of_a_flush() -> Result<()> {
    let mut q = start_with(durable(), Options::default()).await?;
    let Epoch::Changed(first) = q.epoch().await? else { panic!("a new Redis can't be known") };
    q.set_epoch(&first).await?;
    assert_eq!(q.epoch().await?, Epoch::Same);
    q.enqueue(&tasks("a", 2)).await?;
    let held = q.must_claim("w").await?;

    written_to_disk(&q.server).await?;
    q.server.restart().await?;
    let epoch = wait_for("Redis to be back", DEADLINE, async || q.epoch().await.ok()).await?;
    let Epoch::Changed(second) = epoch else { panic!("a restart may lose the last second") };
    assert_ne!(first, second);
    // With the append-only file all is there.
    assert_eq!(q.enqueue(&Job { recheck: true, ..tasks("a", 2) }).await?, Enqueued::Known);
    q.set_epoch(&second).await?;
    assert_eq!(q.finish("w", &held).await?, Written::Accepted);
    assert!(q.must_claim("w").await?.recheck);

    let _: redis::Value = raw(&q.server, &redis::cmd("FLUSHALL")).await?;
    assert_eq!(q.epoch().await?, Epoch::Changed(second));
    assert_eq!(q.finish("w", &held).await?, Written::Stale);
    assert_eq!(q.enqueue(&Job { recheck: true, ..tasks("a", 2) }).await?, Enqueued::New);
    assert_eq!(q.finish("w", &held).await?, Written::Accepted, "it is made, and nobody else has it");
    assert_eq!(q.state("a").await?.succeeded, 1);
    Ok(())
}

/// Fault 18.
#[tokio::test]
async fn a_full_redis_refuses_jobs_and_lets_work_go_on() -> Result<()> {
    let full = RedisOptions { max_memory: Some(4_000_000), ..RedisOptions::default() };
    let q = start_with(full, Options::default()).await?;
    let big = |i: usize| Job { payload: vec![b' '; 20_000].into(), ..tasks(&format!("job {i}"), 2) };
    let mut queued = 0;
    let error = loop {
        match q.enqueue(&big(queued)).await {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    assert!(queued > 10);
    q.beat(&worker("w"), &Beat::default()).await?;
    q.reap().await?;
    let first = q.must_claim("w").await?;
    q.give_back("w", &first, &failed(0)).await?;
    assert_eq!(q.drain("w").await?.len(), 2 * queued);
    assert!(matches!(q.enqueue(&big(queued)).await, Err(Error::Full(_))));
    for i in 0..queued {
        assert!(q.forget(&uid(&format!("job {i}"))).await?);
    }
    assert_eq!(q.enqueue(&big(queued)).await?, Enqueued::New);
    Ok(())
}

/// Fault 17: every operation, with names that would move keys to other slots if they became keys.
#[tokio::test]
async fn every_operation_works_in_a_cluster() -> Result<()> {
    let cluster = RedisCluster::start(3).await?;
    let hosts: Vec<_> = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let redis = Redis::connect(&format!("redis-cluster://{}", hosts.join(","))).await?;
    for pool in ["studio/a", "studio/b", "studio/c", "studio/d"] {
        let options = Options { lease: crate::setup::SHORT_LEASE };
        every_operation(&Queue::with_options(redis.clone(), pool, options)).await.context(pool)?;
    }
    let mut slots = Vec::new();
    for node in &cluster.nodes {
        let keys: i64 = raw(node, &redis::cmd("DBSIZE")).await?;
        slots.push(keys > 0);
    }
    assert!(slots.iter().filter(|used| **used).count() >= 2, "all pools on one node prove little");
    Ok(())
}

async fn every_operation(q: &Queue) -> Result<()> {
    q.configure(&settings()).await?;
    let Epoch::Changed(run) = q.epoch().await? else { bail!("nobody has set it") };
    q.set_epoch(&run).await?;
    assert_eq!(q.epoch().await?, Epoch::Same);
    let mut results = Results::open(q, "operator-0").await?;
    let mut bell = Bell::open(q, &worker("w")).await?;
    let odd = |name: &str| Job {
        tenant: "{other}".into(),
        model: "{x}{y}".into(),
        max_running: Some(9),
        retries: 0,
        ..tasks(name, 6)
    };
    q.enqueue(&odd("a")).await?;
    q.enqueue(&Job { suspended: true, ..odd("b") }).await?;
    assert!(bell.wait(Duration::from_secs(5)).await?.is_some());
    q.resume(&uid("b"), now_ms()).await?;
    q.suspend(&uid("b")).await?;
    let claim = Claim { loaded: Some("other".into()), max: 5, capacity: "all".into(), ..a_claim("w") };
    let leases = q.claim(&claim).await?;
    assert_eq!(leases.len(), 5);
    q.finish("w", &leases[0]).await?;
    q.renew("w", &leases[1]).await?;
    q.give_back("w", &leases[1], &Release::Preempted).await?;
    q.give_back("w", &leases[2], &failed(0)).await?;
    assert_eq!(q.dead_letters(0, 9).await?.len(), 1);
    assert_eq!(q.redrive(&uid("a")).await?, 1);
    assert_eq!(q.evict(&worker("w")).await?, 2);
    let lease = q.must_claim("v").await?;
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    assert_eq!(q.must_claim("v").await?.task, lease.task);
    q.order(&worker("u"), Order::Hold).await?;
    q.try_retire(&worker("u")).await?;
    assert_eq!(q.stats().await?.leases.len(), 1);
    assert_eq!(q.outcomes(&uid("a"), 0, 9).await?.len(), 1);
    let events = results.next(99, Duration::from_secs(5)).await?;
    assert!(!events.is_empty());
    results.ack(events.iter().map(|event| event.id.as_str())).await?;
    assert_eq!(q.jobs(0).await?.jobs.len(), 2);
    q.cancel(&uid("a")).await?;
    assert!(q.forget(&uid("a")).await? && q.forget(&uid("b")).await?);
    Ok(())
}

#[tokio::test]
async fn tls_with_an_authority_and_a_user_of_ones_own() -> Result<()> {
    // Once per process, as in a program's main.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let access = Access::User { name: "worker".into(), password: "s3cret".into() };
    let options = RedisOptions { access, transport: Transport::Tls, ..RedisOptions::default() };
    let server = testkit::Redis::start(options).await?;
    let ca = Some(std::fs::read(server.ca_file())?);
    let redis = Redis::connect_with(&server.url(), Tls { ca: ca.clone(), client: None }).await?;
    let options = Options { lease: crate::setup::SHORT_LEASE };
    every_operation(&Queue::with_options(redis, "studio/sd15", options)).await?;

    let unknown_authority = Redis::connect(&server.url()).await;
    assert!(matches!(unknown_authority, Err(Error::Redis(_))), "{unknown_authority:?}");
    let wrong = server.url().replace("s3cret", "guess");
    let error = Redis::connect_with(&wrong, Tls { ca, client: None }).await.expect_err("a wrong password");
    assert!(!error.to_string().contains("guess"), "{error}");
    Ok(())
}

/// The permissions that docs/queue.md says are enough.
#[tokio::test]
async fn a_user_with_few_permissions_can_do_all() -> Result<()> {
    let config = vec!["user limited on >pw ~ij2:* &ij2:* +@all -@dangerous +info".to_owned()];
    let server = testkit::Redis::start(RedisOptions { config, ..RedisOptions::default() }).await?;
    let redis = Redis::connect(&format!("redis://limited:pw@127.0.0.1:{}/", server.port())).await?;
    let options = Options { lease: crate::setup::SHORT_LEASE };
    every_operation(&Queue::with_options(redis, "studio/sd15", options)).await
}

/// Fault 16: what the operator enqueues again after a failover, and what workers write, adds up to all.
#[tokio::test]
async fn a_failover_to_a_lagging_replica_loses_nothing() -> Result<()> {
    let mut sentinel = RedisSentinel::start(RedisOptions::default()).await?;
    let at = sentinel.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let url = format!("redis-sentinel://{at}/{}", RedisSentinel::SERVICE);
    let q = Queue::new(Redis::connect(&url).await?, "studio/sd15");
    q.configure(&settings()).await?;
    let Epoch::Changed(run) = q.epoch().await? else { panic!("nobody has set it") };
    q.set_epoch(&run).await?;
    q.enqueue(&job("replicated")).await?;
    wait_for("the replica to have it", DEADLINE, async || {
        let known: i64 = raw(&sentinel.replica, redis::cmd("EXISTS").arg("ij2:{studio/sd15}:job:replicated"))
            .await
            .ok()?;
        (known == 1).then_some(())
    })
    .await?;
    sentinel.replica.pause()?;
    q.enqueue(&job("never replicated")).await?;
    sentinel.primary.kill9()?;
    sentinel.replica.resume()?;

    let epoch = wait_for("the failover", DEADLINE, async || q.epoch().await.ok()).await?;
    let Epoch::Changed(run) = epoch else { panic!("another server is another epoch") };
    wait_for("the rebuild", DEADLINE, async || {
        for name in ["replicated", "never replicated"] {
            q.enqueue(&Job { recheck: true, ..job(name) }).await.ok()?;
        }
        q.set_epoch(&run).await.ok()
    })
    .await?;
    let mut made = q.drain("w").await?;
    made.sort();
    assert_eq!(made, ["never replicated/0", "replicated/0"]);
    Ok(())
}

#[tokio::test]
async fn the_bell_and_the_results_come_back_with_redis() -> Result<()> {
    let mut q = start_with(durable(), Options::default()).await?;
    let mut bell = Bell::open(&q, &worker("w")).await?;
    let mut results = Results::open(&q, "operator-0").await?;
    q.server.restart().await?;
    wait_for("the bell to ring for what was missed", DEADLINE, async || {
        bell.wait(Duration::from_millis(50)).await.ok().flatten()
    })
    .await?;
    wait_for("Redis to be back", DEADLINE, async || q.enqueue(&job("a")).await.ok()).await?;
    assert!(bell.wait(Duration::from_secs(5)).await?.is_some());
    q.must_claim("w").await?;
    let events = wait_for("the event", DEADLINE, async || {
        results.next(9, Duration::from_millis(50)).await.ok().filter(|events| !events.is_empty())
    })
    .await?;
    assert_eq!(events[0].job, uid("a"));
    Ok(())
}

/// Scripts are forgotten by a restart, or by somebody's SCRIPT FLUSH.
#[tokio::test]
async fn scripts_are_sent_again_when_redis_has_forgotten_them() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let _: redis::Value = raw(&q.server, redis::cmd("SCRIPT").arg("FLUSH")).await?;
    assert_eq!(q.drain("w").await?, ["a/0"]);
    Ok(())
}
