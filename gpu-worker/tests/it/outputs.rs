//! Which outputs are kept, and what of them.

use comfyui_sim::{Fault, FaultKind};
use queue::{Reason, TaskResult};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, picture, steps_of, workflow};

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

async fn made(rig: &Rig, graph: Value) -> TaskResult {
    let job = rig.enqueue(workflow(graph), |_, _| ()).await;
    rig.outcomes(&job, 1).await.remove(0).result.expect("a picture")
}

#[tokio::test]
async fn the_prompt_is_not_published_with_the_picture_unless_asked_for() {
    let rig = Rig::start(steps_of(0)).await;
    for (flag, kept) in [("--embed-workflow=false", false), ("--embed-workflow=true", true)] {
        let mut worker = rig.worker_with(&[flag]);
        worker.is_ready().await;
        for image in made(&rig, with_key()).await.images {
            let file = rig.store.get(&image.key).await.expect("stored");
            assert_eq!(holds(&file, "sk-test-not-a-real-key"), kept, "{flag}");
            assert_eq!(image.bytes, file.len() as u64);
        }
        worker.terminate();
        worker.exit().await;
    }
}

/// Some nodes read the editor's file (`extra_pnginfo`) and fail where there is none. It is empty and of no use to others,
/// and what marks a prompt as ours is for the engine's queue alone.
#[tokio::test]
async fn nodes_find_an_editors_file_of_which_nothing_is_published() {
    let rig = Rig::start(steps_of(50)).await;
    let worker = rig.worker_with(&["--embed-workflow=true"]);
    worker.is_ready().await;
    let job = rig.enqueue(picture(20), |_, _| ()).await;
    let running = wait_for("the prompt to run", PATIENCE, async || {
        let queue: Value = reqwest::get(format!("{}/queue", rig.sim.url())).await.ok()?.json().await.ok()?;
        queue["queue_running"].get(0).cloned()
    });
    let running = running.await.expect("it runs");
    assert_eq!(running[3]["extra_pnginfo"]["workflow"]["nodes"], json!([]), "{running}");
    let image = rig.outcomes(&job, 1).await.remove(0).result.expect("a picture").images.remove(0);
    let file = rig.store.get(&image.key).await.expect("stored");
    assert!(holds(&file, "a lighthouse at dusk"), "as it was asked for");
    for text in ["workflow\0", "studio/sd15", &worker.id] {
        assert!(!holds(&file, text), "{text}");
    }
}

#[tokio::test]
async fn a_workflow_whose_only_output_is_no_png_is_refused_after_one_run() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 4, "color": 9}},
        "9": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["1", 0], "filename_prefix": "w", "fps": 6.0,
              "lossless": true, "quality": 80, "method": "default"}}
    });
    let job = rig.enqueue(workflow(graph), |job, _| job.retries = 2).await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    let error = outcome.result.expect_err("no picture");
    assert_eq!((error.reason, outcome.attempts, rig.sim.stats().prompts), (Reason::NoOutput, 1, 1));
    assert!(error.message.contains(".webp of node 9") && error.message.contains("SaveImage"), "{error:?}");
}

#[tokio::test]
async fn what_is_not_kept_beside_a_picture_is_told() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let result = made(
        &rig,
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 9}},
            "8": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "still"}},
            "9": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["1", 0], "filename_prefix": "w", "fps": 6.0,
                  "lossless": true, "quality": 80, "method": "default"}}
        }),
    );
    let result = result.await;
    assert_eq!(result.images.len(), 2);
    let [dropped] = &result.dropped[..] else { panic!("{result:?}") };
    assert!(dropped.contains(".webp of node 9 is not kept"), "{dropped}");
}

#[tokio::test]
async fn an_output_larger_than_the_budget_is_refused_with_its_size() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--output-budget-mib=1"]);
    worker.is_ready().await;
    let queue::Work::TextToImage(large) = picture(1) else { panic!("a picture") };
    let large = queue::Work::TextToImage(queue::TextToImage { width: 1536, height: 1536, ..large });
    let job = rig.enqueue(large, |_, _| ()).await;
    let error = rig.outcomes(&job, 1).await.remove(0).result.expect_err("too large");
    assert_eq!(error.reason, Reason::OutputTooLarge, "{error:?}");
    assert!(error.message.contains("MiB") && error.message.contains("OUTPUT_BUDGET_MIB"), "{error:?}");
    let small = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&small, 1).await[0].result.is_ok(), "and the worker goes on");
}

#[tokio::test]
async fn a_seed_above_what_a_signed_number_holds_is_exact() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let queue::Work::TextToImage(plain) = picture(1) else { panic!("a picture") };
    let seed = 15_555_555_555_555_555_555;
    let work = queue::Work::TextToImage(queue::TextToImage { seed, ..plain });
    let job = rig.enqueue(work, |job, _| job.total = 2).await;
    let seeds: Vec<_> = rig
        .outcomes(&job, 2)
        .await
        .iter()
        .map(|outcome| outcome.result.as_ref().expect("a picture").images[0].seed)
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
            made(&rig, graph.clone()).await.images.len(),
            1,
            "an equal prompt is answered with the old file"
        );
    }
    // Once somebody else has emptied the folder, that file is gone.
    rig.sim.set_faults(vec![Fault {
        times: Some(1),
        ..Fault::always(FaultKind::Answer { route: "view".into(), how: comfyui_sim::Answer::Status(404) })
    }]);
    assert_eq!(made(&rig, graph).await.images.len(), 1);
}
