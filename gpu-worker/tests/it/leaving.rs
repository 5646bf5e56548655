//! The worker, or its machine, has to go.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use queue::{Order, WorkerId};

use crate::rig::{Rig, picture, steps_of};

#[tokio::test]
async fn on_sigterm_the_picture_at_hand_is_finished_and_nothing_more_is_begun() {
    let rig = Rig::start(steps_of(100)).await;
    let mut worker = rig.worker().await;
    let job = rig.enqueue(picture(20), |job, _| job.total = 3).await;
    rig.engine_works().await;

    worker.terminate();

    assert!(worker.exit().await.success());
    let state = rig.queue.job(&job).await.expect("a state").expect("known");
    assert_eq!((state.succeeded, state.waiting, state.running), (1, 2, 0), "{state:?}");
    rig.engine_idles().await;
}

#[tokio::test]
async fn on_sigterm_what_takes_too_long_is_handed_back_at_once() {
    let rig = Rig::start(steps_of(200)).await;
    let mut worker = rig.worker_with(&["--drain-grace=8"]);
    let job = rig.enqueue(picture(100), |_, _| ()).await;
    rig.at_step(2).await;

    let started = Instant::now();
    worker.terminate();
    let state = rig.job(&job, "the task to come back", |state| state.waiting == 1).await;

    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!((state.interruptions, state.retries), (1, 0));
    assert!(worker.exit().await.success());
    rig.engine_idles().await;
}

#[tokio::test]
async fn a_doomed_worker_hands_back_within_two_seconds_and_another_finishes() {
    let rig = Rig::start(steps_of(100)).await;
    let mut doomed = rig.worker().await;
    let job = rig.enqueue(picture(60), |_, _| ()).await;
    rig.engine_works().await;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a date");
    let deadline_ms = u64::try_from(now.as_millis()).expect("a date") + 3_000;
    let started = Instant::now();
    rig.queue.order(&WorkerId(doomed.id.clone()), Order::Doomed { deadline_ms }).await.expect("ordered");

    rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(doomed.exit().await.success());

    let _other = rig.worker().await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok());
    assert_eq!(outcomes[0].attempts, 2);
}

#[tokio::test]
async fn a_worker_on_hold_finishes_and_claims_again_when_told_to() {
    let rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;
    let id = WorkerId(worker.id.clone());
    rig.queue.order(&id, Order::Hold).await.expect("ordered");
    worker.says("/readyz", 503, "Hold").await;
    let job = rig.enqueue(picture(1), |_, _| ()).await;
    rig.queue.order(&id, Order::Work).await.expect("ordered");
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
}

#[tokio::test]
async fn a_killed_worker_costs_an_attempt_and_no_picture() {
    let rig = Rig::start(steps_of(100)).await;
    let mut killed = rig.worker().await;
    let job = rig.enqueue(picture(20), |_, _| ()).await;
    rig.engine_works().await;
    killed.kill9().await;

    let _other = rig.worker().await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok());
    assert_eq!(outcomes[0].attempts, 2);
}

#[tokio::test]
async fn sigterm_while_still_waiting_for_the_engine_ends_it_at_once() {
    let mut rig = Rig::start(steps_of(0)).await;
    rig.sim.stop();
    let mut worker = rig.worker_with(&[]);
    worker.says("/readyz", 503, "engine:").await;
    worker.terminate();
    assert!(worker.exit().await.success());
}
