//! The worker, or its machine, has to go.

use std::time::{Duration, Instant};

use comfyui_sim::{Fault, FaultKind};
use queue::{JobUid, Order, WorkerId};

use crate::rig::{Rig, Worker, picture, steps_of};

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

    let started = Instant::now();
    doom(&rig, &doomed, 3_000).await;

    rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(doomed.exit().await.success());

    let _other = rig.worker().await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok());
    assert_eq!(outcomes[0].attempts, 2);
}

/// A machine that goes away in so many milliseconds.
async fn doom(rig: &Rig, worker: &Worker, millis: u64) {
    let left = Duration::from_millis(millis);
    rig.queue.order(&WorkerId(worker.id.clone()), Order::Doomed { left }).await.expect("ordered");
}

#[tokio::test]
async fn a_notice_while_the_model_loads_hands_the_task_back() {
    let rig = Rig::start(steps_of(0)).await;
    rig.sim.set_faults(vec![Fault::always(FaultKind::SlowLoad { millis: 5_000 })]);
    let mut doomed = rig.worker().await;
    let job = rig.enqueue(picture(2), |_, _| ()).await;
    rig.engine_works().await;
    doom(&rig, &doomed, 3_000).await;
    let state = rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    assert_eq!((state.interruptions, state.retries), (1, 0));
    assert!(doomed.exit().await.success());
}

/// A worker with a picture that it can't upload, and the picture's job.
async fn without_a_bucket() -> (Rig, Worker, JobUid) {
    let mut rig = Rig::start(steps_of(100)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;
    rig.s3.stop();
    worker.says("/readyz", 503, "output:").await;
    (rig, worker, job)
}

#[tokio::test]
async fn a_notice_during_the_upload_keeps_the_picture_if_the_bucket_comes_back_in_time() {
    let (mut rig, mut doomed, job) = without_a_bucket().await;
    doom(&rig, &doomed, 20_000).await;
    doomed.says("/readyz", 503, "Leave").await;
    rig.restart_s3().await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok() && outcomes[0].attempts == 1, "{outcomes:?}");
    assert!(doomed.exit().await.success());
}

#[tokio::test]
async fn a_notice_during_the_upload_hands_back_if_the_bucket_stays_away() {
    let (rig, mut doomed, job) = without_a_bucket().await;
    doom(&rig, &doomed, 2_000).await;
    rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    assert!(doomed.exit().await.success());
}

#[tokio::test]
async fn a_notice_with_nothing_at_hand_and_one_that_comes_too_late_end_the_worker() {
    let rig = Rig::start(steps_of(200)).await;
    let mut idle = rig.worker().await;
    doom(&rig, &idle, 60_000).await;
    assert!(idle.exit().await.success());

    let mut busy = rig.worker().await;
    let job = rig.enqueue(picture(100), |_, _| ()).await;
    rig.engine_works().await;
    doom(&rig, &busy, 0).await;
    rig.job(&job, "the task to come back", |state| state.waiting == 1 && state.interruptions == 1).await;
    assert!(busy.exit().await.success());
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
    killed.kill9();

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
