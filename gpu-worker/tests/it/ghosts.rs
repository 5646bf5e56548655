//! Prompts that nobody waits for, and tasks that wait behind others.

use std::time::{Duration, Instant};

use comfyui_sim::{Options, Timing};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rig::{PATIENCE, Picture, Rig, picture, steps_of};

async fn in_engine(rig: &Rig) -> (usize, usize) {
    let queue: Value = reqwest::get(format!("{}/queue", rig.sim.url()))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let count = |part: &str| queue[part].as_array().expect("a list").len();
    (count("queue_running"), count("queue_pending"))
}

/// A prompt of somebody at the engine's own user interface that takes about so long.
async fn somebody_elses(rig: &Rig, steps: u32) {
    let theirs = Picture { seed: 1, ..picture(steps) };
    let post = reqwest::Client::new().post(format!("{}/prompt", rig.sim.url()));
    let sent = post.json(&json!({"prompt": theirs.graph(), "client_id": "somebody"})).send().await;
    sent.expect("an answer").error_for_status().expect("taken");
}

#[tokio::test]
async fn what_a_killed_worker_left_in_the_engine_is_cleared_when_it_is_back() {
    let rig = Rig::start(steps_of(400)).await;
    let mut killed = rig.worker().await;
    rig.enqueue(picture(150), |_, _| ()).await;
    rig.at_step(1).await;
    killed.kill9();
    assert_eq!(in_engine(&rig).await, (1, 0), "the engine goes on");

    let started = Instant::now();
    let back = rig.worker_called(&killed.id, &[]);
    back.is_ready().await;
    rig.engine_idles().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_another_killed_worker_left_is_cleared_once_its_leases_have_ended() {
    let rig = Rig::start(steps_of(400)).await;
    let mut killed = rig.worker().await;
    rig.enqueue(picture(150), |_, _| ()).await;
    rig.at_step(1).await;
    let prompts = rig.sim.stats().prompts;
    killed.kill9();

    let _other = rig.worker().await;
    let short = rig.enqueue(picture(1), |job, _| job.arrival_ms = 0).await;
    let started = Instant::now();
    assert!(rig.outcomes(&short, 1).await[0].result.is_ok());
    assert!(
        started.elapsed() < Duration::from_secs(35),
        "not after the orphan's 60 s: {:?}",
        started.elapsed()
    );
    assert!(rig.sim.stats().prompts > prompts);
}

#[tokio::test]
async fn prompts_of_somebody_else_are_waited_for_and_left_alone() {
    let rig = Rig::start(steps_of(250)).await;
    somebody_elses(&rig, 40).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(2), |_, spec| spec.timeout_seconds = 3).await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    assert!(outcome.result.is_ok(), "it waited its turn: {outcome:?}");
    assert_eq!(rig.sim.stats().succeeded, 2, "theirs was made too");
}

#[tokio::test]
async fn a_task_is_not_claimed_behind_one_whose_end_is_not_known() {
    let timing =
        Timing { step: Duration::from_millis(5), decode: Duration::from_secs(6), ..Timing::default() };
    let rig = Rig::start(Options { timing, ..Options::default() }).await;
    let _worker = rig.worker().await;
    let slow = rig.enqueue(picture(10), |job, _| job.work = "with a slow decoder".into()).await;
    rig.engine_works().await;
    rig.enqueue(picture(10), |job, _| job.work = "another".into()).await;
    // All steps are done long before the picture is.
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        assert_eq!(in_engine(&rig).await, (1, 0), "nothing waits behind it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(rig.outcomes(&slow, 1).await[0].result.is_ok());
}

#[tokio::test]
async fn a_task_that_was_claimed_too_early_is_handed_back_and_leaves_no_ghost() {
    let timing = Timing { decode: Duration::from_millis(400), ..Timing::default() };
    let rig = Rig::start(Options { timing, ..Options::default() }).await;
    let _worker = rig.worker().await;
    let alike = |job: &mut queue::Job, _: &mut queue::TaskSpec| job.work = "alike".into();
    // So that the worker knows how long one takes.
    let job = rig.enqueue(picture(1), alike).await;
    rig.outcomes(&job, 1).await;
    // It has no steps that tell, and takes 16 times as long.
    let long = rig.enqueue(Picture { width: 2048, height: 2048, ..picture(1) }, alike).await;
    rig.engine_works().await;
    let next = rig.enqueue(picture(1), alike).await;
    let taken = wait_for("the next one to be claimed ahead", PATIENCE, async || {
        (in_engine(&rig).await == (1, 1)).then_some(())
    });
    taken.await.expect("claimed");
    let back = wait_for("it to be handed back", PATIENCE, async || {
        let waits = rig.queue.job(&next).await.expect("a state")?.waiting == 1;
        (waits && in_engine(&rig).await == (1, 0)).then_some(())
    });
    back.await.expect("handed back");
    let prompts = rig.sim.stats().prompts;
    assert!(rig.outcomes(&long, 1).await[0].result.is_ok());
    assert!(rig.outcomes(&next, 1).await[0].result.is_ok());
    assert_eq!(rig.sim.stats().prompts, prompts + 1, "it was posted once more, when it was its turn");
}
