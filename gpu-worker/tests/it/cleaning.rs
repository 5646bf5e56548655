//! What is left in the engine when a task is over.

use std::time::Duration;

use comfyui_sim::Stats;
use serde_json::json;
use testkit::wait_for;

use crate::rig::{PATIENCE, Picture, Rig, picture, steps_of, workflow};

/// Waits until nothing of the tasks is left: a cleaning up may still be under way when they are reported.
async fn is_clean(rig: &Rig) -> Stats {
    let mut last = None;
    let clean = wait_for("a clean engine", PATIENCE, async || {
        let stats = rig.sim.stats();
        last = Some(stats);
        (stats.history == 0 && stats.bytes == 0).then_some(stats)
    });
    let clean = clean.await;
    assert!(clean.is_ok(), "left over: {last:?}");
    clean.expect("clean")
}

#[tokio::test]
async fn pictures_leave_neither_history_nor_bytes() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(1), |job, _| job.total = 12).await;
    rig.outcomes(&job, 12).await;
    assert_eq!(is_clean(&rig).await.succeeded, 12);
}

#[tokio::test]
async fn segments_failures_and_cancelled_pictures_leave_nothing_either() {
    let rig = Rig::start(steps_of(20)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(Picture { segments: 3, ..picture(12) }, |_, _| ()).await;
    rig.outcomes(&job, 1).await;
    let failing = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 9}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": ["4", 0]}},
        "4": {"class_type": "PrimitiveString", "inputs": {"value": "../../x"}}
    });
    let job = rig.enqueue(workflow(failing), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_err());
    let job = rig.enqueue(picture(500), |_, _| ()).await;
    rig.at_step(1).await;
    rig.queue.cancel(&job).await.expect("cancelled");
    rig.engine_idles().await;
    is_clean(&rig).await;
}

#[tokio::test]
async fn what_a_killed_worker_has_finished_is_cleaned_up_when_it_is_back() {
    let rig = Rig::start(steps_of(40)).await;
    let mut killed = rig.worker().await;
    rig.enqueue(picture(25), |_, _| ()).await;
    rig.engine_works().await;
    killed.kill9();
    rig.engine_idles().await;
    assert!(rig.sim.stats().bytes > 0);
    let back = rig.worker_called(&killed.id, &[]);
    back.is_ready().await;
    let clean = wait_for("a clean engine", Duration::from_secs(20), async || {
        (rig.sim.stats().history == 0).then_some(())
    });
    clean.await.expect("clean");
}
