//! The most memory that a worker takes while it has as many tasks in hand as it ever has, each with many large pictures:
//! the bucket is slow, so that they pile up.

use std::time::{Duration, Instant};

use comfyui_sim::{Folders, Options, Sim};
use serde_json::{Value, json};
use testkit::{Fault, Proxy, memory_mb};
use tokio::time::sleep;

use crate::stand::{Stand, grainy_png, task};

/// What a worker holds at most.
const TASKS: u32 = 6;
/// Each task's pictures are two to this power: 64.
const DOUBLED: u32 = 6;
const SIDE: u32 = 2048;
/// The time of every packet to the bucket, and back.
const WAY: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// MB, as the kernel counts them for the process: pages of the program that were touched included.
pub(crate) async fn peak(stand: &Stand) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("grain.png"), grainy_png(SIDE)).expect("a picture");
    let folders = Folders { input: Some(folder.path().to_owned()), ..Folders::default() };
    let engine = Sim::start(Options { folders, ..Options::default() }).expect("an engine");
    let mut way = Proxy::start(stand.s3.address().to_string()).await.expect("a proxy");
    way.set(Fault::Delay(WAY)).await;
    let worker = stand.worker_to(&engine, &format!("http://{}", way.address()));
    let process = worker.id().expect("it runs");

    let began = Instant::now();
    let job = stand.enqueue(&task(graph()), |job| job.total = TASKS).await;
    let mut most_held = 0;
    let piling_up = async {
        loop {
            most_held = most_held.max(stand.queue.stats().await.expect("statistics").leases.len());
            sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = piling_up => {}
        () = stand.succeeded(&job, TASKS) => {}
    }
    let outcomes = stand.queue.outcomes(&job, 0, TASKS).await.expect("outcomes");
    let files =
        outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()).flat_map(|made| &made.outputs);
    let sizes: Vec<u64> = files.map(|file| file.bytes).collect();
    let mean = sizes.iter().sum::<u64>() / sizes.len().max(1) as u64;
    let peak = memory_mb(process, "VmHWM").expect("a peak");
    println!(
        "worker.rss_mb: {} files of {mean} bytes, {most_held} tasks at once, in {:?}: {peak:.1} MB at most",
        sizes.len(),
        began.elapsed(),
    );
    peak
}

/// One grainy picture, doubled again and again, and saved.
fn graph() -> Value {
    let mut graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "grain.png"}}});
    for n in 1..=DOUBLED {
        let of = json!([n.to_string(), 0]);
        graph[(n + 1).to_string()] =
            json!({"class_type": "ImageBatch", "inputs": {"image1": of, "image2": of}});
    }
    let all = json!([(DOUBLED + 1).to_string(), 0]);
    graph["save"] = json!({"class_type": "SaveImage", "inputs": {"images": all, "filename_prefix": "large"}});
    graph
}
