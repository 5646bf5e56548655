//! How often an input is fetched that all images of a job start from.

use std::{collections::BTreeSet, time::Duration};

use comfyui_sim::{Options, Sim, Timing};
use queue::{InputKind, InputSource, TaskInput, TaskSpec, WorkerId};
use serde_json::json;
use testkit::wait_for;

use crate::stand::{Stand, grainy_png, task};

const WORKERS: usize = 4;
const IMAGES: u32 = 100;
const KEY: &str = "inputs/photo.png";
/// What an image takes, so that every worker gets some of them.
const SAVE: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(30);

/// Requests to the bucket for the input of one job of a hundred images, by four workers.
pub(crate) async fn fetches(stand: &Stand) -> f64 {
    let file = stand.s3.object_file("images", KEY);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, grainy_png(64)).expect("an object");
    let seen = stand.queue.stats().await.expect("statistics").workers;
    let before: BTreeSet<WorkerId> = seen.into_iter().map(|seen| seen.worker).collect();
    let timing = Timing { save: SAVE, ..Timing::default() };
    let engine = |_| Sim::start(Options { timing: timing.clone(), ..Options::default() }).expect("an engine");
    let engines: Vec<Sim> = (0..WORKERS).map(engine).collect();
    let _workers: Vec<_> = engines.iter().map(|engine| stand.worker(engine)).collect();
    // Those of other figures are remembered for a while.
    let all = wait_for("the workers", DEADLINE, async || {
        let seen = stand.queue.stats().await.ok()?.workers;
        let new = seen.iter().filter(|seen| !before.contains(&seen.worker));
        (new.count() == WORKERS).then_some(())
    });
    all.await.expect("workers");

    let graph = json!({
        "10": {"class_type": "LoadImage", "inputs": {"image": "placeholder.png"}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "copy"}},
    });
    let input = TaskInput {
        name: "photo".into(),
        source: InputSource::Object { key: KEY.into() },
        sha256: None,
        kind: InputKind::Picture,
        to: vec!["10.image".into()],
        max_bytes: TaskInput::MAX_BYTES,
        max_pixels: None,
    };
    let spec = TaskSpec { inputs: vec![input], ..task(graph) };
    let job = stand.enqueue(&spec, |job| job.total = IMAGES).await;
    stand.succeeded(&job, IMAGES).await;

    let outcomes = stand.queue.outcomes(&job, 0, IMAGES).await.expect("outcomes");
    let made = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok());
    let by: BTreeSet<&str> = made.map(|made| made.worker.0.as_str()).collect();
    assert_eq!(by.len(), WORKERS, "not every worker made some");
    let path = format!("/images/{KEY}");
    let requests = stand.s3.requests();
    let fetches = requests.iter().filter(|request| request.method == "GET" && request.path == path).count();
    println!("worker.input_fetches_per_job: {fetches} for {IMAGES} images of {} workers", by.len());
    f64::from(u32::try_from(fetches).unwrap_or(u32::MAX))
}
