//! Makes the pictures of a studio's jobs, as operator and workers do, but without an engine: for tests of clients, which
//! look at answers and not at pictures. The whole system is tested in e2e.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use crds::{ImageJob, WorkOf};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{FileFacts, Keys, Output, Store};
use testkit::S3;
use tokio_util::task::AbortOnDropHandle;

use crate::rig::Rig;

/// A PNG of one black pixel.
pub(crate) const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00,
    0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60, 0x00, 0x00, 0x00, 0x02, 0x00, 0x01,
    0x48, 0xaf, 0xa4, 0x71, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// Between two looks for jobs.
const LOOK: Duration = Duration::from_millis(100);
/// A prompt with this word fails.
const FAILS: &str = "fail";

/// Makes pictures until it is dropped.
pub(crate) struct Maker(#[allow(dead_code, reason = "held")] AbortOnDropHandle<()>);

impl Maker {
    /// One for the jobs of the studio, whose pool of this name exists. A picture takes `each`. Jobs whose prompt or graph has
    /// the word `fail` fail.
    pub(crate) async fn start(rig: &Rig, pool: &str, s3: &S3, each: Duration) -> Self {
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
        let store = Box::pin(Store::open_with_keys(&output, keys)).await.expect("a store");
        let work = Work { jobs: rig.jobs(), store, accepted: rig.output(pool, s3), each };
        Self(AbortOnDropHandle::new(tokio::spawn(work.run())))
    }
}

struct Work {
    jobs: Api<ImageJob>,
    store: Store,
    /// What of a status says where the files go.
    accepted: Value,
    each: Duration,
}

impl Work {
    async fn run(self) {
        let mut begun = HashSet::new();
        loop {
            let jobs =
                self.jobs.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
            for job in jobs {
                if begun.insert(job.uid()) {
                    self.make(&job).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn make(&self, job: &ImageJob) {
        let (name, count) = (job.name_any(), job.spec.count);
        let mut status = self.accepted.clone();
        status["acceptedTime"] = json!(job.creation_timestamp());
        status["startTime"] = status["acceptedTime"].clone();
        status["counts"] =
            json!({"total": count, "waiting": 0, "running": count, "succeeded": 0, "failed": 0});
        self.say(&name, &status, "Running", None).await;
        tokio::time::sleep(self.each * count).await;
        status["completionTime"] = json!(crds::Time(jiff::Timestamp::now()));
        let cancelled = self.jobs.get(&name).await.is_ok_and(|job| job.spec.cancel);
        let work = serde_json::to_string(&job.spec.work).unwrap_or_default();
        if cancelled {
            self.say(&name, &status, "Cancelled", Some("Failed")).await;
        } else if work.contains(FAILS) {
            status["failures"] = json!([{"index": 0, "reason": "NodeFailed", "message": "node 3 (KSampler): it is asked to fail", "attempts": 3}]);
            self.say(&name, &status, "ImagesFailed", Some("Failed")).await;
        } else {
            let mut results = vec![];
            for index in 0..count {
                results.push(self.picture(job, index).await);
            }
            status["results"] = json!(results);
            status["seed"] = json!(42);
            status["counts"] =
                json!({"total": count, "waiting": 0, "running": 0, "succeeded": count, "failed": 0});
            status["cost"] = json!({"gpuSeconds": "1", "amount": "0.0003", "onDemandAmount": "0.001", "savingPercent": 70, "currency": "USD"});
            self.say(&name, &status, "Completed", Some("Complete")).await;
        }
    }

    async fn picture(&self, job: &ImageJob, index: u32) -> Value {
        let node = match job.spec.work.of_type() {
            Ok(WorkOf::Workflow(workflow)) => {
                let saves = |node: &&(&String, &Value)| {
                    node.1["class_type"].as_str().is_some_and(|class| class.contains("Image"))
                };
                let graph = workflow.graph.as_ref();
                let found = graph.and_then(|graph| {
                    graph
                        .iter()
                        .filter(|(_, node)| node["class_type"] == "SaveImage")
                        .find(|node| saves(&node))
                });
                found.map_or_else(|| "9".to_owned(), |(id, _)| id.clone())
            }
            _ => "9".to_owned(),
        };
        let key = self.store.output().file_key(&job.uid().unwrap_or_default(), index, 0, "png");
        let sha256: String = Sha256::digest(PNG).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("ComfyUI_{index:05}.png");
        let facts = FileFacts {
            node: node.clone(),
            name: name.clone(),
            media_type: "image/png".into(),
            width: Some(1),
            height: Some(1),
            duration_ms: None,
            sha256: sha256.clone(),
            seed: Some(42),
            gpu_ms: 1000,
            attempt: 1,
            capacity: "spot".into(),
            worker: "w".into(),
            extensions: vec!["png".into()],
            labels: String::new(),
        };
        self.store.put_file(&key, Bytes::from_static(PNG), &facts).await.expect("stored");
        json!({
            "index": index, "seed": 42 + index, "gpuSeconds": "1", "capacity": "Spot", "amount": "0.0003", "attempts": 1,
            "outputs": [{"node": node, "name": name, "mediaType": "image/png", "bytes": PNG.len(), "sha256": sha256,
                "width": 1, "height": 1, "key": key, "url": self.store.output().url(&key)}],
            "timings": {"queueMs": 10, "loadMs": 100, "sampleMs": 800, "decodeMs": 50, "uploadMs": 40},
        })
    }

    async fn say(&self, job: &str, status: &Value, reason: &str, end: Option<&str>) {
        let at = "2026-01-01T00:00:00Z";
        let condition = |kind: &str, status: bool| {
            let status = if status { "True" } else { "False" };
            json!({"type": kind, "status": status, "reason": reason, "message": format!("It is {reason}."), "lastTransitionTime": at})
        };
        let mut status = status.clone();
        let ready = condition("Ready", end == Some("Complete"));
        status["conditions"] = end.map_or_else(|| json!([ready]), |end| json!([ready, condition(end, true)]));
        let patch = Patch::Merge(json!({"status": status}));
        // A job may be deleted meanwhile.
        let _ = self.jobs.patch_status(job, &PatchParams::default(), &patch).await;
    }
}
