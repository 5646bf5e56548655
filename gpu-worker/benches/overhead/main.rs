//! What the worker costs: the wall time of fifty pictures through it, against the same prompts queued straight to
//! the engine. The engine is simulated and takes about 100 ms for a picture, which is far quicker than a real one:
//! the share of the worker in a real picture's time is smaller than what this prints.
//!
//! And what segments cost: the wall time of pictures of a second that are cut in the middle, against the same ones in
//! one piece. Real segments last ten seconds.
//!
//! And how long the GPU idles between two pictures of one job; what the engine keeps of two thousand small pictures; how
//! much memory the worker takes while large pictures pass; and how often workers fetch one input.
//!
//! `cargo bench -p gpu-worker --bench overhead --profile fast` prints the figures and writes target/bench/worker.json.
//! Words after `--` choose among `overhead`, `growth`, `rss` and `fetches`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for the command line")]

mod inputs;
mod memory;
mod stand;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use comfyui_sim::{Options, Sim, Timing};
use futures::StreamExt;
use queue::{Cut, SeedAt, TaskSpec};
use serde_json::{Value, json};

use crate::stand::Stand;

const PICTURES: u32 = 50;
/// Bare and through the worker in turn, so that what else the machine does hits both.
const ROUNDS: u64 = 7;
const STEPS: u32 = 10;
/// For segments: pictures of a second.
const LONG_PICTURES: u32 = 5;
const LONG_STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(10);
const MODEL: &str = "v1-5-pruned.safetensors";
/// What a worker that lives for weeks leaves behind, from the second picture on.
const MANY: u32 = 2_000;
const SMALL: u32 = 256;

/// Figure by key.
type Figures = BTreeMap<&'static str, f64>;

#[tokio::main]
async fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|word| word == part);
    let stand = Stand::start().await;
    let mut figures = Figures::new();
    if wanted("overhead") {
        overhead(&stand, &mut figures).await;
    }
    if wanted("growth") {
        growth(&stand, &mut figures).await;
    }
    if wanted("rss") {
        figures.insert("worker.rss_mb", rounded(memory::peak(&stand).await, 10.0));
    }
    if wanted("fetches") {
        figures.insert("worker.input_fetches_per_job", inputs::fetches(&stand).await);
    }
    println!("{figures:#?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&folder).expect("target/bench");
    std::fs::write(folder.join("worker.json"), format!("{:#}\n", json!(figures)))
        .expect("target/bench/worker.json");
}

/// What a picture takes longer through the worker, whole and in segments, and how long the engine idles between two.
async fn overhead(stand: &Stand, figures: &mut Figures) {
    let timing = Timing { step: STEP, ..Timing::default() };
    let engine = Sim::start(Options { timing, ..Options::default() }).expect("an engine");
    let _worker = stand.worker(&engine);
    through_worker(stand, &picture(0), 2).await;

    let gaps = Mutex::new(Vec::new());
    let overhead = median("worker.overhead", async |round| {
        let bare = straight(&engine, &picture(2 * round + 1)).await;
        engine.take_gaps();
        let time = through_worker(stand, &picture(2 * round + 2), PICTURES).await;
        // The first is the time until the job was there.
        gaps.lock().expect("gaps").extend(engine.take_gaps().into_iter().skip(1));
        (time, bare)
    })
    .await;
    let gap = middle(gaps.into_inner().expect("gaps").iter().map(Duration::as_secs_f64).collect()) * 1000.0;
    let long = |number, segments| Picture { steps: LONG_STEPS, segments, ..picture(100 + number) };
    let segments_overhead = median("worker.segments_overhead", async |round| {
        let whole = through_worker(stand, &long(2 * round, 1), LONG_PICTURES).await;
        (through_worker(stand, &long(2 * round + 1, 2), LONG_PICTURES).await, whole)
    })
    .await;
    figures.extend([
        ("worker.overhead", overhead),
        ("worker.segments_overhead", segments_overhead),
        ("worker.gap_ms", rounded(gap, 100.0)),
    ]);
}

/// The middle of what the rounds' two times come to, the first divided by the second.
async fn median(name: &str, measure: impl AsyncFn(u64) -> (Duration, Duration)) -> f64 {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (time, against) = measure(round).await;
        println!("{name}, round {round}: {time:?} against {against:?}");
        ratios.push(time.as_secs_f64() / against.as_secs_f64());
    }
    let ratio = rounded(middle(ratios), 10_000.0);
    println!("{name} {ratio:.4}");
    ratio
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn rounded(figure: f64, parts: f64) -> f64 {
    (figure * parts).round() / parts
}

/// What grows in the engine over many small pictures through a worker and an engine of their own, which takes next to
/// no time for one: its output and temp folders, 10^6 bytes, and the prompts that it remembers.
async fn growth(stand: &Stand, figures: &mut Figures) {
    let engine = Sim::start(Options::default()).expect("an engine");
    let _worker = stand.worker(&engine);
    let small = Picture { side: SMALL, steps: 1, ..picture(1_000) };
    through_worker(stand, &small, 2).await;
    let before = engine.stats();
    let many = Picture { seed: 2 * small.seed, ..small };
    let took = through_worker(stand, &many, MANY).await;
    let after = engine.stats();
    println!("{MANY} pictures in {took:?}: {before:?}, then {after:?}");
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let grown = |before: u64, after: u64| (after.cast_signed() - before.cast_signed()) as f64;
    figures.extend([
        ("worker.disk_growth_mb", rounded(grown(before.bytes, after.bytes) / 1e6, 100.0)),
        ("worker.history_growth", grown(before.history, after.history)),
    ]);
}

#[derive(Clone, Copy)]
struct Picture {
    /// Its width and height.
    side: u32,
    steps: u32,
    seed: u64,
    segments: u32,
}

/// Pictures of different numbers share nothing that the engine could keep.
fn picture(number: u64) -> Picture {
    Picture { side: 512, steps: STEPS, seed: 1_000_000 * number, segments: 1 }
}

/// The graph of a job's image.
fn graph(picture: &Picture, index: u32) -> Value {
    json!({
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MODEL}},
        "5": {"class_type": "EmptyLatentImage",
              "inputs": {"width": picture.side, "height": picture.side, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "3": {"class_type": "KSampler", "inputs": {
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            "seed": picture.seed + u64::from(index), "steps": picture.steps, "cfg": 7.0,
            "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": format!("bare/{index}")}}
    })
}

/// All prompts at once into the engine's own queue, by a client that listens until the last is done.
async fn straight(engine: &Sim, picture: &Picture) -> Duration {
    let client = uuid::Uuid::new_v4();
    let socket = format!("{}/ws?clientId={client}", engine.url().replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(socket).await.expect("a socket");
    let http = reqwest::Client::new();
    let began = Instant::now();
    let mut last = String::new();
    for index in 0..PICTURES {
        let prompt = json!({"prompt": graph(picture, index), "client_id": client});
        let answer =
            http.post(format!("{}/prompt", engine.url())).json(&prompt).send().await.expect("an answer");
        let answer: Value = answer.error_for_status().expect("taken").json().await.expect("JSON");
        last = answer["prompt_id"].as_str().expect("an id").to_owned();
    }
    loop {
        let frame = socket.next().await.expect("a frame").expect("a frame");
        let Ok(frame) = serde_json::from_slice::<Value>(&frame.into_data()) else { continue };
        if frame["type"] == "executing" && frame["data"] == json!({"node": null, "prompt_id": last}) {
            return began.elapsed();
        }
    }
}

fn task(picture: &Picture) -> TaskSpec {
    let Picture { steps, seed, segments, .. } = *picture;
    TaskSpec {
        seeds: vec![SeedAt { node: "3".into(), input: "seed".into(), first: seed, counts: true }],
        cut: Some(Cut { sampler: "3".into(), steps, segments }),
        ..stand::task(graph(picture, 0))
    }
}

/// The same as a job, until the last picture is stored and reported.
async fn through_worker(stand: &Stand, picture: &Picture, total: u32) -> Duration {
    let began = Instant::now();
    let work = task(picture);
    let job = stand.enqueue(&work, |job| {
        job.model = MODEL.into();
        job.work = MODEL.into();
        job.units = f64::from(picture.steps);
        job.total = total;
    });
    let job = job.await;
    stand.succeeded(&job, total).await;
    began.elapsed()
}
