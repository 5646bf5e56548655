use std::time::Duration;

use queue::{Lease, Reason, StoredFile, TaskResult, TaskSpec, Timings, WorkerId};
use store::{Error, FileFacts, Found, Put};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    backoff::Backoff,
    collect::{Collected, Lost, collect, converted, is_black},
    comfyui::Output,
    ending::Ending,
    names::{expected_extensions, hex, names},
    task::Made,
    worker::Worker,
};

/// Looking for a picture is worth so many tries; making it again is the other way.
const LOOKS: u32 = 3;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
const BLACK: &str =
    "every pixel is black, as when the model's numbers overflow; try another model, VAE or precision";

/// Why files that were made were not delivered.
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
    /// The result of an earlier attempt, if its files are all there.
    pub(crate) async fn find(&self, lease: &Lease, spec: &TaskSpec) -> Option<TaskResult> {
        let (first, facts) = self.find_first(lease, spec).await?;
        let FileFacts { seed, gpu_ms, ref capacity, ref worker, ref extensions, .. } = facts;
        let mut outputs = vec![self.stored(first, &facts)];
        for (n, extension) in extensions.iter().enumerate().skip(1) {
            let found = self.look(lease, n, extension).await?;
            let facts = found.facts.clone()?;
            outputs.push(self.stored(found, &facts));
        }
        tracing::info!(task = %lease.task, attempt = lease.attempt, ?seed, "found the files of an earlier attempt");
        Some(TaskResult {
            outputs,
            seed,
            gpu_ms,
            capacity: capacity.clone(),
            worker: WorkerId(worker.clone()),
            found: true,
            timings: None,
        })
    }

    /// Which extension it has is not known before it is made.
    async fn find_first(&self, lease: &Lease, spec: &TaskSpec) -> Option<(Found, FileFacts)> {
        for extension in expected_extensions(spec) {
            if let Some(found) = self.look(lease, 0, extension).await
                && let Some(facts) = found.facts.clone()
            {
                return Some((found, facts));
            }
        }
        None
    }

    /// `None` if the object is not there, or if the bucket does not say: then the image is made again, under the same key.
    async fn look(&self, lease: &Lease, n: usize, extension: &str) -> Option<Found> {
        let key = self.store.output().file_key(&lease.task.job.0, lease.task.index, n, extension);
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

    /// Brings what was made from the engine to the bucket, one file after the other, for as long as it takes. The most
    /// important one goes last, so that whoever finds it finds all.
    pub(crate) async fn deliver(
        &self,
        lease: &Lease,
        spec: &TaskSpec,
        made: &Made,
    ) -> Result<TaskResult, Undelivered> {
        let began = Instant::now();
        let names = names(spec, &made.outputs, lease.task.index);
        let mut extensions = vec![String::new(); made.outputs.len()];
        let mut outputs = Vec::with_capacity(made.outputs.len());
        for (n, (output, name)) in made.outputs.iter().zip(&names).enumerate().rev() {
            let collecting = self.take(output, spec).instrument(tracing::info_span!("collect"));
            let collected = collecting.await?;
            let extension = collected.facts.extension.clone();
            if let Some(place) = extensions.get_mut(n) {
                place.clone_from(&extension);
            }
            let facts = FileFacts {
                node: output.node.clone(),
                name: format!("{name}.{extension}"),
                media_type: collected.facts.media_type.as_str().to_owned(),
                width: collected.facts.size.map(|(width, _)| width),
                height: collected.facts.size.map(|(_, height)| height),
                duration_ms: collected.facts.duration_ms,
                sha256: hex(&collected.facts.sha256),
                seed: made.seed,
                gpu_ms: made.engine_ms,
                attempt: lease.attempt,
                capacity: self.capacity.as_str().into(),
                worker: self.id.0.clone(),
                extensions: extensions.clone(),
                labels: FileFacts::labels_of(&spec.labels),
            };
            let key = self.store.output().file_key(&lease.task.job.0, lease.task.index, n, &extension);
            let upload = tracing::info_span!("upload", imagejob.bytes = collected.facts.bytes);
            outputs.push(self.keep(key, facts, collected).instrument(upload).await?);
        }
        outputs.reverse();
        let took = began.elapsed();
        self.metrics.upload_seconds.observe(took.as_secs_f64());
        let upload_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(TaskResult {
            outputs,
            seed: made.seed,
            gpu_ms: made.engine_ms,
            capacity: self.capacity.as_str().into(),
            worker: self.id.clone(),
            found: false,
            timings: Some(Timings { upload_ms, ..made.timings }),
        })
    }

    /// Takes a file from the engine, checks it, and brings it into its form.
    async fn take(&self, output: &Output, spec: &TaskSpec) -> Result<Collected, Undelivered> {
        let collected = collect(&self.engine, &self.budget, output, spec.form).await?;
        if spec.black_is_wrong && is_black(&self.budget, output, &collected).await? {
            return Err(Undelivered::Ended(Ending::doubted(Reason::BlackImage, BLACK)));
        }
        Ok(converted(&self.budget, output, collected, spec.form).await?)
    }

    /// Stores a file, and keeps it until the bucket takes it.
    async fn keep(&self, key: String, facts: FileFacts, file: Collected) -> Result<StoredFile, Undelivered> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let error = match self.store.put_file(&key, file.content(), &facts).await {
                Ok(put) => {
                    self.health.output.works();
                    return Ok(match put {
                        Put::Created { etag } => {
                            let bytes = file.facts.bytes;
                            self.stored(Found { key, etag, bytes, facts: None }, &facts)
                        }
                        Put::Existed(found) => {
                            let known = found.facts.clone().unwrap_or(facts);
                            self.stored(*found, &known)
                        }
                    });
                }
                Err(error) => error,
            };
            if let Some(lost) = file.lost() {
                return Err(lost.into());
            }
            // A bucket that takes others refuses this one for what it is.
            if matches!(error, Error::Unexpected { .. }) && self.store.probe().await.is_ok() {
                return Err(Undelivered::Ended(Ending::rejected(Reason::OutputFailed, error)));
            }
            self.health.output_fails(&error);
            backoff.wait().await;
        }
    }

    fn stored(&self, found: Found, facts: &FileFacts) -> StoredFile {
        let Found { key, etag, bytes, facts: _ } = found;
        StoredFile {
            node: facts.node.clone(),
            name: facts.name.clone(),
            media_type: facts.media_type.clone(),
            bytes,
            sha256: Some(facts.sha256.clone()),
            width: facts.width,
            height: facts.height,
            duration_ms: facts.duration_ms,
            url: Some(self.store.output().url(&key)),
            key,
            etag,
        }
    }
}
