//! What the engine says can't be read, and what it lists can't be fetched.

use std::time::{Duration, Instant};

use comfyui_sim::{Answer, Fault, FaultKind};
use queue::{Reason, TaskError, TaskSpec};
use serde_json::json;

use crate::rig::{MODEL, Rig, picture, steps_of, workflow};

fn answer(route: &str, how: Answer) -> FaultKind {
    FaultKind::Answer { route: route.into(), how }
}

/// The error of a job that can't be made, and how long it took; the worker goes on afterwards.
async fn error(rig: &Rig, work: impl Into<TaskSpec>) -> (TaskError, Duration) {
    let worker = rig.worker().await;
    let started = Instant::now();
    let job = rig.enqueue(work, |_, spec| spec.timeout_seconds = 3600).await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    let took = started.elapsed();
    rig.sim.set_faults(vec![]);
    let next = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&next, 1).await[0].result.is_ok(), "the worker goes on");
    worker.is_ready().await;
    (outcome.result.expect_err("no picture"), took)
}

#[tokio::test]
async fn numbers_that_only_python_writes_keep_no_picture_from_being_read() {
    let rig = Rig::start(steps_of(1)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "3": {"class_type": "KSampler", "inputs": {
            "seed": 5, "steps": 3, "cfg": "nan", "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MODEL}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a kite", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}}
    });
    let job = rig.enqueue(workflow(graph), |_, spec| spec.timeout_seconds = 30).await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert_eq!(rig.sim.stats().prompts, 1);
}

#[tokio::test]
async fn an_exception_over_numbers_that_only_python_writes_is_told_in_its_words() {
    let rig = Rig::start(steps_of(1)).await;
    let raise = FaultKind::Raise {
        exception: "ValueError".into(),
        message: "cannot convert float NaN to integer".into(),
    };
    rig.sim.set_faults(vec![Fault::always(raise)]);
    let (error, _) = error(&rig, picture(2)).await;
    assert_eq!(error.reason, Reason::EngineError);
    assert!(error.message.contains("cannot convert float NaN to integer"), "{}", error.message);
}

#[tokio::test]
async fn a_history_that_answers_500_for_good_is_a_failure_within_seconds() {
    let rig = Rig::start(steps_of(1)).await;
    rig.sim.set_faults(vec![Fault::always(answer("history", Answer::Status(500)))]);
    let (error, took) = error(&rig, picture(2)).await;
    assert_eq!(error.reason, Reason::EngineError);
    assert!(error.message.contains("history") && error.message.contains("500"), "{}", error.message);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test]
async fn a_history_that_is_cut_for_a_moment_costs_nothing() {
    let rig = Rig::start(steps_of(1)).await;
    rig.sim.set_faults(vec![Fault { times: Some(2), ..Fault::always(answer("history", Answer::Cut)) }]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(2), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    assert_eq!(rig.sim.stats().prompts, 1);
}

#[tokio::test]
async fn a_file_that_the_engine_does_not_give_out_is_a_failure_that_names_it() {
    for status in [404, 403, 400] {
        let rig = Rig::start(steps_of(1)).await;
        rig.sim.set_faults(vec![Fault::always(answer("view", Answer::Status(status)))]);
        let (error, took) = error(&rig, picture(2)).await;
        assert_eq!(error.reason, Reason::OutputLost, "{error:?}");
        for word in [".png of node 9", &status.to_string()] {
            assert!(error.message.contains(word), "{word} in: {}", error.message);
        }
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert!(rig.sim.stats().prompts <= 3, "at most two runs, and the picture that came after");
    }
}

#[tokio::test]
async fn a_file_that_is_cut_or_refused_for_a_moment_is_fetched_again_and_not_made_again() {
    for how in [Answer::Cut, Answer::Status(500), Answer::Slow { millis: 1_500 }] {
        let rig = Rig::start(steps_of(1)).await;
        rig.sim.set_faults(vec![Fault { times: Some(2), ..Fault::always(answer("view", how)) }]);
        let _worker = rig.worker().await;
        let job = rig.enqueue(picture(2), |_, _| ()).await;
        let outcome = rig.outcomes(&job, 1).await.remove(0);
        let stored = outcome.result.expect("a picture").outputs.remove(0);
        let file = rig.store.get(&stored.key).await.expect("stored");
        assert!(file.ends_with(b"IEND\xae\x42\x60\x82"), "{how:?}: the whole file");
        assert_eq!(rig.sim.stats().prompts, 1, "{how:?}");
    }
}

#[tokio::test]
async fn a_file_that_never_comes_in_full_is_a_failure() {
    let rig = Rig::start(steps_of(1)).await;
    rig.sim.set_faults(vec![Fault::always(answer("view", Answer::Cut))]);
    let (error, _) = error(&rig, picture(2)).await;
    assert_eq!(error.reason, Reason::OutputLost, "{error:?}");
}
