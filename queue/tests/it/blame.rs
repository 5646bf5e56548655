//! How tasks come back, whose fault that was, and what becomes of them and of their jobs.

use std::time::Duration;

use anyhow::Result;
use queue::{Beat, Job, MAX_CRASHES, Reason, Release, TaskError, WorkerState, Written};

use crate::setup::{Fixture, Worker, error, failed, job, of, raw, start, tasks, uid, worker};

fn crashed() -> Release {
    Release::Crashed { error: error(Reason::EngineError) }
}

fn doubted() -> Release {
    Release::Doubted { error: error(Reason::EngineRejected) }
}

fn withheld(reason: Reason) -> Release {
    Release::Withheld { error: error(reason), retry_after: Duration::ZERO }
}

/// A worker that could take tasks.
async fn lives(q: &Fixture, name: &str) -> Result<()> {
    let beat = Beat { capacity: "spot".into(), ..Beat::default() };
    q.beat(&worker(name), &beat).await?;
    Ok(())
}

/// As if all delays were over.
async fn delays_pass(q: &Fixture) -> Result<()> {
    let later = "ij2:{studio/sd15}:later";
    let tasks: Vec<String> = raw(&q.server, redis::cmd("ZRANGE").arg(later).arg(0).arg(-1)).await?;
    for task in tasks {
        let _: i64 = raw(&q.server, redis::cmd("ZADD").arg(later).arg(1).arg(task)).await?;
    }
    q.reap().await?;
    Ok(())
}

/// As if a worker had not been heard of for a minute.
async fn falls_silent(q: &Fixture, name: &str) -> Result<()> {
    let key = format!("ij2:{{studio/sd15}}:worker:{name}");
    let _: i64 = raw(&q.server, redis::cmd("HSET").arg(key).arg("seen").arg(1)).await?;
    Ok(())
}

#[tokio::test]
async fn what_had_not_begun_goes_to_another_worker_at_once_and_counts_for_nothing() -> Result<()> {
    let q = start().await?;
    lives(&q, "other").await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    q.enqueue(&of("b", tasks("b", 2))).await?;
    assert_eq!(q.give_back("w", &lease, &Release::HandedBack).await?, Written::Accepted);
    assert_eq!(q.must_claim("w").await?.task.job, uid("b"), "not to the one who gave it back");
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt), (&lease.task, 2), "and before others");
    let state = q.state("a").await?;
    assert_eq!((state.interruptions, state.retries, state.crashes), (0, 0, 0));

    // Alone, a worker may have it again.
    q.give_back("other", &again, &Release::HandedBack).await?;
    falls_silent(&q, "w").await?;
    assert_eq!(q.must_claim("other").await?.task, lease.task);
    Ok(())
}

#[tokio::test]
async fn a_task_under_which_the_engine_ended_waits_and_goes_to_another_worker() -> Result<()> {
    let q = start().await?;
    lives(&q, "other").await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &crashed()).await?;
    assert!(q.claim_one("other").await?.is_none(), "not at once");
    q.enqueue(&of("b", job("b"))).await?;
    delays_pass(&q).await?;
    assert_eq!(q.must_claim("w").await?.task.job, uid("b"));
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt, again.recheck), (&lease.task, 2, true));
    let state = q.state("a").await?;
    assert_eq!((state.crashes, state.interruptions, state.retries, state.failed), (1, 0, 0, 0));
    Ok(())
}

#[tokio::test]
async fn a_task_that_ends_engines_on_two_workers_is_dead_after_three() -> Result<()> {
    let q = start().await?;
    lives(&q, "x").await?;
    lives(&q, "y").await?;
    q.enqueue(&Job { retries: 9, ..tasks("a", 2) }).await?;
    let good = q.must_claim("x").await?;
    q.finish("x", &good).await?;
    for (n, name) in ["x", "y", "x"].into_iter().enumerate() {
        let lease = q.must_claim(name).await?;
        assert_eq!(lease.task.index, 1);
        q.give_back(name, &lease, &crashed()).await?;
        delays_pass(&q).await?;
        // Both have had it: whoever is left alone may try once more.
        falls_silent(&q, name).await?;
        lives(&q, if n == 0 { "y" } else { "x" }).await?;
    }
    let letter = &q.dead_letters(0, 9).await?[0];
    assert_eq!((letter.error.reason, letter.attempts), (Reason::EngineCrashed, MAX_CRASHES));
    assert_eq!(letter.error.message, "it went wrong");
    let state = q.state("a").await?;
    assert_eq!((state.failed, state.crashes, state.stopped, state.finished), (1, 3, None, true));
    Ok(())
}

#[tokio::test]
async fn the_only_worker_is_enough_to_blame_a_task_that_ends_its_engine() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 1)).await?;
    for _ in 0..MAX_CRASHES {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &crashed()).await?;
        delays_pass(&q).await?;
    }
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.state("a").await?.failed, 1);
    Ok(())
}

/// Fault 48.
#[tokio::test]
async fn a_job_whose_tasks_end_engines_is_stopped_before_it_has_run_through() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("poison", 50)).await?;
    q.enqueue(&of("honest", tasks("honest", 10))).await?;
    let mut poisoned = 0;
    let mut honest = 0;
    while honest < 10 {
        for name in ["x", "y", "z"] {
            let Some(lease) = q.claim_one(name).await? else { continue };
            if lease.task.job == uid("poison") {
                poisoned += 1;
                q.give_back(name, &lease, &crashed()).await?;
            } else {
                honest += 1;
                q.finish(name, &lease).await?;
            }
        }
        delays_pass(&q).await?;
    }
    assert!(poisoned <= 4, "{poisoned} engines ended");
    let state = q.state("poison").await?;
    assert_eq!(state.stopped.map(|why| why.reason), Some(Reason::EngineCrashed));
    assert_eq!((state.waiting, state.running, state.cancelled, state.finished), (0, 0, 50, true));
    assert!(q.claim_one("x").await?.is_none());
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

/// Fault 59: one worker without the model, among others that have it.
#[tokio::test]
async fn what_one_worker_refuses_another_makes() -> Result<()> {
    let q = start().await?;
    lives(&q, "good").await?;
    for n in 0..5 {
        q.enqueue(&of(&format!("t{n}"), Job { retries: 0, ..job(&format!("j{n}")) })).await?;
    }
    for _ in 0..5 {
        let lease = q.must_claim("bad").await?;
        assert_eq!(lease.attempt, 1, "what it doubted does not come back to it");
        q.give_back("bad", &lease, &doubted()).await?;
    }
    assert!(q.claim_one("bad").await?.is_none());
    let made = q.drain("good").await?;
    assert_eq!(made.len(), 5);
    let state = q.state("j0").await?;
    assert_eq!((state.succeeded, state.failed, state.retries), (1, 0, 0));
    Ok(())
}

#[tokio::test]
async fn the_word_of_a_second_worker_counts() -> Result<()> {
    let q = start().await?;
    lives(&q, "other").await?;
    q.enqueue(&Job { retries: 5, ..tasks("a", 2) }).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &doubted()).await?;
    let again = q.must_claim("other").await?;
    assert_eq!(again.task, lease.task);
    q.give_back("other", &again, &doubted()).await?;
    let letter = &q.dead_letters(0, 9).await?[0];
    assert_eq!((&letter.task, letter.error.reason), (&lease.task, Reason::EngineRejected));
    Ok(())
}

/// A worker learns what others make of the tasks that did not work on it, and does not see what its own word did.
#[tokio::test]
async fn a_worker_hears_how_often_others_refute_and_confirm_it() -> Result<()> {
    let q = start().await?;
    let heard = async |name: &str| {
        let reply = q.beat(&worker(name), &Beat { capacity: "spot".into(), ..Beat::default() }).await?;
        anyhow::Ok((reply.refuted, reply.confirmed))
    };
    for name in ["w", "other"] {
        assert_eq!(heard(name).await?, (0, 0));
    }
    let doubt_and = async |uid: &str, first: &Release, then: Option<&Release>| {
        q.enqueue(&Job { retries: 0, ..job(uid) }).await?;
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, first).await?;
        delays_pass(&q).await?;
        let again = q.must_claim("other").await?;
        match then {
            Some(release) => q.give_back("other", &again, release).await?,
            None => q.finish("other", &again).await?,
        };
        anyhow::Ok(())
    };
    doubt_and("made elsewhere", &doubted(), None).await?;
    assert_eq!(heard("w").await?, (1, 0));
    doubt_and("crashed here only", &crashed(), None).await?;
    assert_eq!(heard("w").await?, (2, 0));
    doubt_and("works nowhere", &doubted(), Some(&doubted())).await?;
    assert_eq!(heard("w").await?, (2, 1));
    doubt_and("fails elsewhere", &crashed(), Some(&failed(0))).await?;
    assert_eq!(heard("w").await?, (2, 2));
    doubt_and("not begun", &Release::HandedBack, None).await?;
    assert_eq!(heard("w").await?, (2, 2), "it never said that it does not work");
    assert_eq!(heard("other").await?, (0, 0));

    // By its own word alone.
    falls_silent(&q, "other").await?;
    q.enqueue(&job("alone")).await?;
    for _ in 0..2 {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &doubted()).await?;
        delays_pass(&q).await?;
    }
    assert_eq!(q.state("alone").await?.failed, 1);
    assert_eq!(heard("w").await?, (2, 2));
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_alone_is_asked_twice_some_time_apart() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &doubted()).await?;
    assert!(q.claim_one("w").await?.is_none(), "it would say the same at once");
    delays_pass(&q).await?;
    let again = q.must_claim("w").await?;
    q.give_back("w", &again, &doubted()).await?;
    assert_eq!(q.state("a").await?.failed, 1);
    Ok(())
}

/// A worker that is not ready, or does not serve the class, is no other one.
#[tokio::test]
async fn only_who_could_take_a_task_counts_as_another_worker() -> Result<()> {
    let q = start().await?;
    let starting = Beat { state: WorkerState::Starting, capacity: "spot".into(), ..Beat::default() };
    q.beat(&worker("starting"), &starting).await?;
    q.beat(&worker("elsewhere"), &Beat { capacity: "none".into(), ..Beat::default() }).await?;
    lives(&q, "held").await?;
    q.order(&worker("held"), queue::Order::Hold).await?;
    q.enqueue(&job("a")).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &Release::HandedBack).await?;
    assert_eq!(q.must_claim("w").await?.task, lease.task);
    Ok(())
}

/// Fault 60 and 67: neither a full disk nor a bucket that refuses is the task's fault.
#[tokio::test]
async fn what_is_withheld_uses_no_retry_however_often() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { retries: 0, ..job("a") }).await?;
    for attempt in 1..=30 {
        let lease = q.must_claim("w").await?;
        assert_eq!(lease.attempt, attempt);
        q.give_back("w", &lease, &withheld(Reason::OutputDenied)).await?;
    }
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.failed, state.retries, state.interruptions), (1, 0, 0, 0));

    // The machine's fault is another machine's chance.
    lives(&q, "other").await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &withheld(Reason::DiskFull)).await?;
    assert!(q.claim_one("w").await?.is_none());
    assert!(q.claim_one("other").await?.is_some());
    Ok(())
}

/// Fault 49.
#[tokio::test]
async fn a_job_whose_first_images_all_fail_alike_is_stopped() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { retries: 1, ..tasks("a", 10_000) }).await?;
    let mut tries = 0;
    while let Some(lease) = q.claim_one("w").await? {
        tries += 1;
        q.give_back("w", &lease, &failed(0)).await?;
    }
    assert_eq!(tries, 6, "two each of three images");
    let state = q.state("a").await?;
    assert_eq!(state.stopped, Some(error(Reason::EngineError)));
    assert_eq!((state.failed, state.cancelled, state.waiting, state.finished), (3, 9_997, 0, true));
    assert_eq!(q.stats().await?.backlog, []);

    // Whoever has mended the cause has them all made.
    assert_eq!(q.redrive(&uid("a")).await?, 3);
    let state = q.state("a").await?;
    assert_eq!((state.stopped, state.waiting, state.failed, state.suspended), (None, 10_000, 0, false));
    assert_eq!(q.stats().await?.backlog[0].tasks, 10_000);
    assert_eq!(q.claim(&queue::Claim { max: 500, ..crate::setup::a_claim("w") }).await?.len(), 500);
    Ok(())
}

#[tokio::test]
async fn a_job_is_not_stopped_for_different_reasons_nor_once_an_image_was_made() -> Result<()> {
    let q = start().await?;
    let reject = |reason| Release::Rejected { error: error(reason) };
    q.enqueue(&tasks("a", 10)).await?;
    for reason in [Reason::NoOutput, Reason::NoOutput, Reason::Timeout, Reason::Timeout] {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &reject(reason)).await?;
    }
    assert_eq!(q.state("a").await?.stopped, None);
    q.forget(&uid("a")).await?;

    q.enqueue(&tasks("b", 10)).await?;
    let lease = q.must_claim("w").await?;
    q.finish("w", &lease).await?;
    for _ in 0..9 {
        let lease = q.must_claim("w").await?;
        q.give_back("w", &lease, &reject(Reason::NoOutput)).await?;
    }
    let state = q.state("b").await?;
    assert_eq!((state.stopped, state.failed, state.finished), (None, 9, true));
    Ok(())
}

#[tokio::test]
async fn a_job_says_itself_how_many_images_may_fail() -> Result<()> {
    let q = start().await?;
    for (name, may_fail, tried) in [("none", 0, 1), ("five", 5, 6)] {
        q.enqueue(&Job { max_failed_images: Some(may_fail), ..tasks(name, 20) }).await?;
        let mut tries = 0;
        while let Some(lease) = q.claim_one("w").await? {
            tries += 1;
            let error = TaskError { reason: Reason::ALL[tries % 5], message: String::new() };
            q.give_back("w", &lease, &Release::Rejected { error }).await?;
        }
        assert_eq!(tries, tried, "{name}");
        assert!(q.state(name).await?.stopped.is_some());
        q.forget(&uid(name)).await?;
    }
    Ok(())
}

/// What runs when a job is stopped goes on; what comes back of it then is not tried again.
#[tokio::test]
async fn images_that_run_when_their_job_is_stopped_count() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { max_failed_images: Some(0), ..tasks("a", 10) }).await?;
    let (one, two, bad) = (q.must_claim("w").await?, q.must_claim("w").await?, q.must_claim("w").await?);
    q.give_back("w", &bad, &Release::Rejected { error: error(Reason::Timeout) }).await?;
    let state = q.state("a").await?;
    assert_eq!((state.running, state.cancelled, state.finished), (2, 7, false));
    assert_eq!(q.renew("w", &one).await?, queue::Renewed::Keep);
    q.finish("w", &one).await?;
    q.give_back("w", &two, &Release::Preempted).await?;
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.cancelled, state.failed, state.finished), (1, 8, 1, true));
    assert!(q.claim_one("w").await?.is_none());
    Ok(())
}
