//! The work that the benchmark gives to the queue.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use queue::{
    Claim, ClassSetting, Completion, Job, JobUid, Lease, Queue, Settings, StoredFile, TaskResult, TaskSpec,
    Timings, WorkerId, Written,
};
use serde_json::json;

/// Makes jobs, of so many tenants in turn.
pub(crate) struct Jobs {
    made: AtomicU64,
    tenants: u64,
    payload: Bytes,
}

pub(crate) fn settings() -> Settings {
    let standard = ClassSetting {
        name: "standard".into(),
        sla: Duration::from_secs(300),
        capacities: vec!["spot".into()],
    };
    Settings { suspended: false, classes: vec![standard] }
}

pub(crate) async fn complete(queue: &Queue, worker: &str, leases: &[Lease]) -> Result<()> {
    let done: Vec<Completion> = leases
        .iter()
        .map(|lease| Completion {
            task: lease.task.clone(),
            attempt: lease.attempt,
            result: result(worker, lease),
        })
        .collect();
    let written = queue.complete_many(&WorkerId(worker.into()), &done).await?;
    ensure!(written.iter().all(|written| *written == Written::Accepted), "a completion was stale");
    Ok(())
}

pub(crate) fn claim(worker: &str, max: u32) -> Claim {
    Claim {
        worker: WorkerId(worker.into()),
        capacity: "spot".into(),
        loaded: Some("v1-5-pruned.safetensors".into()),
        max,
    }
}

impl Jobs {
    pub(crate) fn of(tenants: u64) -> Result<Self> {
        Ok(Self { made: AtomicU64::default(), tenants, payload: payload()? })
    }

    pub(crate) fn next(&self, total: u32) -> Job {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Job {
            uid: JobUid(format!("5d3cc4f5-b3f2-45a5-8c59-{number:012}")),
            tenant: format!("tenant-{}", number % self.tenants),
            weight: 1.0,
            max_running: None,
            class: "standard".into(),
            model: "v1-5-pruned.safetensors".into(),
            work: "picture v1-5-pruned.safetensors".into(),
            unit_ms: 100.0,
            arrival_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
            sla: Duration::from_secs(300),
            units: 20.0,
            total,
            retries: 2,
            max_failed_images: None,
            listing: false,
            recheck: false,
            suspended: false,
            payload: self.payload.clone(),
        }
    }
}

fn payload() -> Result<Bytes> {
    let spec = json!({
        "graph": {
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned.safetensors"}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {
                "text": "a lighthouse at dusk, oil on canvas, heavy waves, warm light in one window", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry, lowres", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0], "seed": 0,
                "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "image"}},
        },
        "seeds": [{"node": "3", "input": "seed", "first": 42, "counts": true}],
        "blackIsWrong": true,
        "timeoutSeconds": 300,
    });
    Ok(serde_json::from_value::<TaskSpec>(spec)?.to_payload()?)
}

fn result(worker: &str, lease: &Lease) -> TaskResult {
    TaskResult {
        outputs: vec![StoredFile {
            node: "9".into(),
            name: format!("image_{:05}.png", lease.task.index),
            media_type: "image/png".into(),
            bytes: 412_345,
            sha256: Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()),
            width: Some(512),
            height: Some(512),
            duration_ms: None,
            key: format!("generated/{}.png", lease.task),
            url: None,
            etag: "\"9b2cf535f27731c974343645a3985328\"".into(),
        }],
        seed: Some(42),
        gpu_ms: 1_834,
        capacity: "spot".into(),
        worker: WorkerId(worker.into()),
        found: false,
        timings: Some(Timings {
            queue_ms: 5_210,
            load_ms: 120,
            sample_ms: 1_560,
            decode_ms: 154,
            upload_ms: 61,
        }),
    }
}
