//! ComfyUI's own protocol.

mod engine;
mod history;
mod prompt;
mod queue;
mod socket;
mod uploads;

use ::queue::JobUid;
use ::store::{FileFacts, Keys, Output, Store};
use bytes::Bytes;
use kube::ResourceExt as _;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use testkit::{S3, wait_for};

use crate::rig::{Answer, PATIENCE, Replica, Rig, answer};

/// A small graph that makes a picture.
pub(crate) fn graph(text: &str) -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 42, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    })
}

async fn get(rig: &Rig, replica: &Replica, path: &str, key: &str) -> Answer {
    answer(rig.get(replica, path, key)).await
}

async fn post(rig: &Rig, replica: &Replica, path: &str, key: &str, body: &Value) -> Answer {
    answer(rig.post(replica, path, key).json(body)).await
}

/// Sends a prompt; returns its id.
async fn send(rig: &Rig, replica: &Replica, key: &str, client_id: &str, text: &str) -> String {
    let body = json!({"prompt": graph(text), "client_id": client_id});
    let sent = post(rig, replica, "/prompt", key, &body).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    sent.json["prompt_id"].as_str().unwrap().to_owned()
}

/// A file that a job made, as its status has it.
fn made(node: &str, key: &str, bytes: usize) -> Value {
    let file = json!({"node": node, "name": "ComfyUI_00000.png", "mediaType": "image/png", "bytes": bytes, "key": key,
        "url": format!("https://cdn.example.com/{key}")});
    json!({"index": 0, "outputs": [file], "gpuSeconds": "1", "capacity": "Spot", "amount": "0.01", "attempts": 1})
}

/// The bucket of pools.
pub(crate) async fn store(s3: &S3) -> Store {
    let keys = Keys {
        access_key_id: s3.options().access_key.clone(),
        secret_access_key: s3.options().secret_key.clone(),
        session_token: None,
    };
    let output = Output { endpoint: Some(s3.endpoint()), path_style: true, ..Output::new("images") };
    Box::pin(Store::open_with_keys(&output, keys)).await.unwrap()
}

/// Puts a picture there.
async fn put(s3: &S3, key: &str, content: &Bytes) {
    let facts = FileFacts {
        node: "9".into(),
        name: "ComfyUI_00000.png".into(),
        media_type: "image/png".into(),
        width: None,
        height: None,
        duration_ms: None,
        sha256: String::new(),
        seed: None,
        gpu_ms: 1,
        attempt: 1,
        capacity: "spot".into(),
        worker: "w".into(),
        extensions: vec!["png".into()],
        labels: String::new(),
    };
    store(s3).await.put_file(key, content.clone(), &facts).await.unwrap();
}

/// The job is done, with one file of node 9.
async fn complete(rig: &Rig, id: &str, more: Value) {
    let mut status =
        json!({"results": [made("9", "generated/a.png", 3)], "completionTime": "2026-01-01T00:00:09Z"});
    status.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    rig.say(id, &[("Ready", "Completed"), ("Complete", "Completed")], status).await;
}

async fn fail(rig: &Rig, id: &str) {
    let failure = json!({"index": 0, "reason": "NodeFailed", "message": "node 3 (KSampler): out of luck", "attempts": 3});
    rig.say(id, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], json!({"failures": [failure]}))
        .await;
}

async fn cancelled(rig: &Rig, id: &str) {
    rig.say(id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
}

async fn uid(rig: &Rig, id: &str) -> JobUid {
    JobUid(rig.jobs().get(id).await.unwrap().uid().unwrap())
}

/// The history of a prompt, once it is there.
async fn history(rig: &Rig, replica: &Replica, key: &str, id: &str) -> Value {
    wait_for("the history", PATIENCE, async || {
        let mut answer = get(rig, replica, &format!("/history/{id}"), key).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json.as_object_mut().and_then(|all: &mut Map<String, Value>| all.remove(id))
    })
    .await
    .unwrap()
}
