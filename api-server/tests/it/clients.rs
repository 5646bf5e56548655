//! Real clients, in Python, against a replica.

use std::{path::Path, process::Output, time::Duration};

use crds::ImageJob;
use kube::{ResourceExt as _, api::ListParams};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testkit::{S3, S3Options};
use tokio::{process::Command, sync::OnceCell};

use crate::{
    maker::Maker,
    rig::{Replica, Rig},
};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tools/python.sh");

/// A studio whose jobs are made, a replica, and a key.
pub(crate) struct Shop {
    pub(crate) rig: Rig,
    pub(crate) replica: Replica,
    pub(crate) key: String,
    s3: S3,
    _maker: Maker,
}

impl Shop {
    /// Opens it: pool `sd15` with the model `sd15.safetensors`; pictures take a moment.
    pub(crate) async fn open() -> Self {
        Self::open_for(json!({}), Duration::from_millis(300)).await
    }

    /// One for a tenant with this spec, where a picture takes `each`.
    pub(crate) async fn open_for(tenant: Value, each: Duration) -> Self {
        let rig = Rig::start().await;
        let s3 = S3::start(S3Options::default()).await.expect("S3");
        let models = json!([{"name": "sd15.safetensors", "folder": "checkpoints", "family": "SD15"}]);
        rig.pool("sd15", &s3, |pool| pool["status"] = json!({"models": models})).await;
        let key = rig.tenant_with_key("acme", tenant).await;
        let replica = rig.replica_at_home().await;
        let maker = Maker::start(&rig, "sd15", &s3, each).await;
        Self { rig, replica, key, s3, _maker: maker }
    }

    /// What was handed in for the job's input of this name.
    pub(crate) async fn input(&self, job: &ImageJob, name: &str) -> Vec<u8> {
        let input = job.spec.inputs.iter().find(|input| input.name == name).expect("the input");
        let key = &input.from.s3.as_ref().expect("an object").key;
        std::fs::read(self.s3.object_file("images", key)).expect("a file")
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.rig.get(&self.replica, path, &self.key)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.rig.post(&self.replica, path, &self.key).json(body)
    }

    /// All jobs, the newest first.
    pub(crate) async fn jobs(&self) -> Vec<ImageJob> {
        let mut jobs = self.rig.jobs().list(&ListParams::default()).await.expect("a list").items;
        jobs.sort_by_key(|job| std::cmp::Reverse(job.creation_timestamp()));
        jobs
    }

    /// Runs a script of tests/clients, which finds API_URL, API_KEY and OTHER_KEY, a key of another tenant, in its
    /// environment; panics with its words if it fails.
    pub(crate) async fn run(&self, script: &str) {
        let other = self.rig.tenant_with_key("other", json!({})).await;
        let output = Command::new(python().await)
            .arg(Path::new(CLIENTS).join(script))
            .env("API_URL", format!("http://{}", self.replica.address))
            .env("API_KEY", &self.key)
            .env("OTHER_KEY", other)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(120), output)
            .await
            .expect("it ends in time")
            .expect("it runs");
        assert!(output.status.success(), "{script}:\n{}\n{}", said(&output), self.replica.said());
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A Python that has the clients.
pub(crate) async fn python() -> &'static str {
    static FOUND: OnceCell<String> = OnceCell::const_new();
    FOUND.get_or_init(|| async { python_with(&format!("{CLIENTS}/requirements.txt")).await }).await
}

/// A Python that has the packages of a requirements file.
pub(crate) async fn python_with(requirements: &str) -> String {
    let output = Command::new(PYTHON).arg(requirements).output().await.expect("a script");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

#[tokio::test]
async fn pythons_standard_library_is_client_enough() {
    Shop::open().await.run("plain_python.py").await;
}

#[tokio::test]
async fn every_answer_is_as_the_openapi_document_says() {
    Shop::open().await.run("openapi_check.py").await;
}
