//! The listing of all images of a job, which whoever ends the last of them stores in the bucket.

use std::time::Duration;

use queue::{JobUid, Lease, Outcome, StoredImage, StoredObject};
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
    images: Vec<Image>,
}

/// In the words of an ImageJob's status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    index: u32,
    #[serde(flatten)]
    picture: Picture,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<Seed>,
    gpu_seconds: f64,
    capacity: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra: Vec<Picture>,
}

#[derive(Debug, Serialize)]
struct Picture {
    url: String,
    key: String,
    width: u32,
    height: u32,
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
        let images = loop {
            match self.images(job, lease.task.index).await {
                Ok(images) => break images,
                Err(error @ queue::Error::Malformed { .. }) => {
                    return Ending::rejected(queue::Reason::MalformedJob, error);
                }
                Err(error) => self.health.redis.fails(error),
            }
            backoff.wait().await;
        };
        let namespace = self.pool.split_once('/').map_or(self.pool.as_str(), |(namespace, _)| namespace);
        let json = match serde_json::to_vec(&Listing { namespace, uid: &job.0, images }) {
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

    async fn images(&self, job: &JobUid, total: u32) -> queue::Result<Vec<Image>> {
        let mut images = Vec::new();
        let mut from = 0;
        while from < total {
            let outcomes = self.queue.outcomes(job, from, PAGE.min(total - from)).await?;
            images.extend(outcomes.into_iter().filter_map(|outcome| self.image(outcome)));
            from += PAGE;
        }
        Ok(images)
    }

    fn image(&self, outcome: Outcome) -> Option<Image> {
        let Outcome { index, attempts, finished_ms: _, result } = outcome;
        let result = result.ok()?;
        let mut stored = result.images.into_iter();
        let first = stored.next()?;
        Some(Image {
            index,
            etag: first.etag.clone(),
            seed: first.seed.map(|seed| match seed {
                0..=LARGEST_NUMBER => Seed::Number(seed),
                larger => Seed::Text(larger.to_string()),
            }),
            picture: self.listed(first),
            gpu_seconds: seconds(result.gpu_ms),
            capacity: if result.capacity == "spot" { "Spot" } else { "OnDemand" },
            attempts,
            extra: stored.map(|image| self.listed(image)).collect(),
        })
    }

    fn listed(&self, image: StoredImage) -> Picture {
        let StoredImage { key, url, etag: _, bytes: _, width, height, seed: _ } = image;
        Picture { url: url.unwrap_or_else(|| self.store.output().url(&key)), key, width, height }
    }
}

#[allow(clippy::cast_precision_loss)] // exact for 285,000 years
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
