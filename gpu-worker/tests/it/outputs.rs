//! Which outputs are kept, and what of them.

use comfyui_sim::{Fault, FaultKind};
use queue::{JobUid, Reason, TaskResult};
use serde_json::{Value, json};
use testkit::{S3Fault, wait_for};

use crate::rig::{PATIENCE, Picture, Rig, picture, steps_of, workflow};

fn with_key() -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 255}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0], "api_key": "sk-test-not-a-real-key"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "keyed"}}
    })
}

fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn result(rig: &Rig, job: &JobUid) -> TaskResult {
    rig.outcomes(job, 1).await.remove(0).result.expect("made")
}

async fn made(rig: &Rig, graph: Value) -> TaskResult {
    let job = rig.enqueue(workflow(graph), |_, _| ()).await;
    result(rig, &job).await
}

#[tokio::test]
async fn the_prompt_is_not_published_with_the_picture_unless_asked_for() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    for kept in [false, true] {
        let job = rig.enqueue(workflow(with_key()), |_, spec| spec.form.keep_texts = kept).await;
        for image in result(&rig, &job).await.outputs {
            let file = rig.store.get(&image.key).await.expect("stored");
            assert_eq!(holds(&file, "sk-test-not-a-real-key"), kept);
            assert_eq!(image.bytes, file.len() as u64);
        }
    }
}

/// Some nodes read the editor's file (`extra_pnginfo`) and fail where there is none. It is empty and of no use to others,
/// and what marks a prompt as ours is for the engine's queue alone.
#[tokio::test]
async fn nodes_find_an_editors_file_of_which_nothing_is_published() {
    let rig = Rig::start(steps_of(50)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(20), |_, spec| spec.form.keep_texts = true).await;
    let running = wait_for("the prompt to run", PATIENCE, async || {
        let queue: Value = reqwest::get(format!("{}/queue", rig.sim.url())).await.ok()?.json().await.ok()?;
        queue["queue_running"].get(0).cloned()
    });
    let running = running.await.expect("it runs");
    assert_eq!(running[3]["extra_pnginfo"]["workflow"]["nodes"], json!([]), "{running}");
    let image = result(&rig, &job).await.outputs.remove(0);
    let file = rig.store.get(&image.key).await.expect("stored");
    assert!(holds(&file, "a lighthouse at dusk"), "as it was asked for");
    for text in ["workflow\0", "studio/sd15", &worker.id] {
        assert!(!holds(&file, text), "{text}");
    }
}

/// More than a MiB.
fn large() -> Picture {
    Picture { width: 1536, height: 1536, ..picture(1) }
}

/// It is read twice: to see what it is, and to store it, for as long as the bucket wants.
#[tokio::test]
async fn an_output_larger_than_the_budget_is_stored_as_any_other() {
    let rig = Rig::start(steps_of(0)).await;
    let mut small = rig.worker_with(&["--output-budget-mib=1"]);
    small.is_ready().await;
    let job = rig.enqueue(large(), |_, _| ()).await;
    rig.s3.fail_next([503; 5]);
    let streamed = result(&rig, &job).await.outputs.remove(0);
    small.terminate();
    small.exit().await;

    let _worker = rig.worker().await;
    let job = rig.enqueue(large(), |_, _| ()).await;
    let whole = result(&rig, &job).await.outputs.remove(0);
    let file = rig.store.get(&streamed.key).await.expect("stored");
    assert!(file.len() > 1 << 20, "{}", file.len());
    assert_eq!(file, rig.store.get(&whole.key).await.expect("stored"));
    assert_eq!((streamed.sha256, streamed.bytes), (whole.sha256, file.len() as u64));
}

#[tokio::test]
async fn an_output_larger_than_the_budget_is_not_converted_and_says_so() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--output-budget-mib=1"]);
    worker.is_ready().await;
    let job = rig.enqueue(large(), |_, spec| spec.form.format = Some(queue::Format::Webp)).await;
    let error = rig.outcomes(&job, 1).await.remove(0).result.expect_err("too large");
    assert_eq!(error.reason, Reason::OutputTooLarge, "{error:?}");
    assert!(error.message.contains("MiB") && error.message.contains("OUTPUT_BUDGET_MIB"), "{error:?}");
    let small = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&small, 1).await[0].result.is_ok(), "and the worker goes on");
}

#[tokio::test]
async fn an_output_larger_than_the_budget_that_is_gone_when_it_is_stored_is_lost() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--output-budget-mib=1"]);
    worker.is_ready().await;
    rig.s3.misbehave([S3Fault::RefusePuts(503)]);
    let job = rig.enqueue(large(), |job, _| job.retries = 0).await;
    let puts = || rig.s3.requests().iter().filter(|request| request.method == "PUT").count();
    let before = puts();
    wait_for("the bucket to refuse it", PATIENCE, async || (puts() > before + 1).then_some(()))
        .await
        .expect("refused");
    let gone = FaultKind::Answer { route: "view".into(), how: comfyui_sim::Answer::Status(404) };
    rig.sim.set_faults(vec![Fault::always(gone)]);
    rig.s3.misbehave([]);
    let error = rig.outcomes(&job, 1).await.remove(0).result.expect_err("lost");
    assert_eq!(error.reason, Reason::OutputLost, "{error:?}");
    assert!(error.message.contains("can't be fetched"), "{error:?}");
}

#[tokio::test]
async fn a_seed_above_what_a_signed_number_holds_is_exact() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let seed = 15_555_555_555_555_555_555;
    let job = rig.enqueue(Picture { seed, ..picture(1) }, |job, _| job.total = 2).await;
    let seeds: Vec<_> = rig
        .outcomes(&job, 2)
        .await
        .iter()
        .map(|outcome| outcome.result.as_ref().expect("a picture").seed)
        .collect();
    assert_eq!(seeds, [Some(seed), Some(seed + 1)]);
}

#[tokio::test]
async fn a_preview_that_was_emptied_is_made_anew() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    });
    for _ in 0..3 {
        assert_eq!(
            made(&rig, graph.clone()).await.outputs.len(),
            1,
            "an equal prompt is answered with the old file"
        );
    }
    // Once somebody else has emptied the folder, that file is gone.
    rig.sim.set_faults(vec![Fault {
        times: Some(1),
        ..Fault::always(FaultKind::Answer { route: "view".into(), how: comfyui_sim::Answer::Status(404) })
    }]);
    assert_eq!(made(&rig, graph).await.outputs.len(), 1);
}
