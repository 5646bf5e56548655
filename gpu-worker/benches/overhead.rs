//! What the worker costs: the wall time of fifty pictures through it, against the same prompts queued straight to
//! the engine. The engine is simulated and takes about 100 ms for a picture, which is far quicker than a real one:
//! the share of the worker in a real picture's time is smaller than what this prints.
//!
//! And what segments cost: the wall time of pictures of a second that are cut in the middle, against the same ones in
//! one piece. Real segments last ten seconds.
//!
//! And how long the GPU idles between two pictures of one job; and what the engine keeps of two thousand small pictures.
//!
//! `cargo bench -p gpu-worker --bench overhead --profile fast` prints the figures and writes target/bench/worker.json.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for the command line")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use comfyui_sim::{Options, Sim, Timing};
use futures::StreamExt;
use queue::{ClassSetting, Cut, Form, Job, JobUid, Queue, SeedAt, Settings, TaskSpec};
use serde_json::{Value, json};
use testkit::{Redis, RedisOptions, S3, S3Options};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

const PICTURES: u32 = 50;
/// Bare and through the worker in turn, so that what else the machine does hits both.
const ROUNDS: u64 = 7;
const STEPS: u32 = 10;
/// For segments: pictures of a second.
const LONG_PICTURES: u32 = 5;
const LONG_STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(10);
const MODEL: &str = "v1-5-pruned.safetensors";
const POOL: &str = "bench/sd15";
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What a worker that lives for weeks leaves behind, from the second picture on.
const MANY: u32 = 2_000;
const SMALL: u32 = 256;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = Redis::start(RedisOptions::default()).await.expect("Redis");
    let s3 = S3::start(S3Options::default()).await.expect("S3");
    let timing = Timing { step: STEP, ..Timing::default() };
    let engine = Sim::start(Options { timing, ..Options::default() }).expect("an engine");
    let queue = Queue::new(queue::Redis::connect(&redis.url()).await.expect("connected"), POOL);
    let standard = ClassSetting {
        name: "standard".into(),
        sla: Duration::from_secs(300),
        capacities: vec!["onDemand".into()],
    };
    queue.configure(&Settings { paused: false, classes: vec![standard] }).await.expect("configured");
    let worker = start_worker(&redis, &s3, &engine);
    through_worker(&queue, &picture(0), 2).await;

    let gaps = Mutex::new(Vec::new());
    let overhead = median("worker.overhead", async |round| {
        let bare = straight(&engine, &picture(2 * round + 1)).await;
        engine.take_gaps();
        let time = through_worker(&queue, &picture(2 * round + 2), PICTURES).await;
        // The first is the time until the job was there.
        gaps.lock().expect("gaps").extend(engine.take_gaps().into_iter().skip(1));
        (time, bare)
    })
    .await;
    let gap = middle(gaps.into_inner().expect("gaps").iter().map(Duration::as_secs_f64).collect()) * 1000.0;
    println!("worker.gap_ms {gap:.2}");
    let long = |number, segments| Picture { steps: LONG_STEPS, segments, ..picture(100 + number) };
    let segments_overhead = median("worker.segments_overhead", async |round| {
        let whole = through_worker(&queue, &long(2 * round, 1), LONG_PICTURES).await;
        (through_worker(&queue, &long(2 * round + 1, 2), LONG_PICTURES).await, whole)
    })
    .await;
    drop(worker);
    let growth = growth(&redis, &s3, &queue).await;
    println!("worker.disk_growth_mb {:.2}, worker.history_growth {}", growth.megabytes, growth.history);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&folder).expect("target/bench");
    let summary = json!({
        "worker.overhead": overhead,
        "worker.segments_overhead": segments_overhead,
        "worker.gap_ms": rounded(gap, 100.0),
        "worker.disk_growth_mb": rounded(growth.megabytes, 100.0),
        "worker.history_growth": growth.history,
    });
    std::fs::write(folder.join("worker.json"), format!("{summary:#}\n")).expect("target/bench/worker.json");
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

/// What grew in the engine.
struct Growth {
    /// In its output and temp folders, 10^6 bytes.
    megabytes: f64,
    /// Prompts that it remembers.
    history: i64,
}

/// Many small pictures through a worker and an engine of their own, which takes next to no time for one.
async fn growth(redis: &Redis, s3: &S3, queue: &Queue) -> Growth {
    let engine = Sim::start(Options::default()).expect("an engine");
    let _worker = start_worker(redis, s3, &engine);
    let small = Picture { side: SMALL, steps: 1, ..picture(1_000) };
    through_worker(queue, &small, 2).await;
    let before = engine.stats();
    let many = Picture { seed: 2 * small.seed, ..small };
    let took = through_worker(queue, &many, MANY).await;
    let after = engine.stats();
    println!("{MANY} pictures in {took:?}: {before:?}, then {after:?}");
    let grown = |before: u64, after: u64| after.cast_signed() - before.cast_signed();
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let megabytes = grown(before.bytes, after.bytes) as f64 / 1e6;
    Growth { megabytes, history: grown(before.history, after.history) }
}

/// The worker as a process of its own, as it runs in a Pod.
fn start_worker(redis: &Redis, s3: &S3, engine: &Sim) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gpu-worker"))
        .args(["--redis", &redis.url(), "--pool", POOL, "--engine", &engine.url()])
        .args(["--bucket", "images", "--s3-endpoint", &s3.endpoint(), "--s3-path-style"])
        .args(["--listen", "127.0.0.1:0"])
        .env("AWS_ACCESS_KEY_ID", &s3.options().access_key)
        .env("AWS_SECRET_ACCESS_KEY", &s3.options().secret_key)
        .env("RUST_LOG", "warn")
        .kill_on_drop(true)
        .spawn()
        .expect("a worker")
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
        graph: graph(picture, 0).as_object().cloned().expect("a graph"),
        seeds: vec![SeedAt { node: "3".into(), input: "seed".into(), first: seed, counts: true }],
        inputs: Vec::new(),
        cut: Some(Cut { sampler: "3".into(), steps, segments }),
        outputs: Vec::new(),
        form: Form::default(),
        black_is_wrong: true,
        labels: BTreeMap::new(),
        timeout_seconds: 60,
    }
}

/// The same as a job, until the last picture is stored and reported.
async fn through_worker(queue: &Queue, picture: &Picture, total: u32) -> Duration {
    let spec = task(picture);
    let job = Job {
        uid: JobUid(uuid::Uuid::new_v4().to_string()),
        tenant: "bench".into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        model: MODEL.into(),
        work: MODEL.into(),
        unit_ms: 10.0,
        arrival_ms: 1,
        sla: Duration::from_secs(300),
        units: f64::from(picture.steps),
        total,
        retries: 0,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: spec.to_payload().expect("JSON"),
    };
    let began = Instant::now();
    queue.enqueue(&job).await.expect("queued");
    while queue.job(&job.uid).await.expect("a state").is_some_and(|state| state.succeeded < total) {
        sleep(LOOK_EVERY).await;
    }
    began.elapsed()
}
