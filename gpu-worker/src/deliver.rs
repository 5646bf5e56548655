use std::time::Duration;

use queue::{Lease, StoredImage, TaskResult, WorkerId};
use store::{Error, Found, ImageFacts, Put};
use tokio::time::Instant;

use crate::{backoff::Backoff, ending::Ending, image::Image, task::Made, worker::Worker};

/// A bucket that refuses us is tried this long: somebody may be changing its credentials right now.
const REFUSED_PATIENCE: Duration = Duration::from_secs(60);
/// Looking for a picture is worth so many tries; making it again is the other way.
const LOOKS: u32 = 3;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

impl Worker {
    /// The result of an earlier attempt, if its pictures are all there.
    pub(crate) async fn find(&self, lease: &Lease) -> Option<TaskResult> {
        let first = self.look(lease, 0).await?;
        let ImageFacts { seed, gpu_ms, ref capacity, worker: ref maker, outputs, .. } =
            first.facts.clone()?;
        let mut images = vec![stored(first.clone(), first.facts.as_ref()?)];
        for n in 1..usize::try_from(outputs).ok()? {
            let found = self.look(lease, n).await?;
            let facts = found.facts.clone()?;
            images.push(stored(found, &facts));
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

    /// `None` if it is not there, or if that can't be told: then it is made again, under the same key.
    async fn look(&self, lease: &Lease, n: usize) -> Option<Found> {
        let key = self.store.output().image_key(&lease.task.job.0, lease.task.index, n);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        for _ in 0..LOOKS {
            match self.store.head(&key).await {
                Ok(found) => return Some(found),
                Err(Error::NotFound { .. } | Error::Denied { .. }) => return None,
                Err(error) => self.health.output.ill(error),
            }
            backoff.wait().await;
        }
        None
    }

    /// Stores what was made, for as long as it takes. The task's own image goes last, so that whoever finds it
    /// finds all.
    pub(crate) async fn deliver(&self, lease: &Lease, made: &Made) -> Ending {
        let began = Instant::now();
        let mut images = Vec::with_capacity(made.images.len());
        for (n, image) in made.images.iter().enumerate().rev() {
            match self.keep(lease, made, n, image).await {
                Ok(stored) => images.push(stored),
                Err(error) => return Ending::not_stored(&error),
            }
        }
        images.reverse();
        self.metrics.upload_seconds.observe(began.elapsed().as_secs_f64());
        Ending::Done(TaskResult {
            images,
            gpu_ms: made.engine_ms,
            capacity: self.capacity.as_str().into(),
            worker: self.id.clone(),
            found: false,
            dropped: Vec::new(),
        })
    }

    async fn keep(&self, lease: &Lease, made: &Made, n: usize, image: &Image) -> Result<StoredImage, Error> {
        let key = self.store.output().image_key(&lease.task.job.0, lease.task.index, n);
        let facts = ImageFacts {
            width: image.width,
            height: image.height,
            seed: made.seed,
            gpu_ms: made.engine_ms,
            attempt: lease.attempt,
            capacity: self.capacity.as_str().into(),
            worker: self.id.0.clone(),
            outputs: u32::try_from(made.images.len()).unwrap_or(u32::MAX),
        };
        let began = Instant::now();
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let error = match self.store.put_image(&key, image.png.clone(), &facts).await {
                Ok(put) => {
                    self.health.output.well();
                    return Ok(match put {
                        Put::Created { etag } => {
                            let bytes = u64::try_from(image.png.len()).unwrap_or(u64::MAX);
                            stored(Found { key, etag, bytes, facts: None }, &facts)
                        }
                        Put::Existed(found) => {
                            let known = found.facts.clone().unwrap_or(facts);
                            stored(found, &known)
                        }
                    });
                }
                Err(error) => error,
            };
            self.health.output.ill(&error);
            if !error.is_retryable() && began.elapsed() >= REFUSED_PATIENCE {
                return Err(error);
            }
            backoff.wait().await;
        }
    }
}

fn stored(found: Found, facts: &ImageFacts) -> StoredImage {
    let Found { key, etag, bytes, facts: _ } = found;
    StoredImage { key, url: None, etag, bytes, width: facts.width, height: facts.height, seed: facts.seed }
}
