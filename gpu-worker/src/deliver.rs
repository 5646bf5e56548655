use std::time::Duration;

use queue::{Lease, Reason, StoredImage, TaskResult, WorkerId};
use store::{Error, Found, ImageFacts, Put};
use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    collect::{Lost, collect, is_black},
    comfyui::Output,
    ending::Ending,
    picture::Picture,
    task::Made,
    worker::Worker,
};

/// Looking for a picture is worth so many tries; making it again is the other way.
const LOOKS: u32 = 3;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The result names at most this many files that are not kept.
const LEFT_OUT_NAMED: usize = 5;
const BLACK: &str =
    "every pixel is black, as when the model's numbers overflow; try another model, VAE or precision";

/// Why pictures that were made were not delivered.
#[derive(Debug)]
pub(crate) enum Undelivered {
    Lost(Lost),
    Ended(Ending),
}

impl From<Lost> for Undelivered {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl Worker {
    /// The result of an earlier attempt, if its pictures are all there.
    pub(crate) async fn find(&self, lease: &Lease) -> Option<TaskResult> {
        let first = self.look(lease, 0).await?;
        let ImageFacts { seed, gpu_ms, ref capacity, worker: ref maker, outputs, .. } =
            first.facts.clone()?;
        let mut images = vec![self.stored(first.clone(), first.facts.as_ref()?)];
        for n in 1..usize::try_from(outputs).ok()? {
            let found = self.look(lease, n).await?;
            let facts = found.facts.clone()?;
            images.push(self.stored(found, &facts));
        }
        tracing::info!(task = %lease.task, attempt = lease.attempt, ?seed, "found the picture of an earlier attempt");
        Some(TaskResult {
            images,
            gpu_ms,
            capacity: capacity.clone(),
            worker: WorkerId(maker.clone()),
            found: true,
            dropped: Vec::new(),
        })
    }

    /// `None` if the object is not there, or if the bucket does not say: then the picture is made again, under the same key.
    async fn look(&self, lease: &Lease, n: usize) -> Option<Found> {
        let key = self.store.output().image_key(&lease.task.job.0, lease.task.index, n);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        for _ in 0..LOOKS {
            match self.store.head(&key).await {
                Ok(found) => return Some(found),
                Err(Error::NotFound { .. } | Error::Denied { .. }) => return None,
                Err(error) => self.health.output_fails(&error),
            }
            backoff.wait().await;
        }
        None
    }

    /// Brings what was made from the engine to the bucket, one file after the other, for as long as it takes. The
    /// task's own image goes last, so that whoever finds it finds all.
    pub(crate) async fn deliver(&self, lease: &Lease, made: &Made) -> Result<TaskResult, Undelivered> {
        let began = Instant::now();
        let mut images = Vec::with_capacity(made.outputs.len());
        for (n, output) in made.outputs.iter().enumerate().rev() {
            let collected = collect(&self.engine, &self.budget, output, self.texts).await?;
            if made.black_is_wrong && is_black(output, &collected.picture).await? {
                return Err(Undelivered::Ended(Ending::doubted(Reason::BlackImage, BLACK)));
            }
            images.push(self.keep(lease, made, n, &collected.picture).await?);
        }
        images.reverse();
        self.metrics.upload_seconds.observe(began.elapsed().as_secs_f64());
        Ok(TaskResult {
            images,
            gpu_ms: made.engine_ms,
            capacity: self.capacity.as_str().into(),
            worker: self.id.clone(),
            found: false,
            dropped: left_out(&made.left_out),
        })
    }

    /// Stores a picture, and keeps it until the bucket takes it.
    async fn keep(
        &self,
        lease: &Lease,
        made: &Made,
        n: usize,
        picture: &Picture,
    ) -> Result<StoredImage, Undelivered> {
        let key = self.store.output().image_key(&lease.task.job.0, lease.task.index, n);
        let facts = ImageFacts {
            width: picture.width,
            height: picture.height,
            seed: made.seed,
            gpu_ms: made.engine_ms,
            attempt: lease.attempt,
            capacity: self.capacity.as_str().into(),
            worker: self.id.0.clone(),
            outputs: u32::try_from(made.outputs.len()).unwrap_or(u32::MAX),
        };
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let error = match self.store.put_image(&key, picture.png.clone(), &facts).await {
                Ok(put) => {
                    self.health.output.works();
                    return Ok(match put {
                        Put::Created { etag } => {
                            let bytes = u64::try_from(picture.png.len()).unwrap_or(u64::MAX);
                            self.stored(Found { key, etag, bytes, facts: None }, &facts)
                        }
                        Put::Existed(found) => {
                            let known = found.facts.clone().unwrap_or(facts);
                            self.stored(found, &known)
                        }
                    });
                }
                Err(error) => error,
            };
            // A bucket that takes others refuses this one for what it is.
            if matches!(error, Error::Unexpected { .. }) && self.store.probe().await.is_ok() {
                return Err(Undelivered::Ended(Ending::rejected(Reason::OutputFailed, error)));
            }
            self.health.output_fails(&error);
            backoff.wait().await;
        }
    }

    fn stored(&self, found: Found, facts: &ImageFacts) -> StoredImage {
        let Found { key, etag, bytes, facts: _ } = found;
        let url = Some(self.store.output().url(&key));
        StoredImage { key, url, etag, bytes, width: facts.width, height: facts.height, seed: facts.seed }
    }
}

/// For people.
fn left_out(outputs: &[Output]) -> Vec<String> {
    let mut names: Vec<String> = outputs
        .iter()
        .take(LEFT_OUT_NAMED)
        .map(|output| format!("{output} is not kept: only PNG images are"))
        .collect();
    if outputs.len() > LEFT_OUT_NAMED {
        names.push(format!("and {} more", outputs.len() - LEFT_OUT_NAMED));
    }
    names
}
