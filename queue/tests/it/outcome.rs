//! What comes of a task: images, dead letters, and jobs that are stopped or forgotten.

use anyhow::Result;
use bytes::Bytes;
use queue::{Enqueued, Job, JobState, MAX_INTERRUPTIONS, Order, Reason, Release, TaskError, Written};

use crate::setup::{Worker, a_claim, commands, error, failed, job, raw, start, tasks, uid, worker};

/// Fault 10.
#[tokio::test]
async fn a_poison_task_is_a_dead_letter_after_its_retries() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    for attempt in 1..=3 {
        let lease = q.must_claim("w").await?;
        assert_eq!((lease.task.index, lease.attempt), (0, attempt));
        assert_eq!(q.give_back("w", &lease, &failed(0)).await?, Written::Accepted);
    }
    let state = q.state("a").await?;
    assert_eq!((state.failed, state.retries, state.waiting), (1, 2, 1));
    let letters = q.dead_letters(0, 10).await?;
    assert_eq!((letters.len(), letters[0].task.index, letters[0].attempts), (1, 0, 3));
    assert_eq!(letters[0].error, error(Reason::EngineError));
    assert_eq!(state.last_dead.as_deref(), letters.first());
    assert_eq!(q.outcomes(&uid("a"), 0, 10).await?[0].result, Err(error(Reason::EngineError)));
    assert_eq!(q.drain("w").await?, ["a/1"]);
    assert_eq!(q.dead_letters(1, 10).await?, []);
    Ok(())
}

#[tokio::test]
async fn dead_letters_can_be_driven_again() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { retries: 0, ..tasks("a", 3) }).await?;
    for _ in 0..3 {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &failed(0)).await?;
    }
    let state = q.state("a").await?;
    assert_eq!((state.failed, state.last_dead.map(|letter| letter.task.index)), (3, Some(2)));
    assert_eq!(q.redrive(&uid("a")).await?, 3);
    assert_eq!(q.redrive(&uid("a")).await?, 0);
    assert_eq!(q.dead_letters(0, 10).await?, []);
    let again = q.must_claim("w").await?;
    assert_eq!((again.attempt, again.recheck), (2, true));
    q.finish("w", &again).await?;
    assert_eq!(q.drain("w").await?.len(), 2);
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.failed, state.waiting, state.last_dead), (3, 0, 0, None));
    Ok(())
}

#[tokio::test]
async fn what_can_never_work_is_not_tried_again() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    let long = TaskError { reason: Reason::EngineRejected, message: "é".repeat(2000) };
    q.give_back("w", &lease, &Release::Rejected { error: long }).await?;
    let state = q.state("a").await?;
    let (started_ms, last_dead) = (state.started_ms, q.dead_letters(0, 1).await?.pop().map(Box::new));
    assert_eq!(state, JobState { failed: 1, finished: true, started_ms, last_dead, ..JobState::default() });
    assert_eq!(q.dead_letters(0, 1).await?[0].error.message, "é".repeat(512));
    Ok(())
}

/// Faults 11 and, for what kills every machine it meets, its limit.
#[tokio::test]
async fn interruptions_are_not_failures_but_have_an_end() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    for attempt in 1..=10 {
        let lease = q.must_claim("w").await?;
        assert_eq!(lease.attempt, attempt);
        q.give_back("w", &lease, &Release::Preempted).await?;
    }
    let lease = q.must_claim("w").await?;
    q.finish("w", &lease).await?;
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.interruptions, state.retries, state.failed), (1, 10, 0, 0));

    q.enqueue(&job("killer")).await?;
    for _ in 0..=MAX_INTERRUPTIONS {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &Release::Preempted).await?;
    }
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.dead_letters(0, 1).await?[0].error.reason, Reason::TooManyInterruptions);
    Ok(())
}

/// Fault 12.
#[tokio::test]
async fn a_uid_is_queued_once_however_often_it_comes() -> Result<()> {
    let q = start().await?;
    let answers =
        futures::future::try_join_all((0..1000).map(|_| async { q.enqueue(&job("a")).await })).await?;
    assert_eq!(answers.iter().filter(|answer| **answer == Enqueued::New).count(), 1);
    assert_eq!(q.drain("w").await?, ["a/0"]);
    assert_eq!(q.enqueue(&job("a")).await?, Enqueued::Known);
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

#[tokio::test]
async fn a_rebuild_asks_workers_to_look_first() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    assert!(!q.must_claim("w").await?.recheck);
    assert_eq!(q.enqueue(&Job { recheck: true, ..tasks("a", 2) }).await?, Enqueued::Known);
    assert!(q.must_claim("w").await?.recheck);
    q.enqueue(&Job { recheck: true, ..job("b") }).await?;
    assert!(q.must_claim("w").await?.recheck);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_job_keeps_its_record_and_runs_no_more() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 5)).await?;
    let (done, back, running) =
        (q.must_claim("w").await?, q.must_claim("w").await?, q.must_claim("w").await?);
    q.finish("w", &done).await?;
    q.give_back("w", &back, &Release::Preempted).await?;
    assert!(q.cancel(&uid("a")).await?);
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.stats().await?.backlog, []);
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.running, state.cancelled, state.waiting), (1, 1, 3, 0));
    // It was as good as done: kept.
    assert_eq!(q.finish("w", &running).await?, Written::Accepted);
    assert!(q.cancel(&uid("a")).await?);
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.running, state.cancelled), (2, 0, 3));
    assert_eq!(q.outcomes(&uid("a"), 0, 5).await?.len(), 2);
    assert!(!q.cancel(&uid("unknown")).await?);
    Ok(())
}

#[tokio::test]
async fn forgetting_leaves_nothing_behind() -> Result<()> {
    let q = start().await?;
    for name in ["waiting", "running", "back", "delayed", "dead", "suspended", "cancelled"] {
        q.enqueue(&Job { retries: u32::from(name != "dead"), ..tasks(name, 2) }).await?;
        if name != "waiting" {
            let lease = q.must_claim("w").await?;
            let release = match name {
                "back" => Some(Release::Preempted),
                "delayed" | "dead" => Some(failed(60_000)),
                _ => None,
            };
            if let Some(release) = release {
                q.give_back("w", &lease, &release).await?;
            }
        }
        if name == "suspended" {
            q.suspend(&uid(name)).await?;
        }
        if name == "cancelled" {
            q.cancel(&uid(name)).await?;
        }
        assert!(q.forget(&uid(name)).await?);
        assert!(!q.forget(&uid(name)).await?);
        assert!(q.claim_one("w").await?.is_none(), "{name}");
    }
    // Leases of forgotten jobs end with the worker.
    q.evict(&worker("w")).await?;
    let mut keys: Vec<String> = raw(&q.server, redis::cmd("KEYS").arg("*")).await?;
    keys.retain(|key| {
        !["workers", "results", "settings", "clock"].iter().any(|kept| key.ends_with(kept))
            && !key.contains(":left:")
            && !key.contains(":worker:")
    });
    assert!(keys.is_empty(), "{keys:?}");
    Ok(())
}

/// Fault 20: the payload says nothing to a worker, or the record nothing to the scripts.
#[tokio::test]
async fn what_cant_be_read_is_a_dead_letter_and_stops_nothing() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { payload: Bytes::from_static(b"{not json"), ..job("bad payload") }).await?;
    let lease = q.must_claim("w").await?;
    let unreadable = q.spec_of(&lease).await.expect_err("it is not JSON");
    let error = TaskError { reason: Reason::BadPayload, message: unreadable.to_string() };
    q.give_back("w", &lease, &Release::Rejected { error }).await?;

    q.enqueue(&tasks("bad record", 3)).await?;
    let key = "ij2:{studio/sd15}:job:bad record";
    let _: i64 = raw(&q.server, redis::cmd("HSET").arg(key).arg("record").arg("garbage")).await?;
    q.enqueue(&job("good")).await?;
    q.reap().await?;
    assert_eq!(q.drain("w").await?, ["good/0"]);
    let reasons: Vec<_> = q.dead_letters(0, 9).await?.into_iter().map(|letter| letter.error.reason).collect();
    assert_eq!(reasons, [Reason::BadPayload, Reason::MalformedJob]);
    assert!(matches!(q.job(&uid("bad record")).await, Err(queue::Error::Malformed { .. })));
    q.forget(&uid("bad record")).await?;

    // Even a lease that was written over ends some time.
    q.enqueue(&job("bad lease")).await?;
    let lease = q.must_claim("w").await?;
    let job = "ij2:{studio/sd15}:job:bad lease";
    let _: i64 = raw(&q.server, redis::cmd("HSET").arg(job).arg("0").arg("?")).await?;
    assert_eq!(q.finish("w", &lease).await?, Written::Stale);
    let _: i64 = raw(&q.server, redis::cmd("DEL").arg("ij2:{studio/sd15}:leases")).await?;
    q.reap().await?;
    assert_eq!(q.must_claim("w").await?.attempt, 2);

    // What is no lease is no reason to stop looking for leases that have ended.
    let _: i64 = raw(&q.server, redis::cmd("ZADD").arg("ij2:{studio/sd15}:leases").arg(1).arg("x")).await?;
    q.reap().await?;
    let left: Option<f64> =
        raw(&q.server, redis::cmd("ZSCORE").arg("ij2:{studio/sd15}:leases").arg("x")).await?;
    assert_eq!(left, None);
    Ok(())
}

/// Or its pool would never go back to zero.
#[tokio::test]
async fn a_job_that_cant_be_read_is_not_counted_as_waiting_for_ever() -> Result<()> {
    let q = start().await?;
    let key = "ij2:{studio/sd15}:job:bad";
    let overwrite = async || {
        let garbage = redis::cmd("HSET").arg(key).arg("record").arg("garbage").clone();
        raw::<i64>(&q.server, &garbage).await
    };
    let backlog = async || anyhow::Ok(q.stats().await?.backlog);

    // Found by a claim, before or after its first task has run.
    for begun in [false, true] {
        q.enqueue(&tasks("bad", 3)).await?;
        if begun {
            let lease = q.must_claim("w").await?;
            q.finish("w", &lease).await?;
        }
        overwrite().await?;
        assert!(q.claim_one("w").await?.is_none());
        assert_eq!(backlog().await?, [], "begun: {begun}");
        q.forget(&uid("bad")).await?;
        assert_eq!(backlog().await?, [], "begun: {begun}");
    }

    // Forgotten before anybody saw it.
    q.enqueue(&tasks("bad", 3)).await?;
    overwrite().await?;
    q.forget(&uid("bad")).await?;
    assert_eq!(backlog().await?, []);
    assert!(q.claim_one("w").await?.is_none());

    // Suspended: it was not counted.
    q.enqueue(&tasks("other", 2)).await?;
    q.enqueue(&Job { suspended: true, ..tasks("bad", 3) }).await?;
    overwrite().await?;
    q.forget(&uid("bad")).await?;
    assert_eq!(backlog().await?.iter().map(|bucket| bucket.tasks).sum::<u64>(), 2);
    Ok(())
}

/// However large a graph is, no script carries it: Redis would stand still for as long.
#[tokio::test]
async fn a_large_payload_is_fetched_once_by_whoever_makes_the_job() -> Result<()> {
    let q = start().await?;
    let graph = serde_json::json!({"1": {"class_type": "Note", "inputs": {"text": "x".repeat(1 << 20)}}});
    let spec = serde_json::json!({"graph": graph, "timeoutSeconds": 60});
    let payload = Bytes::from(serde_json::to_vec(&spec)?);
    q.enqueue(&Job { payload: payload.clone(), ..tasks("large", 3) }).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(lease.payload, None);
    assert_eq!(q.payload(&uid("large")).await?.as_ref(), Some(&payload));
    let read = q.spec_of(&lease).await?;
    assert_eq!(read.to_payload()?, Bytes::from(serde_json::to_vec(&read)?));
    assert_eq!(read.timeout_seconds, 60);

    // Once for all its tasks.
    let _: i64 = raw(&q.server, redis::cmd("DEL").arg("ij2:{studio/sd15}:payload:large")).await?;
    let next = q.must_claim("w").await?;
    assert_eq!(q.spec_of(&next).await?, read);
    q.forget(&uid("large")).await?;

    q.enqueue(&Job { payload, ..job("forgotten") }).await?;
    let lease = q.must_claim("w").await?;
    q.forget(&uid("forgotten")).await?;
    assert!(matches!(q.spec_of(&lease).await, Err(queue::Error::Unknown { .. })));
    let keys: Vec<String> = raw(&q.server, redis::cmd("KEYS").arg("*payload*")).await?;
    assert_eq!(keys, [""; 0]);

    // A small one comes with the lease.
    let small = Bytes::from(vec![b' '; 4096]);
    q.enqueue(&Job { payload: small.clone(), ..job("small") }).await?;
    assert_eq!(q.must_claim("w").await?.payload, Some(small));
    Ok(())
}

/// Redis answers others in between, however many there are.
#[tokio::test]
async fn ten_thousand_dead_letters_are_redriven_in_pieces() -> Result<()> {
    const TASKS: u32 = 10_000;
    let q = start().await?;
    q.enqueue(&Job { max_failed_images: Some(TASKS), ..tasks("a", TASKS) }).await?;
    let claim = queue::Claim { max: 500, ..a_claim("w") };
    let error = error(Reason::EngineRejected);
    let rejected = Release::Rejected { error };
    loop {
        let leases = q.claim(&claim).await?;
        if leases.is_empty() {
            break;
        }
        futures::future::try_join_all(leases.iter().map(|lease| q.give_back("w", lease, &rejected))).await?;
    }
    assert_eq!(q.state("a").await?.failed, TASKS);
    let _: redis::Value = raw(&q.server, redis::cmd("CONFIG").arg("RESETSTAT")).await?;
    assert_eq!(q.redrive(&uid("a")).await?, TASKS);
    assert!(commands(&q.server, "evalsha").await? >= 20);
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.failed), (TASKS, 0));
    assert_eq!(q.dead_letters(0, 9).await?, []);
    assert_eq!(q.stats().await?.backlog.iter().map(|bucket| bucket.tasks).sum::<u64>(), u64::from(TASKS));
    let mut again = std::collections::HashSet::new();
    loop {
        let leases = q.claim(&claim).await?;
        if leases.is_empty() {
            break;
        }
        again.extend(leases.into_iter().map(|lease| lease.task.index));
    }
    assert_eq!(again.len(), TASKS as usize);
    Ok(())
}

#[tokio::test]
async fn jobs_are_listed_page_by_page() -> Result<()> {
    let q = start().await?;
    futures::future::try_join_all((0..2500).map(|i| {
        let q = q.queue.clone();
        async move { q.enqueue(&job(&format!("job {i}"))).await }
    }))
    .await?;
    let (mut seen, mut cursor) = (std::collections::HashSet::new(), Some(0));
    while let Some(at) = cursor {
        let page = q.jobs(at).await?;
        seen.extend(page.jobs);
        cursor = page.next;
    }
    assert_eq!(seen.len(), 2500);
    let commands: String = raw(&q.server, redis::cmd("INFO").arg("commandstats")).await?;
    let over_all_keys = ["cmdstat_scan:", "cmdstat_keys:"].iter().find(|name| commands.contains(**name));
    assert_eq!(over_all_keys, None, "what other pools have there costs nothing");
    Ok(())
}

/// Rule 1: nothing here counts the images of a job.
#[tokio::test]
async fn outcomes_are_read_in_pieces() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2100)).await?;
    loop {
        let leases = q.claim(&queue::Claim { max: 1000, ..a_claim("w") }).await?;
        if leases.is_empty() {
            break;
        }
        let done: Vec<_> = leases
            .iter()
            .map(|lease| queue::Completion {
                task: lease.task.clone(),
                attempt: lease.attempt,
                result: crate::setup::image_of("w", &lease.task),
            })
            .collect();
        let written = q.complete_many(&worker("w"), &done).await?;
        assert!(written.iter().all(|written| *written == Written::Accepted));
    }
    assert_eq!(q.outcomes(&uid("a"), 0, u32::MAX).await?.len(), 2100);
    let some = q.outcomes(&uid("a"), 2090, 5).await?;
    assert_eq!(some.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), [2090, 2091, 2092, 2093, 2094]);
    assert_eq!(q.outcomes(&uid("a"), 5000, 5).await?, []);
    assert_eq!(q.outcomes(&uid("unknown"), 0, 5).await?, []);
    assert_eq!(q.stats().await?.workers[0].order, Order::Work);
    Ok(())
}
