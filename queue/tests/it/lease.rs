//! Leases: who holds a task, for how long, and what becomes of it when its worker goes away.

use anyhow::Result;
use queue::{Enqueued, JobState, Release, Renewed, Written};
use testkit::wait_for;

use crate::setup::{DEADLINE, Worker, failed, image_of, job, raw, start, start_hasty, tasks, uid};

#[tokio::test]
async fn a_task_goes_from_enqueue_to_outcome() -> Result<()> {
    let q = start().await?;
    assert_eq!(q.enqueue(&tasks("a", 2)).await?, Enqueued::New);
    assert_eq!(q.state("a").await?, JobState { waiting: 2, ..JobState::default() });

    let lease = q.must_claim("w").await?;
    assert_eq!((lease.task.index, lease.attempt, lease.recheck), (0, 1, false));
    assert_eq!(
        (lease.tenant.as_str(), lease.class.as_str(), lease.model.as_str()),
        ("acme", "standard", "sd15")
    );
    assert_eq!(lease.payload, Some(job("a").payload));
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.running, state.started_ms.is_some()), (1, 1, true));

    assert_eq!(q.renew("w", &lease).await?, Renewed::Keep);
    assert_eq!(q.finish("w", &lease).await?, Written::Accepted);
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.running, state.succeeded), (1, 0, 1));
    let outcomes = q.outcomes(&uid("a"), 0, u32::MAX).await?;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].result.as_ref().ok(), Some(&image_of("w", &lease.task)));

    assert!(q.forget(&uid("a")).await?);
    assert_eq!(q.job(&uid("a")).await?, None);
    assert!(q.claim_one("w").await?.is_none());
    Ok(())
}

/// A worker that dies without a word, while others go on (faults 1 and 2).
#[tokio::test]
async fn a_dead_workers_task_goes_first_and_is_made_once() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let dead = q.must_claim("dead").await?;
    q.enqueue(&job("b")).await?;

    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt, again.recheck), (&dead.task, 2, true));
    q.finish("other", &again).await?;
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.interruptions, state.retries), (1, 1, 0));
    assert_eq!(q.outcomes(&uid("a"), 0, 9).await?[0].attempts, 2);
    Ok(())
}

/// Fault 5.
#[tokio::test]
async fn a_new_worker_takes_nothing_that_is_held() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    q.must_claim("first").await?;
    assert!(q.claim_one("second").await?.is_none());
    assert_eq!(q.reap().await?.expired, 0);
    assert!(q.claim_one("second").await?.is_none());
    Ok(())
}

/// Fault 6: and its late answer must not undo what the next worker does.
#[tokio::test]
async fn a_worker_paused_past_its_lease_is_refused() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let paused = q.must_claim("paused").await?;
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    assert_eq!(q.finish("paused", &paused).await?, Written::Stale);
    let again = q.must_claim("other").await?;
    assert_eq!(q.renew("paused", &paused).await?, Renewed::Lost);
    assert_eq!(q.finish("paused", &paused).await?, Written::Stale);
    assert_eq!(q.give_back("paused", &paused, &Release::Preempted).await?, Written::Stale);
    assert_eq!(q.state("a").await?.running, 1);
    assert_eq!(q.finish("other", &again).await?, Written::Accepted);
    assert_eq!(q.finish("paused", &paused).await?, Written::Stale);
    assert_eq!(q.outcomes(&uid("a"), 0, 9).await?[0].attempts, 2);
    Ok(())
}

#[tokio::test]
async fn heartbeats_keep_a_lease_alive() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    // Long past the end it had when it was claimed.
    wait_for("the first lease to be over", DEADLINE, async || {
        assert_eq!(q.renew("w", &lease).await.ok()?, Renewed::Keep);
        assert_eq!(q.reap().await.ok()?.expired, 0);
        (q.stats().await.ok()?.now_ms > lease.expires_ms + 500).then_some(())
    })
    .await?;
    assert_eq!(q.finish("w", &lease).await?, Written::Accepted);
    Ok(())
}

/// Fault 7.
#[tokio::test]
async fn an_active_task_without_a_lease_is_found_in_one_sweep() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 3)).await?;
    let lost = q.must_claim("w").await?;
    let kept = q.must_claim("w").await?;
    let mut delete = redis::cmd("ZREM");
    delete.arg("ij2:{studio/sd15}:leases").arg(format!("{}@w", lost.task));
    assert_eq!(raw::<i64>(&q.server, &delete).await?, 1);
    let report = q.reap().await?;
    assert_eq!((report.missing, report.expired), (1, 0));
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt), (&lost.task, 2));
    assert_eq!(q.finish("w", &kept).await?, Written::Accepted);
    assert_eq!(q.reap().await?, queue::ReapReport::default());
    Ok(())
}

/// The other way round: its worker is not known to hold anything.
#[tokio::test]
async fn a_lease_without_a_holder_ends_too() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let lost = q.must_claim("w").await?;
    let mut delete = redis::cmd("HDEL");
    delete.arg("ij2:{studio/sd15}:held:w").arg(lost.task.to_string());
    assert_eq!(raw::<i64>(&q.server, &delete).await?, 1);
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt), (&lost.task, 2));
    Ok(())
}

/// Fault 8.
#[tokio::test]
async fn two_reapers_bring_a_task_back_once() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    let ended = wait_for("the lease to end", DEADLINE, async || {
        (q.stats().await.ok()?.now_ms > lease.expires_ms).then_some(())
    });
    ended.await?;
    let (one, two) = tokio::join!(q.reap(), q.reap());
    assert_eq!(one?.expired + two?.expired, 1);
    assert!(q.claim_one("x").await?.is_some());
    assert!(q.claim_one("x").await?.is_none());
    Ok(())
}

/// Fault 9.
#[tokio::test]
async fn a_delay_longer_than_the_lease_is_waited_out_once() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(q.give_back("w", &lease, &failed(900)).await?, Written::Accepted);
    let again = wait_for("the delay to be over", DEADLINE, async || {
        assert_eq!(q.reap().await.ok()?.expired, 0);
        q.claim_one("w").await.ok()?
    })
    .await?;
    assert!(again.expires_ms >= lease.expires_ms + 900);
    assert_eq!((again.attempt, q.state("a").await?.retries), (2, 1));
    assert!(q.claim_one("w").await?.is_none());
    Ok(())
}

/// What a worker repeats because the answer was lost must not be refused.
#[tokio::test]
async fn completing_twice_is_accepted_twice_and_counted_once() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(q.finish("w", &lease).await?, Written::Accepted);
    assert_eq!(q.finish("w", &lease).await?, Written::Accepted);
    assert_eq!(q.finish("other", &lease).await?, Written::Stale);
    assert_eq!(q.state("a").await?.succeeded, 1);
    Ok(())
}

/// Fault 19.
#[tokio::test]
async fn one_dead_task_is_found_among_thousands_of_live_ones() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("long", 5000)).await?;
    let mut held = 0;
    while held < 5000 {
        let claim = queue::Claim { max: 1000, ..crate::setup::a_claim("w") };
        held += q.claim(&claim).await?.len();
    }
    let mut delete = redis::cmd("ZADD");
    delete.arg("ij2:{studio/sd15}:leases").arg("XX").arg("CH").arg(1).arg("long/4321@w");
    assert_eq!(raw::<i64>(&q.server, &delete).await?, 1);
    assert_eq!(q.reap().await?.expired, 1);
    assert_eq!(q.must_claim("x").await?.task.index, 4321);
    Ok(())
}

#[tokio::test]
async fn cancelled_and_forgotten_jobs_are_told_apart_from_lost_leases() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 3)).await?;
    q.enqueue(&job("b")).await?;
    let (a, b) = (q.must_claim("w").await?, q.must_claim("v").await?);
    let (a, b) = if a.task.job == uid("a") { (("w", a), ("v", b)) } else { (("v", b), ("w", a)) };
    q.cancel(&uid("a")).await?;
    q.forget(&uid("b")).await?;
    assert_eq!(q.renew(a.0, &a.1).await?, Renewed::Cancelled);
    assert_eq!(q.renew(b.0, &b.1).await?, Renewed::Cancelled);
    assert_eq!(q.finish(b.0, &b.1).await?, Written::Stale);
    assert_eq!(q.stats().await?.leases, []);
    let state = q.state("a").await?;
    assert_eq!((state.cancelled, state.waiting, state.running), (3, 0, 0));
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.renew("nobody", &a.1).await?, Renewed::Cancelled);
    Ok(())
}
