//! Whose fault it is that a task does not work.

use comfyui_sim::{Fault, FaultKind, Options, Sim};
use queue::{Reason, WorkerState};
use serde_json::json;
use testkit::{S3Fault, wait_for};

use crate::rig::{PATIENCE, Rig, picture, steps_of, workflow};

fn raise(exception: &str, message: &str) -> FaultKind {
    FaultKind::Raise { exception: exception.into(), message: message.into() }
}

#[tokio::test]
async fn words_that_only_sound_like_a_fault_of_the_gpu_fail_their_task_and_nothing_else() {
    let rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;
    for (exception, message) in [
        ("Exception", "**** ERROR: Saving outside is not allowed: /CUDA error/pictures"),
        ("RuntimeError", "HIP error: they said"),
        ("ValueError", "the budget is out of memory"),
        ("OSError", "[Errno 28] No space left on device: 'a prefix of the user'"),
    ] {
        rig.sim.set_faults(vec![Fault::always(raise(exception, message))]);
        let job = rig.enqueue(picture(2), |_, _| ()).await;
        let error = rig.outcomes(&job, 1).await.remove(0).result.expect_err("no picture");
        assert_eq!(error.reason, Reason::EngineError, "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        worker.says("/enginez", 200, "ok").await;
        worker.is_ready().await;
    }
}

/// The same seed gives the same picture, and the same size needs the same memory: a second word is enough.
#[tokio::test]
async fn what_fails_alike_each_time_is_not_tried_as_often_as_the_retries_allow() {
    // Memory is freed for another try within each attempt.
    let table =
        [(FaultKind::BlackImage, Reason::BlackImage, 2), (FaultKind::OutOfMemory, Reason::OutOfMemory, 4)];
    for (fault, reason, prompts) in table {
        let rig = Rig::start(steps_of(1)).await;
        let _worker = rig.worker().await;
        rig.sim.set_faults(vec![Fault::always(fault)]);
        let job = rig.enqueue(picture(2), |job, _| job.retries = 5).await;
        let outcome = rig.outcomes(&job, 1).await.remove(0);
        let error = outcome.result.expect_err("no picture");
        assert_eq!(
            (error.reason, outcome.attempts, rig.sim.stats().prompts),
            (reason, 2, prompts),
            "{error:?}"
        );
        let state = rig.queue.job(&job).await.expect("a state").expect("known");
        assert_eq!(state.retries, 0);
    }
}

#[tokio::test]
async fn a_full_disk_of_the_engine_fails_no_task_and_is_told() {
    let rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;
    rig.sim.set_faults(vec![Fault::always(FaultKind::DiskFull)]);
    let job = rig.enqueue(picture(2), |job, _| (job.total, job.retries) = (5, 2)).await;

    worker.says("/readyz", 503, "disk:").await;
    let told = wait_for("the trouble", PATIENCE, async || rig.seen(&worker).await?.trouble);
    let trouble = told.await.expect("told");
    assert_eq!(trouble.reason, Reason::DiskFull);
    assert!(trouble.message.contains("No space left on device"), "{trouble:?}");

    rig.sim.set_faults(vec![]);
    let outcomes = rig.outcomes(&job, 5).await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    worker.is_ready().await;
}

#[tokio::test]
async fn a_bucket_that_takes_nothing_more_costs_no_picture_and_is_told() {
    let rig = Rig::start(steps_of(100)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;
    rig.s3.misbehave([S3Fault::RefusePuts(403)]);

    worker.says("/readyz", 503, "OutputDenied").await;
    let told = wait_for("the trouble", PATIENCE, async || rig.seen(&worker).await?.trouble);
    assert_eq!(told.await.expect("told").reason, Reason::OutputDenied);

    rig.s3.misbehave([]);
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    assert_eq!(rig.sim.stats().prompts, 1, "made once");
    worker.is_ready().await;
}

#[tokio::test]
async fn a_worker_on_which_no_job_works_takes_no_more_and_says_so() {
    let rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;
    rig.sim
        .set_faults(vec![Fault::always(raise("AttributeError", "'NoneType' object has no attribute 'x'"))]);
    for _ in 0..6 {
        rig.enqueue(picture(1), |_, _| ()).await;
    }
    worker.says("/readyz", 503, "worker: ").await;
    let told = wait_for("the trouble", PATIENCE, async || rig.seen(&worker).await?.trouble);
    let trouble = told.await.expect("told");
    assert_eq!(trouble.reason, Reason::WorkerUnhealthy);
    assert!(trouble.message.contains("has no attribute 'x'"), "{trouble:?}");
}

#[tokio::test]
async fn an_all_black_workflow_is_a_picture_like_any_other() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mask"}}
    });
    let job = rig.enqueue(workflow(graph), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
}

#[tokio::test]
async fn a_worker_that_waits_for_its_engine_says_so_in_the_queue() {
    let mut rig = Rig::start(steps_of(0)).await;
    rig.sim.stop();
    let worker = rig.worker_with(&[]);
    let seen = wait_for("a heartbeat", PATIENCE, async || rig.seen(&worker).await).await.expect("seen");
    assert_eq!((seen.state, seen.capacity.as_str()), (WorkerState::Starting, "spot"));
    let told = wait_for("the trouble", PATIENCE, async || rig.seen(&worker).await?.trouble);
    let trouble = told.await.expect("told");
    assert!(trouble.reason == Reason::EngineDown && trouble.message.contains("engine"), "{trouble:?}");
    rig.restart_engine().await;
    worker.is_ready().await;
    let ready = wait_for("the state", PATIENCE, async || {
        let seen = rig.seen(&worker).await?;
        (seen.state == WorkerState::Ready && seen.trouble.is_none()).then_some(())
    });
    ready.await.expect("ready");
}

#[tokio::test]
async fn a_worker_without_the_model_costs_no_image() {
    let rig = Rig::start(steps_of(20)).await;
    let empty =
        Sim::start(Options { models: vec!["other.safetensors".into()], ..steps_of(1) }).expect("an engine");
    let _good = rig.worker().await;
    let sick = rig.worker_with(&["--engine", &format!("--engine={}", empty.url())][1..]);
    sick.is_ready().await;
    let job = rig.enqueue(picture(6), |job, _| (job.total, job.retries) = (40, 0)).await;
    let outcomes = rig.outcomes(&job, 40).await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    let told = wait_for("the trouble", PATIENCE, async || rig.seen(&sick).await?.trouble);
    let trouble = told.await.expect("told");
    assert_eq!(trouble.reason, Reason::WorkerUnhealthy);
    assert!(trouble.message.contains("made by other workers"), "{trouble:?}");
}
