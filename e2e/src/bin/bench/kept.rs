//! Finished jobs that nobody has deleted, put straight into etcd: the API server would take minutes to be told of them
//! one by one.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use crds::ImageJob;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::pipeline::{DEADLINE, NAMESPACE};

/// Keys written in one transaction; etcd allows no more than 128.
const BATCH: usize = 100;

/// Puts so many copies of a finished job beside it.
pub(crate) async fn put(client: &Client, state: &Path, finished: &str, jobs: usize) -> Result<()> {
    let api: Api<ImageJob> = Api::namespaced(client.clone(), NAMESPACE);
    let job = serde_json::to_value(api.get(finished).await?)?;
    ensure!(job["status"]["completionTime"].is_string(), "{finished} has not ended: {job}");
    let etcd = reqwest::Client::builder().unix_socket(state.join("etcd.sock")).build()?;
    let numbers: Vec<usize> = (0..jobs).collect();
    for batch in numbers.chunks(BATCH) {
        let puts: Vec<Value> = batch.iter().map(|n| put_request(&job, *n)).collect();
        let request = etcd.post("http://etcd/v3/kv/txn").json(&json!({ "success": puts }));
        let answer = request.send().await.context("etcd's HTTP gateway")?;
        let status = answer.status();
        ensure!(status.is_success(), "etcd: {status}: {}", answer.text().await.unwrap_or_default());
    }
    let last = format!("kept-{}", jobs - 1);
    let shown = async || api.get_opt(&last).await.ok().flatten().filter(|job| job.status.is_some());
    wait_for("the API server to show them", DEADLINE, shown).await?;
    let some = api.list(&ListParams::default().limit(1)).await?;
    ensure!(some.items.iter().all(|job| job.uid().is_some()), "an object without a uid");
    Ok(())
}

/// As the API server stores a custom resource: JSON, without a version.
fn put_request(job: &Value, n: usize) -> Value {
    let name = format!("kept-{n}");
    let mut job = job.clone();
    job["metadata"]["name"] = name.as_str().into();
    job["metadata"]["uid"] = format!("aaaaaaaa-0000-4000-8000-{n:012x}").into();
    if let Some(metadata) = job["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let key = format!("/registry/imagejob.dev/imagejobs/{NAMESPACE}/{name}");
    json!({ "requestPut": { "key": BASE64.encode(key), "value": BASE64.encode(job.to_string()) } })
}
