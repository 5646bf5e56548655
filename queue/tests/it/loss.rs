//! What Redis has lost or does not take any more, and what goes on all the same.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use queue::{
    Enqueued, Epoch, Error, HEARTBEAT, Job, JobUid, LEASE, Options, Queue, Redis, Renewed, Results, Written,
};
use testkit::{Clock, Fault, Persistence, Proxy, RedisOptions, wait_for};

use crate::setup::{
    DEADLINE, Fixture, Worker, job, raw, settings, start, start_hasty, start_with, tasks, uid, worker,
};

/// Empties Redis; the operator tells the queue again what the pool's owner wants.
async fn wipe(q: &Fixture) -> Result<()> {
    let _: redis::Value = raw(&q.server, &redis::cmd("FLUSHALL")).await?;
    q.configure(&settings()).await?;
    Ok(())
}

async fn enqueue_again(q: &Fixture, jobs: impl IntoIterator<Item = Job>) -> Result<()> {
    for job in jobs {
        q.enqueue(&Job { recheck: true, ..job }).await?;
    }
    Ok(())
}

/// Nothing new can be queued, and the operator has to queue again what is queued already.
#[tokio::test]
async fn a_full_redis_that_restarts_lets_what_is_queued_run() -> Result<()> {
    let options = RedisOptions {
        max_memory: Some(4_000_000),
        persistence: Persistence::AppendOnly,
        ..RedisOptions::default()
    };
    let mut q = start_with(options, Options::default()).await?;
    let Epoch::Changed(run) = q.epoch().await? else { bail!("nobody has set it") };
    q.set_epoch(&run).await?;
    let big = |i: usize| Job { payload: vec![b' '; 20_000].into(), ..tasks(&format!("job {i}"), 2) };
    let mut queued = 0;
    while q.enqueue(&big(queued)).await.is_ok() {
        queued += 1;
    }
    let written = async || {
        let info: String = raw(&q.server, redis::cmd("INFO").arg("persistence")).await.ok()?;
        info.lines().any(|line| line == "aof_buffer_length:0").then_some(())
    };
    wait_for("all to be in Redis' file", DEADLINE, written).await?;
    q.server.restart().await?;
    let epoch = wait_for("Redis to be back", DEADLINE, async || q.epoch().await.ok()).await?;
    let Epoch::Changed(run) = epoch else { bail!("a restart may lose the last second") };
    // Where the file holds more than memory may: nothing is refused that has to be done now.
    q.configure(&settings()).await?;
    for i in 0..queued {
        assert_eq!(q.enqueue(&Job { recheck: true, ..big(i) }).await?, Enqueued::Known, "{i} of {queued}");
    }
    // A fresh process may have room for a few more.
    let error = loop {
        match q.enqueue(&big(queued)).await {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    q.set_epoch(&run).await?;
    assert_eq!(q.epoch().await?, Epoch::Same);
    q.reap().await?;
    let waiting: u64 = q.stats().await?.backlog.iter().map(|bucket| bucket.tasks).sum();
    assert_eq!(waiting, 2 * queued as u64);
    let mut results = Results::open(&q, "operator-0").await?;
    assert_eq!(q.drain("w").await?.len(), 2 * queued);
    assert!(!results.next(10, Duration::from_secs(5)).await?.is_empty());
    Ok(())
}

/// A worker that has a picture in its engine when Redis is wiped goes on with it, and it is its own again.
#[tokio::test]
async fn a_heartbeat_takes_over_what_a_wiped_redis_has_forgotten() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 3)).await?;
    let (first, second) = (q.must_claim("w").await?, q.must_claim("v").await?);
    wipe(&q).await?;
    assert_eq!(q.renew("w", &first).await?, Renewed::Unknown, "no reason to stop");
    enqueue_again(&q, [tasks("a", 3)]).await?;
    assert_eq!(q.renew("w", &first).await?, Renewed::Keep);
    assert_eq!(q.renew("v", &second).await?, Renewed::Keep);
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.running), (1, 2));
    assert_eq!(q.stats().await?.backlog.iter().map(|bucket| bucket.tasks).sum::<u64>(), 1);

    let other = q.must_claim("x").await?;
    assert_eq!(other.task.index, 2, "the claim passes by what is taken over");
    assert!(q.claim_one("x").await?.is_none());
    for (name, lease) in [("w", &first), ("v", &second), ("x", &other)] {
        assert_eq!(q.finish(name, lease).await?, Written::Accepted);
    }
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.finished, state.interruptions), (3, true, 0));
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

#[tokio::test]
async fn what_another_has_taken_meanwhile_is_not_taken_over() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    let lease = q.must_claim("w").await?;
    wipe(&q).await?;
    enqueue_again(&q, [tasks("a", 2)]).await?;
    let taken = q.must_claim("other").await?;
    assert_eq!(taken.task, lease.task);
    assert_eq!(q.renew("w", &lease).await?, Renewed::Lost);
    q.finish("other", &taken).await?;
    assert_eq!(q.renew("w", &lease).await?, Renewed::Lost, "nor what is done");
    assert_eq!(q.finish("w", &lease).await?, Written::Stale);
    assert_eq!(q.drain("other").await?, ["a/1"]);
    Ok(())
}

/// Only what may have been lost is taken over: without a loss a worker that comes late has lost its task.
#[tokio::test]
async fn nothing_is_taken_over_where_nothing_was_lost() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("late").await?;
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    assert_eq!(q.renew("late", &lease).await?, Renewed::Lost);
    assert_eq!(q.must_claim("other").await?.attempt, 2);
    Ok(())
}

#[tokio::test]
async fn what_was_taken_over_comes_back_when_its_worker_dies() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&Job { max_running: Some(1), ..tasks("a", 2) }).await?;
    let lease = q.must_claim("w").await?;
    wipe(&q).await?;
    enqueue_again(&q, [Job { max_running: Some(1), ..tasks("a", 2) }]).await?;
    assert_eq!(q.renew("w", &lease).await?, Renewed::Keep);
    assert!(q.claim_one("other").await?.is_none(), "its tenant runs as much as it may");
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    let mut made = q.drain("other").await?;
    made.sort();
    assert_eq!(made, ["a/0", "a/1"]);
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

/// Sent every three seconds, a heartbeat that hangs has to end soon enough for two more within a lease.
#[tokio::test]
async fn a_heartbeat_that_hangs_leaves_time_for_two_more() -> Result<()> {
    let q = start().await?;
    let mut proxy = Proxy::start(format!("127.0.0.1:{}", q.server.port())).await?;
    let far = Queue::new(Redis::connect(&format!("redis://{}/", proxy.address())).await?, "studio/sd15");
    q.enqueue(&job("a")).await?;
    let lease = far.must_claim("w").await?;
    assert_eq!(far.renew("w", &lease).await?, Renewed::Keep);
    proxy.set(Fault::Silent).await;
    let sent = Instant::now();
    far.renew("w", &lease).await.expect_err("no answer comes");
    let hung = sent.elapsed();
    assert!(HEARTBEAT + 2 * (hung + Duration::from_secs(1)) < LEASE, "{hung:?}");
    proxy.set(Fault::None).await;
    assert_eq!(far.renew("w", &lease).await?, Renewed::Keep, "over a connection that works");
    Ok(())
}

/// A Redis whose policy lets it evict keys at its memory limit: each job is either told to be lost or can be claimed.
#[tokio::test]
async fn after_an_eviction_the_sweep_tells_what_is_lost_and_heals_the_rest() -> Result<()> {
    let config = vec!["maxmemory-policy allkeys-random".to_owned()];
    let options = RedisOptions { max_memory: Some(4_000_000), config, ..RedisOptions::default() };
    let q = start_with(options, Options::default()).await?;
    let mut jobs = Vec::new();
    let evicted = async || {
        let info: String = raw(&q.server, redis::cmd("INFO").arg("stats")).await?;
        let line = info.lines().find_map(|line| line.strip_prefix("evicted_keys:"));
        anyhow::Ok(line.context("no such line")?.trim().parse::<u64>()?)
    };
    while evicted().await? < 60 {
        let n = jobs.len();
        let payload = vec![b' '; 2000].into();
        let (tenant, model) = (format!("t{}", n % 7), format!("m{}", n % 11));
        let new = Job { payload, tenant, model, ..tasks(&format!("job {n}"), 2) };
        // Its line may hold what is no more.
        let _ = q.enqueue(&new).await;
        jobs.push(new);
    }
    let raise = ["CONFIG", "SET", "maxmemory", "0"];
    q.server.command(&raise).await?;
    q.configure(&settings()).await?;

    // As an operator does: it looks through what the queue lists, and queues again what is lost or not listed.
    let mut found = 0;
    for _ in 0..SWEEPS {
        let sweep = sweep(&q).await?;
        let unlisted: Vec<&Job> = jobs.iter().filter(|job| !sweep.listed.contains(&job.uid)).collect();
        for job in &unlisted {
            q.enqueue(&Job { recheck: true, ..(*job).clone() }).await?;
        }
        let lost = sweep.lost + unlisted.len();
        found += lost;
        if lost + sweep.mended == 0 {
            break;
        }
    }
    assert!(found > 0, "60 keys were evicted");
    let made = q.drain("w").await?;
    let distinct: HashSet<_> = made.iter().collect();
    assert_eq!((made.len(), distinct.len()), (2 * jobs.len(), 2 * jobs.len()));
    Ok(())
}

/// More than enough: what one finds lost, the next finds queued again.
const SWEEPS: usize = 5;

struct Sweep {
    listed: HashSet<JobUid>,
    lost: usize,
    mended: usize,
}

async fn sweep(q: &Queue) -> Result<Sweep> {
    let mut sweep = Sweep { listed: HashSet::new(), lost: 0, mended: 0 };
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let page = q.jobs(at).await?;
        sweep.lost += page.lost.len();
        sweep.mended += usize::try_from(page.mended)?;
        sweep.listed.extend(page.jobs);
        cursor = page.next;
    }
    Ok(sweep)
}

/// Each key that claims go by, evicted alone.
#[tokio::test]
async fn a_job_of_which_one_key_is_evicted_is_healed_or_told() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 3)).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &queue::Release::Preempted).await?;
    let keys: Vec<String> = raw(&q.server, redis::cmd("KEYS").arg("*")).await?;
    let names: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix("ij2:{studio/sd15}:")).collect();
    for kind in ["line:", "lines:", "turns:", "limits:", "returned:", "job:"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "no {kind} in {names:?}");
    }
    let claimed_by = ["line:", "lines:", "turns:", "limits:", "returned:", "job:", "clock", "back:"];
    for kind in claimed_by {
        let q = start().await?;
        q.enqueue(&tasks("a", 3)).await?;
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &queue::Release::Preempted).await?;
        for key in keys.iter().filter(|key| key.contains(&format!(":{kind}"))) {
            let _: i64 = raw(&q.server, redis::cmd("DEL").arg(key)).await?;
        }
        let page = q.jobs(0).await?;
        if page.lost == [uid("a")] {
            enqueue_again(&q, [tasks("a", 3)]).await?;
        } else {
            assert_eq!(page.jobs, [uid("a")], "{kind}");
        }
        let mut made = q.drain("w").await?;
        made.sort();
        assert_eq!(made, ["a/0", "a/1", "a/2"], "without {kind}");
        assert_eq!(q.jobs(0).await?.mended, 0, "{kind}: once is enough");
        assert_eq!(q.evict(&worker("w")).await?, 0);
    }
    Ok(())
}

/// As after a failover to a replica whose clock is ahead or behind: no lease ends by it, and none lasts for as much longer.
#[tokio::test]
async fn a_clock_that_jumps_ends_no_lease_and_prolongs_none() -> Result<()> {
    const SHORT: Duration = Duration::from_secs(2);
    let clock = Clock::new()?;
    let options = RedisOptions { clock: Some(clock.clone()), ..RedisOptions::default() };
    let q = start_with(options, Options { lease: SHORT }).await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(q.reap().await?.expired, 0, "from now on it knows what time it should be");
    for ahead in [60_000, -60_000] {
        clock.set_ms(ahead)?;
        assert_eq!(q.reap().await?.expired, 0, "{ahead} ms");
        assert_eq!(q.renew("w", &lease).await?, Renewed::Keep, "{ahead} ms");
        assert_eq!(q.reap().await?.expired, 0, "{ahead} ms");
    }
    let silent = Instant::now();
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    assert!(silent.elapsed() < 4 * SHORT, "{:?}", silent.elapsed());
    assert_eq!(q.must_claim("other").await?.attempt, 2);
    Ok(())
}
