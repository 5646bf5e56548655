//! Comfy's API v2.

mod assets;
mod events;
mod jobs;
mod list;
mod refusals;
mod submit;
mod uploads;

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, wait_for};

use crate::{
    clients::Shop,
    rig::{Answer, PATIENCE, Replica, Rig, answer},
};

/// A request for a picture.
fn picture(text: &str) -> Value {
    json!({"workflow": {
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "positive": ["6", 0]}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "cat", "images": ["3", 0]}},
    }})
}

async fn submit(rig: &Rig, replica: &Replica, key: &str, body: &Value) -> Answer {
    answer(rig.post(replica, "/api/v2/jobs", key).json(body)).await
}

/// Creates a job and returns its id.
async fn created(rig: &Rig, replica: &Replica, key: &str, body: &Value) -> String {
    let created = submit(rig, replica, key, body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json["id"].as_str().unwrap().to_owned()
}

async fn job(rig: &Rig, replica: &Replica, key: &str, id: &str) -> Value {
    let found = answer(rig.get(replica, &format!("/api/v2/jobs/{id}"), key)).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    found.json
}

/// Waits until the job has this status, and returns it.
async fn until_status(rig: &Rig, replica: &Replica, key: &str, id: &str, status: &str) -> Value {
    wait_for(&format!("the job to be {status}"), PATIENCE, async || {
        Some(job(rig, replica, key, id).await).filter(|job| job["status"] == status)
    })
    .await
    .unwrap()
}

/// The status of a job of pool `sd15` with these files, one an image.
fn made(rig: &Rig, s3: &S3, files: &[&str]) -> Value {
    let result = |(index, name): (usize, &&str)| {
        json!({"index": index, "gpuSeconds": "1", "capacity": "Spot", "amount": "0.01", "attempts": 1,
            "outputs": [{"node": "9", "name": name, "mediaType": "image/png", "bytes": 77,
                "key": format!("generated/{name}"), "url": format!("https://cdn.example.com/generated/{name}")}]})
    };
    let mut status = rig.output("sd15", s3);
    status["results"] = files.iter().enumerate().map(result).collect();
    status
}

#[tokio::test]
async fn comfys_own_sdk_does_all_that_it_does_with_comfys_own_service() {
    Shop::open().await.run("comfy_sdk_test.py").await;
}
