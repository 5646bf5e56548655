//! Redis, a bucket and a queue, for workers that are processes of their own as in a Pod.

use std::{collections::BTreeMap, time::Duration};

use comfyui_sim::Sim;
use queue::{ClassSetting, Form, Job, JobUid, Queue, Settings, TaskSpec};
use serde_json::Value;
use testkit::{Redis, RedisOptions, S3, S3Options};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

const POOL: &str = "bench/sd15";
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Stand {
    pub(crate) s3: S3,
    pub(crate) queue: Queue,
    redis: Redis,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redis = Redis::start(RedisOptions::default()).await.expect("Redis");
        let s3 = S3::start(S3Options::default()).await.expect("S3");
        let queue = Queue::new(queue::Redis::connect(&redis.url()).await.expect("connected"), POOL);
        let standard = ClassSetting {
            name: "standard".into(),
            sla: Duration::from_secs(300),
            capacities: vec!["onDemand".into()],
        };
        queue.configure(&Settings { suspended: false, classes: vec![standard] }).await.expect("configured");
        Self { s3, queue, redis }
    }

    pub(crate) fn worker(&self, engine: &Sim) -> Child {
        self.worker_to(engine, &self.s3.endpoint())
    }

    /// One that reaches the bucket elsewhere.
    pub(crate) fn worker_to(&self, engine: &Sim, bucket: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_gpu-worker"))
            .args(["--redis", &self.redis.url(), "--pool", POOL, "--engine", &engine.url()])
            .args(["--bucket", "images", "--s3-endpoint", bucket, "--s3-path-style"])
            .args(["--listen", "127.0.0.1:0", "--metadata", "off"])
            .env("AWS_ACCESS_KEY_ID", &self.s3.options().access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.s3.options().secret_key)
            .env("RUST_LOG", "warn")
            .kill_on_drop(true)
            .spawn()
            .expect("a worker")
    }

    /// Queues a job of one image without a model, unless it is changed.
    pub(crate) async fn enqueue(&self, spec: &TaskSpec, change: impl FnOnce(&mut Job)) -> JobUid {
        let mut job = Job {
            uid: JobUid(uuid::Uuid::new_v4().to_string()),
            tenant: "bench".into(),
            weight: 1.0,
            max_running: None,
            class: "standard".into(),
            model: String::new(),
            work: String::new(),
            unit_ms: 10.0,
            arrival_ms: 1,
            sla: Duration::from_secs(300),
            units: 1.0,
            total: 1,
            retries: 0,
            max_failed_images: None,
            listing: false,
            recheck: false,
            suspended: false,
            payload: spec.to_payload().expect("JSON"),
        };
        change(&mut job);
        self.queue.enqueue(&job).await.expect("queued");
        job.uid
    }

    /// Returns once so many images of a job are there.
    pub(crate) async fn succeeded(&self, job: &JobUid, total: u32) {
        loop {
            let state = self.queue.job(job).await.expect("a state");
            let Some(state) = state.filter(|state| state.succeeded < total) else { return };
            assert_eq!(state.failed, 0, "images fail: {state:?}");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// A graph as the work of a task, and nothing else.
pub(crate) fn task(graph: Value) -> TaskSpec {
    let Value::Object(graph) = graph else { unreachable!("graphs are objects") };
    TaskSpec {
        graph,
        seeds: Vec::new(),
        inputs: Vec::new(),
        cut: None,
        outputs: Vec::new(),
        form: Form::default(),
        black_is_wrong: true,
        labels: BTreeMap::new(),
        traceparent: None,
        timeout_seconds: 600,
    }
}

/// A PNG of this width and height, which no compression makes much smaller: four of eight bits are noise.
pub(crate) fn grainy_png(side: u32) -> Vec<u8> {
    let mut noise = 0x9E37_79B9_u32;
    let pixels: Vec<u8> = (0..3 * side * side)
        .map(|at| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let [grain, ..] = noise.to_be_bytes();
            let [.., colour] = (at / side / 8).to_be_bytes();
            (colour & 0xF0) | (grain & 0x0F)
        })
        .collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("a PNG");
    file
}
