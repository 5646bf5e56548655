//! The engine refuses, fails, hangs and dies.

use std::{sync::Arc, time::Duration};

use comfyui_sim::{Fault, FaultKind, Options, Sim};
use gpu_worker::comfyui::{Client, Engine, Mark, Prompt, PromptId, State, Trouble};
use queue::{Outcome, TaskError};
use serde_json::json;
use testkit::wait_for;
use tokio_util::task::AbortOnDropHandle;

use crate::rig::{PATIENCE, Rig, Worker, picture, steps_of, workflow};

fn error(outcomes: &[Outcome]) -> &TaskError {
    outcomes[0].result.as_ref().expect_err("no picture")
}

#[tokio::test]
async fn a_graph_that_the_engine_refuses_is_dead_at_once_and_says_why() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 0, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    });
    let job = rig.enqueue(workflow(graph), |job, _| job.retries = 2).await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert_eq!(outcomes[0].attempts, 1, "another try would be in vain");
    assert_eq!(error(&outcomes).reason, queue::Reason::EngineRejected);
    assert_eq!(error(&outcomes).message, "node 1 (EmptyImage): Value 0 smaller than min of 1: width");
}

#[tokio::test]
async fn a_payload_that_is_no_task_is_dead_at_once() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(1), |job, _| job.payload = bytes::Bytes::from_static(b"{}")).await;
    assert_eq!(error(&rig.outcomes(&job, 1).await).reason, queue::Reason::BadPayload);
}

#[tokio::test]
async fn out_of_memory_once_is_cured_by_freeing_it() {
    let rig = Rig::start(steps_of(0)).await;
    rig.sim.set_faults(vec![Fault::once(FaultKind::OutOfMemory, 1)]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(4), |_, _| ()).await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[0].attempts, 1);
}

#[tokio::test]
async fn out_of_memory_for_good_is_a_failure() {
    let rig = Rig::start(steps_of(0)).await;
    rig.sim.set_faults(vec![Fault::always(FaultKind::OutOfMemory)]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(4), |_, _| ()).await;
    assert_eq!(error(&rig.outcomes(&job, 1).await).reason, queue::Reason::OutOfMemory);
}

#[tokio::test]
async fn a_black_picture_is_a_failure() {
    let rig = Rig::start(steps_of(0)).await;
    rig.sim.set_faults(vec![Fault::always(FaultKind::BlackImage)]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(4), |_, _| ()).await;
    assert_eq!(error(&rig.outcomes(&job, 1).await).reason, queue::Reason::BlackImage);
    let key = rig.store.output().file_key(&job.0, 0, 0, "png");
    rig.store.head(&key).await.expect_err("nothing is stored");
}

#[tokio::test]
async fn an_engine_that_dies_and_comes_back_costs_no_picture() {
    let mut rig = Rig::start(steps_of(20)).await;
    rig.sim.set_faults(vec![Fault::once(FaultKind::Crash, 5)]);
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(10), |job, _| (job.total, job.retries) = (2, 2)).await;

    rig.sim.ended().await;
    rig.job(&job, "the task to come back", |state| state.running == 0).await;
    worker.says("/readyz", 503, "engine:").await;
    rig.restart_engine().await;
    rig.sim.set_faults(vec![]);

    let outcomes = rig.outcomes(&job, 2).await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    worker.is_ready().await;
}

#[tokio::test]
async fn a_picture_that_kills_every_engine_is_a_failure_in_the_end() {
    let mut rig = Rig::start(steps_of(30)).await;
    let poison = || vec![Fault { step: 2, ..Fault::always(FaultKind::Crash) }];
    rig.sim.set_faults(poison());
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(10), |job, _| job.retries = 2).await;
    let dead = wait_for("a dead letter", PATIENCE, async || {
        if !rig.sim.is_running() {
            rig.restart_engine().await;
            rig.sim.set_faults(poison());
        }
        Some(rig.queue.outcomes(&job, 0, 1).await.expect("outcomes")).filter(|outcomes| !outcomes.is_empty())
    });
    let outcomes = dead.await.expect("dead");
    assert_eq!(error(&outcomes).reason, queue::Reason::EngineCrashed);
    assert_eq!(outcomes[0].attempts, 3);
}

#[tokio::test]
async fn after_a_gpu_fault_the_worker_waits_for_a_restart_of_the_engine() {
    let mut rig = Rig::start(steps_of(0)).await;
    rig.sim.set_faults(vec![Fault::once(FaultKind::CudaError, 1)]);
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(4), |job, _| job.retries = 2).await;

    worker.says("/enginez", 503, "CUDA error").await;
    rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    rig.restart_engine().await;
    rig.sim.set_faults(vec![]);

    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    worker.says("/enginez", 200, "ok").await;
}

#[tokio::test]
async fn an_engine_that_answers_no_more_needs_a_restart() {
    let mut rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker().await;
    worker.says("/enginez", 200, "ok").await;
    rig.sim.stop();
    worker.says("/enginez", 503, "refused").await;
    rig.restart_engine().await;
    worker.says("/enginez", 200, "ok").await;
}

#[tokio::test]
async fn a_picture_that_takes_too_long_is_stopped() {
    let rig = Rig::start(steps_of(300)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(100), |_, spec| spec.timeout_seconds = 1).await;
    let outcomes = rig.outcomes(&job, 1).await;
    assert_eq!(error(&outcomes).reason, queue::Reason::Timeout);
    assert_eq!(error(&outcomes).message, "not done after 1s");
    rig.engine_idles().await;
}

#[tokio::test]
async fn an_engine_that_does_not_let_go_of_a_prompt_needs_a_restart() {
    let sim = Sim::start(Options { faults: vec![Fault::once(FaultKind::Hang, 0)], ..steps_of(0) });
    let mut sim = sim.expect("an engine");
    let mark = Mark { pool: "studio/sd15".into(), worker: "w".into() };
    let client = Client::new(sim.url().parse().expect("a URL")).expect("a client");
    let engine = Arc::new(Engine::new(client, mark));
    let connecting = Arc::clone(&engine);
    let _connecting = AbortOnDropHandle::new(tokio::spawn(async move { connecting.keep_connected().await }));
    let up = |state: &State| matches!(state, State::Up(_));
    engine.state().wait_for(up).await.expect("it stays");
    let id = PromptId::random();
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    });
    let graph = graph.as_object().cloned().expect("a graph");
    let prompt =
        Prompt { id: id.clone(), graph, segments: vec![], outputs: vec![], timeout: Duration::from_secs(1) };
    let hung = engine.generate(&prompt, |_| ()).await;
    assert!(matches!(hung, Err(Trouble::TimedOut(_))), "{hung:?}");

    engine.clean_up(&id, Duration::from_secs(1)).await;

    let state = engine.state().borrow().clone();
    let State::Unhealthy { why } = state else { panic!("{state:?}") };
    assert_eq!(why, format!("prompt {id} could not be stopped within 1s"));
    sim.stop();
    wait_for("the port", PATIENCE, async || sim.restart().ok()).await.expect("restarted");
    tokio::time::timeout(PATIENCE, engine.state().wait_for(up)).await.expect("in time").expect("it stays");
}

#[tokio::test]
async fn a_silent_or_broken_socket_loses_no_picture() {
    let rig = Rig::start(steps_of(5)).await;
    let worker = rig.worker().await;
    for fault in [FaultKind::DropSockets, FaultKind::Silence] {
        rig.sim.set_faults(vec![Fault::once(fault, 3)]);
        let job = rig.enqueue(picture(10), |_, _| ()).await;
        let outcomes = rig.outcomes(&job, 1).await;
        assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
        assert_eq!(outcomes[0].attempts, 1);
        worker.is_ready().await;
    }
    assert_eq!(rig.sim.stats().prompts, 2, "each was made once");
}

#[tokio::test]
async fn a_prompt_that_was_taken_with_an_error_is_not_made_twice() {
    let rig = Rig::start(steps_of(5)).await;
    rig.sim.set_faults(vec![Fault::once(FaultKind::PromptError, 0)]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(4), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    assert_eq!(rig.sim.stats().prompts, 1);
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_in_the_engine_and_leaves_nothing() {
    let rig = Rig::start(steps_of(200)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(100), |_, _| ()).await;
    rig.at_step(1).await;

    rig.queue.cancel(&job).await.expect("cancelled");

    rig.engine_idles().await;
    cancelled_is_counted(&worker).await;
    let key = rig.store.output().file_key(&job.0, 0, 0, "png");
    rig.store.head(&key).await.expect_err("nothing is stored");
    let next = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&next, 1).await[0].result.is_ok(), "and the worker goes on");
}

async fn cancelled_is_counted(worker: &Worker) {
    worker.says("/metrics", 200, "gpu_worker_tasks_total{outcome=\"cancelled\"} 1").await;
}

#[tokio::test]
async fn a_prompt_that_the_engine_forgot_is_posted_again() {
    let rig = Rig::start(steps_of(100)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(30), |_, _| ()).await;
    rig.engine_works().await;
    // As by somebody at the engine's own user interface.
    let interrupt = format!("{}/interrupt", rig.sim.url());
    let interrupted = reqwest::Client::new().post(interrupt).json(&json!({})).send().await;
    interrupted.expect("an answer").error_for_status().expect("taken");

    let again = wait_for("a second prompt", PATIENCE, async || (rig.sim.stats().prompts == 2).then_some(()));
    again.await.expect("posted again");
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    tokio::time::timeout(Duration::from_secs(5), rig.engine_idles()).await.expect("nothing is left");
}
