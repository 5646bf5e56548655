//! A worker process with all it needs: Redis, S3 and a simulated engine.

use std::{ffi::OsString, net::SocketAddr, process::ExitStatus, time::Duration};

use comfyui_sim::{Options, Sim, Timing};
use queue::{
    ClassSetting, Cut, Job, JobState, JobUid, Outcome, Queue, SeedAt, Settings, TaskSpec, WorkerSeen,
};
use serde_json::{Value, json};
use store::{Keys, Output, Store};
use tempfile::NamedTempFile;
use testkit::{Process, Proxy, Reading, Redis, RedisOptions, S3, S3Options, free_port, wait_for};
use tokio_util::task::AbortOnDropHandle;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const MODEL: &str = "v1-5-pruned.safetensors";
const POOL: &str = "studio/sd15";

pub(crate) struct Rig {
    /// What workers reach Redis by.
    pub(crate) redis_proxy: Proxy,
    pub(crate) s3: S3,
    pub(crate) sim: Sim,
    /// Past the proxy.
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) redis: Redis,
    _reaping: AbortOnDropHandle<()>,
}

pub(crate) struct Worker {
    pub(crate) id: String,
    health: SocketAddr,
    process: Process,
    log: NamedTempFile,
}

/// An engine that needs so long for a step.
pub(crate) fn steps_of(millis: u64) -> Options {
    Options {
        timing: Timing { step: Duration::from_millis(millis), ..Timing::default() },
        ..Options::default()
    }
}

impl Rig {
    pub(crate) async fn start(engine: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redis = Redis::start(RedisOptions::default()).await.expect("Redis");
        let redis_proxy = Proxy::start(format!("127.0.0.1:{}", redis.port())).await.expect("a proxy");
        let s3 = S3::start(S3Options { reading: Reading::Public, ..S3Options::default() }).await.expect("S3");
        let sim = Sim::start(engine).expect("an engine");
        let queue = Queue::new(queue::Redis::connect(&redis.url()).await.expect("connected"), POOL);
        let keys = Keys {
            access_key_id: s3.options().access_key.clone(),
            secret_access_key: s3.options().secret_key.clone(),
            session_token: None,
        };
        let output = Output {
            endpoint: Some(s3.endpoint()),
            path_style: true,
            key_prefix: "generated/".into(),
            ..Output::new("images")
        };
        let store = Store::open_with_keys(&output, keys).await.expect("a store");
        let reaped = queue.clone();
        let reaping = tokio::spawn(async move {
            let standard = ClassSetting {
                name: "standard".into(),
                sla: Duration::from_secs(300),
                capacities: vec!["spot".into()],
            };
            let settings = Settings { suspended: false, classes: vec![standard] };
            // As the operator does.
            loop {
                let _ = reaped.configure(&settings).await;
                let _ = reaped.reap().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { redis_proxy, s3, sim, queue, store, redis, _reaping: AbortOnDropHandle::new(reaping) }
    }

    /// On the port it had, which a passing connection of another test may hold for a moment.
    pub(crate) async fn restart_engine(&mut self) {
        let up = wait_for("the engine's port", PATIENCE, async || self.sim.restart().ok());
        up.await.expect("restarted");
    }

    /// Likewise.
    pub(crate) async fn restart_s3(&mut self) {
        let up = wait_for("the port of S3", PATIENCE, async || self.s3.restart().await.ok());
        up.await.expect("restarted");
    }

    /// A worker process, ready for work.
    pub(crate) async fn worker(&self) -> Worker {
        let worker = self.worker_with(&[]);
        worker.is_ready().await;
        worker
    }

    /// A worker process with more flags or environment (`NAME=value`); of two equal flags the last one counts.
    pub(crate) fn worker_with(&self, more: &[&str]) -> Worker {
        self.worker_called(&format!("worker-{}", uuid::Uuid::new_v4().simple()), more)
    }

    /// The same, with an id given.
    pub(crate) fn worker_called(&self, id: &str, more: &[&str]) -> Worker {
        let id = id.to_owned();
        let health = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
        let log = NamedTempFile::new().expect("a log file");
        let (flags, variables): (Vec<&str>, Vec<&str>) = more.iter().partition(|more| more.starts_with("--"));
        let keys = self.s3.options();
        let (redis, engine, s3) =
            (format!("redis://{}", self.redis_proxy.address()), self.sim.url(), self.s3.endpoint());
        let mut args = vec![
            "-i".to_owned(),
            "BUCKET=images".to_owned(),
            "METADATA=off".to_owned(),
            "RUST_LOG=gpu_worker=debug".to_owned(),
            format!("AWS_ACCESS_KEY_ID={}", keys.access_key),
            format!("AWS_SECRET_ACCESS_KEY={}", keys.secret_key),
        ];
        args.extend(variables.into_iter().map(str::to_owned));
        args.push(env!("CARGO_BIN_EXE_gpu-worker").to_owned());
        let own = [
            ("redis", redis.as_str()),
            ("pool", POOL),
            ("engine", &engine),
            ("worker-id", &id),
            ("capacity", "spot"),
            ("s3-endpoint", &s3),
            ("key-prefix", "generated/"),
            ("listen", &health.to_string()),
        ];
        args.extend(own.map(|(flag, value)| format!("--{flag}={value}")));
        args.push("--s3-path-style".to_owned());
        args.extend(flags.into_iter().map(str::to_owned));
        let log_file = log.reopen().expect("the log file");
        let process = Process::spawn_logged("env", args.into_iter().map(OsString::from), log_file);
        Worker { id, health, process: process.expect("a worker"), log }
    }

    pub(crate) async fn enqueue(
        &self,
        work: impl Into<TaskSpec>,
        change: impl FnOnce(&mut Job, &mut TaskSpec),
    ) -> JobUid {
        let uid = JobUid(uuid::Uuid::new_v4().to_string());
        let mut spec = work.into();
        let loader = spec.graph.values().find(|node| node["class_type"] == "CheckpointLoaderSimple");
        let model =
            loader.and_then(|node| node["inputs"]["ckpt_name"].as_str()).unwrap_or_default().to_owned();
        let mut job = Job {
            uid: uid.clone(),
            tenant: "studio".into(),
            weight: 1.0,
            max_running: None,
            class: "standard".into(),
            work: model.clone(),
            unit_ms: 1000.0,
            model,
            arrival_ms: 1,
            sla: Duration::from_secs(300),
            units: 1.0,
            total: 1,
            retries: 0,
            max_failed_images: None,
            listing: false,
            recheck: false,
            suspended: false,
            payload: bytes::Bytes::new(),
        };
        change(&mut job, &mut spec);
        if job.payload.is_empty() {
            job.payload = spec.to_payload().expect("JSON");
        }
        self.queue.enqueue(&job).await.expect("queued");
        uid
    }

    /// All outcomes of a job, once there are so many.
    pub(crate) async fn outcomes(&self, job: &JobUid, count: usize) -> Vec<Outcome> {
        wait_for("the job to finish", PATIENCE, async || {
            let outcomes = self.queue.outcomes(job, 0, 1000).await.expect("outcomes");
            (outcomes.len() == count).then_some(outcomes)
        })
        .await
        .expect("finished")
    }

    /// Waits until a job's state is as wanted.
    pub(crate) async fn job(&self, job: &JobUid, what: &str, wanted: impl Fn(&JobState) -> bool) -> JobState {
        wait_for(what, PATIENCE, async || {
            self.queue.job(job).await.expect("a state").filter(|state| wanted(state))
        })
        .await
        .expect("in time")
    }

    /// Waits until a picture has so many steps behind it, as the engine tells.
    pub(crate) async fn at_step(&self, steps: u32) {
        wait_for("the picture to be begun", PATIENCE, async || {
            let done = self.queue.stats().await.expect("stats").leases.first()?.progress?.0;
            (done >= steps).then_some(())
        })
        .await
        .expect("begun");
    }

    /// Waits until the engine has nothing to do.
    pub(crate) async fn engine_idles(&self) {
        wait_for("the engine to idle", PATIENCE, async || {
            let queue: Value =
                reqwest::get(format!("{}/queue", self.sim.url())).await.ok()?.json().await.ok()?;
            let idle = queue["queue_running"].as_array()?.is_empty()
                && queue["queue_pending"].as_array()?.is_empty();
            idle.then_some(())
        })
        .await
        .expect("idle");
    }

    /// What the queue knows of a worker.
    pub(crate) async fn seen(&self, worker: &Worker) -> Option<WorkerSeen> {
        let stats = self.queue.stats().await.expect("stats");
        stats.workers.into_iter().find(|seen| seen.worker.0 == worker.id)
    }

    /// Waits until the engine is at work.
    pub(crate) async fn engine_works(&self) {
        wait_for("the engine to work", PATIENCE, async || {
            let queue: Value =
                reqwest::get(format!("{}/queue", self.sim.url())).await.ok()?.json().await.ok()?;
            (!queue["queue_running"].as_array()?.is_empty()).then_some(())
        })
        .await
        .expect("working");
    }
}

impl Worker {
    /// Status and text of one of its pages; `None` while it can't be reached.
    pub(crate) async fn page(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.health)).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub(crate) async fn is_ready(&self) {
        self.says("/readyz", 200, "").await;
    }

    /// Waits until a page has this status and these words in it.
    pub(crate) async fn says(&self, path: &str, status: u16, words: &str) {
        let mut last = None;
        let said = wait_for("the page", PATIENCE, async || {
            last = self.page(path).await;
            last.as_ref().is_some_and(|(was, text)| *was == status && text.contains(words)).then_some(())
        });
        let said = said.await;
        assert!(said.is_ok(), "{path} should say {status} {words:?}, says {last:?}");
    }

    pub(crate) fn terminate(&self) {
        self.process.ask_to_end().expect("told");
    }

    pub(crate) fn kill9(&mut self) {
        self.process.kill9().expect("killed");
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        wait_for("it to exit", PATIENCE, async || self.process.ended()).await.expect("it exits")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}---", self.id, self.log());
        }
    }
}

/// A picture from a text, by the usual seven nodes.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) steps: u32,
    pub(crate) sampler: &'static str,
    pub(crate) seed: u64,
    /// Into how many segments its sampling is cut.
    pub(crate) segments: u32,
}

pub(crate) fn picture(steps: u32) -> Picture {
    Picture { width: 512, height: 512, steps, sampler: "euler", seed: 42, segments: 1 }
}

impl Picture {
    pub(crate) fn graph(&self) -> Value {
        json!({
            "3": {"class_type": "KSampler", "inputs": {
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
                "seed": self.seed, "steps": self.steps, "cfg": 7.0, "sampler_name": self.sampler,
                "scheduler": "normal", "denoise": 1.0}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MODEL}},
            "5": {"class_type": "EmptyLatentImage",
                  "inputs": {"width": self.width, "height": self.height, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "image"}},
        })
    }
}

impl From<Picture> for TaskSpec {
    fn from(picture: Picture) -> Self {
        let Picture { steps, seed, segments, .. } = picture;
        let cut = Cut { sampler: "3".into(), steps, segments };
        Self {
            seeds: vec![SeedAt { node: "3".into(), input: "seed".into(), first: seed, counts: true }],
            cut: Some(cut).filter(|cut| cut.segments > 1),
            black_is_wrong: true,
            ..workflow(picture.graph())
        }
    }
}

/// A graph as it is.
pub(crate) fn workflow(graph: Value) -> TaskSpec {
    let mut spec = json!({"timeoutSeconds": 300});
    spec["graph"] = graph;
    serde_json::from_value(spec).expect("a task")
}
