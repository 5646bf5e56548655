//! Redis and the bucket are away, slow or refuse us.

use queue::{Job, TaskSpec};
use testkit::Fault;

use crate::rig::{Rig, picture, steps_of};

#[tokio::test]
async fn redis_away_when_a_picture_is_done_costs_no_second_run() {
    let mut rig = Rig::start(steps_of(100)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;

    rig.redis_proxy.set(Fault::Refuse).await;
    rig.engine_idles().await;
    worker.says("/readyz", 503, "redis:").await;
    rig.redis_proxy.set(Fault::None).await;

    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!((outcomes[0].attempts, rig.sim.stats().prompts), (1, 1));
    worker.is_ready().await;
}

#[tokio::test]
async fn redis_lost_with_the_machine_between_two_images_has_each_made_once() {
    let mut rig = Rig::start(steps_of(100)).await;
    let mut lost = rig.worker().await;
    let job = rig.enqueue(picture(15), |job, _| job.total = 2).await;
    rig.outcomes(&job, 1).await;
    lost.kill9();
    rig.restart_engine().await;
    rig.redis.command(&["FLUSHALL"]).await.expect("emptied");
    // As the operator does once it sees that Redis has lost what it knew.
    let again = |again: &mut Job, _: &mut TaskSpec| {
        (again.uid, again.total, again.recheck) = (job.clone(), 2, true);
    };
    rig.enqueue(picture(15), again).await;

    let _worker = rig.worker().await;
    let outcomes = rig.outcomes(&job, 2).await;
    let found = outcomes.iter().map(|outcome| outcome.result.as_ref().expect("a picture").found);
    assert_eq!(found.collect::<Vec<_>>(), [true, false]);
    assert_eq!(rig.sim.stats().prompts, 1, "only the second is made");
}

#[tokio::test]
async fn a_redis_that_says_nothing_is_no_empty_queue() {
    let mut rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;
    rig.redis_proxy.set(Fault::Silent).await;
    worker.says("/readyz", 503, "redis:").await;
    rig.redis_proxy.set(Fault::None).await;
    let job = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
}

/// Its lease is renewed in time over a connection that works.
#[tokio::test]
async fn a_heartbeat_that_hangs_costs_no_picture() {
    let mut rig = Rig::start(steps_of(500)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(30), |_, _| ()).await;
    rig.at_step(1).await;
    rig.redis_proxy.set(Fault::Silent).await;
    worker.says("/readyz", 503, "redis:").await;
    rig.redis_proxy.set(Fault::None).await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!((outcomes[0].attempts, rig.sim.stats().prompts), (1, 1));
}

#[tokio::test]
async fn a_bucket_that_is_away_gets_its_picture_when_it_is_back() {
    let mut rig = Rig::start(steps_of(100)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;

    rig.s3.stop();
    worker.says("/readyz", 503, "output:").await;
    // Longer than a lease lasts, were it not renewed.
    let beats = rig.queue.stats().await.expect("stats").leases[0].expires_ms;
    let renewed = testkit::wait_for("the lease to be renewed", crate::rig::PATIENCE, async || {
        let lease = rig.queue.stats().await.expect("stats").leases.into_iter().next()?;
        (lease.expires_ms > beats + 10_000).then_some(())
    });
    renewed.await.expect("renewed");
    rig.restart_s3().await;

    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!((outcomes[0].attempts, rig.sim.stats().prompts), (1, 1), "made once");
    worker.is_ready().await;
}

#[tokio::test]
async fn a_bucket_that_refuses_for_a_while_gets_its_picture_in_the_end() {
    let rig = Rig::start(steps_of(100)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;
    rig.s3.fail_next([403; 4]);
    worker.says("/readyz", 503, "check the credentials").await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    assert_eq!(rig.sim.stats().prompts, 1, "made once");
    worker.is_ready().await;
}

#[tokio::test]
async fn wrong_credentials_show_before_anything_is_claimed() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["AWS_SECRET_ACCESS_KEY=wrong"]);
    let job = rig.enqueue(picture(1), |_, _| ()).await;
    worker.says("/readyz", 503, "check the credentials").await;
    worker.says("/metrics", 200, "gpu_worker_up{part=\"output\"} 0").await;
    let state = rig.queue.job(&job).await.expect("a state").expect("known");
    assert_eq!((state.waiting, state.running), (1, 0));
}

#[tokio::test]
async fn missing_credentials_show_as_such() {
    let rig = Rig::start(steps_of(0)).await;
    let none = ["AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_EC2_METADATA_DISABLED=true"];
    let worker = rig.worker_with(&none);
    worker.says("/readyz", 503, "no credentials were found").await;
}

#[tokio::test]
async fn a_missing_bucket_shows_before_anything_is_claimed() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--bucket=nowhere"]);
    worker.says("/readyz", 503, "there is no bucket").await;
}

#[tokio::test]
async fn a_worker_waits_for_what_is_not_there_yet() {
    let mut rig = Rig::start(steps_of(0)).await;
    rig.sim.stop();
    rig.s3.stop();
    rig.redis_proxy.set(Fault::Refuse).await;
    let worker = rig.worker_with(&[]);
    for trouble in ["engine: ", "redis: Redis: ", "output: OutputFailed: s3://images/"] {
        worker.says("/readyz", 503, trouble).await;
    }
    worker.says("/healthz", 200, "ok").await;

    rig.restart_engine().await;
    rig.restart_s3().await;
    rig.redis_proxy.set(Fault::None).await;

    worker.is_ready().await;
    let log = worker.log();
    for part in ["redis", "output"] {
        let waits = log.lines().filter(|line| line.contains(&format!("waiting for {part}"))).count();
        assert_eq!(waits, 1, "one line for {part} in:\n{log}");
    }
}
