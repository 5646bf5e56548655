//! The listing of all images of a job, which whoever ends the last of them stores in the bucket.

use std::time::Duration;

use queue::{JobUid, Lease, Outcome, StoredFile, StoredObject, Timings};
use serde::Serialize;

use crate::{backoff::Backoff, ending::Ending, worker::Worker};

/// Outcomes read at once.
const PAGE: u32 = 500;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The largest seed that every reader of JSON keeps as it is.
const LARGEST_NUMBER: u64 = i64::MAX as u64;

/// What stands in the bucket.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    namespace: &'a str,
    uid: &'a str,
    /// By index; one that failed is missing.
    results: Vec<JobResult>,
}

/// In the words of an ImageJob's status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobResult {
    index: u32,
    outputs: Vec<OutputFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<Seed>,
    gpu_seconds: String,
    capacity: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputFile {
    node: String,
    name: String,
    media_type: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<String>,
    key: String,
    url: String,
}

/// A number, or a text where it is too large for one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Seed {
    Number(u64),
    Text(String),
}

impl Worker {
    /// Writes the listing of a job whose images have all ended, for as long as it takes.
    pub(crate) async fn list(&self, lease: &Lease) -> Ending {
        let job = &lease.task.job;
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let results = loop {
            match self.results(job, lease.task.index).await {
                Ok(results) => break results,
                Err(error @ queue::Error::Malformed { .. }) => {
                    return Ending::rejected(queue::Reason::MalformedJob, error);
                }
                Err(error) => self.health.redis.fails(error),
            }
            backoff.wait().await;
        };
        let namespace = self.pool.split_once('/').map_or(self.pool.as_str(), |(namespace, _)| namespace);
        let json = match serde_json::to_vec(&Listing { namespace, uid: &job.0, results }) {
            Ok(json) => bytes::Bytes::from(json),
            Err(error) => return Ending::rejected(queue::Reason::MalformedJob, error),
        };
        let key = self.store.output().manifest_key(&job.0);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self.store.put_json(&key, json.clone()).await {
                Ok(etag) => {
                    self.health.output.works();
                    let url = Some(self.store.output().url(&key));
                    return Ending::Listed(StoredObject { key, url, etag, bytes: json.len() as u64 });
                }
                Err(error) => self.health.output_fails(&error),
            }
            backoff.wait().await;
        }
    }

    async fn results(&self, job: &JobUid, total: u32) -> queue::Result<Vec<JobResult>> {
        let mut results = Vec::new();
        let mut from = 0;
        while from < total {
            let outcomes = self.queue.outcomes(job, from, PAGE.min(total - from)).await?;
            results.extend(outcomes.into_iter().filter_map(|outcome| self.result(outcome)));
            from += PAGE;
        }
        Ok(results)
    }

    fn result(&self, outcome: Outcome) -> Option<JobResult> {
        let Outcome { index, attempts, finished_ms: _, result } = outcome;
        let result = result.ok()?;
        Some(JobResult {
            index,
            outputs: result.outputs.into_iter().map(|file| self.listed(file)).collect(),
            seed: result.seed.map(|seed| match seed {
                0..=LARGEST_NUMBER => Seed::Number(seed),
                larger => Seed::Text(larger.to_string()),
            }),
            gpu_seconds: seconds(result.gpu_ms),
            capacity: if result.capacity == "spot" { "Spot" } else { "OnDemand" },
            attempts,
            timings: result.timings,
        })
    }

    fn listed(&self, file: StoredFile) -> OutputFile {
        let StoredFile {
            node,
            name,
            media_type,
            bytes,
            sha256,
            width,
            height,
            duration_ms,
            key,
            url,
            etag: _,
        } = file;
        OutputFile {
            url: url.unwrap_or_else(|| self.store.output().url(&key)),
            duration_seconds: duration_ms.map(seconds),
            node,
            name,
            media_type,
            bytes,
            sha256,
            width,
            height,
            key,
        }
    }
}

/// As the status writes decimals: `7`, `7.5`, `0.125`.
fn seconds(ms: u64) -> String {
    match format!("{:03}", ms % 1000).trim_end_matches('0') {
        "" => (ms / 1000).to_string(),
        fraction => format!("{}.{fraction}", ms / 1000),
    }
}
