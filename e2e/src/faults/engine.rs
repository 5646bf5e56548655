//! A worker without an engine: what it claims is done at once, and it keeps account of it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use queue::{
    Claim, Lease, Queue, Reason, Release, StoredFile, StoredObject, TaskError, TaskKind, TaskResult,
    TaskSpec, WorkerId,
};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::Made;
use crate::{jobs::Studio, world::BUCKET};

/// The prompt of a picture that can't be made.
pub const HOPELESS: &str = "a round square";
/// Width and height of its pictures.
const SIZE: u32 = 8;
/// Nobody asks for it.
const ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A worker that claims from a studio's queue until it is dropped.
pub struct InstantEngine {
    made: Arc<Mutex<Made>>,
    claims: Arc<Mutex<Vec<String>>>,
    _working: AbortOnDropHandle<Result<()>>,
}

impl InstantEngine {
    /// Starts it.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn start(studio: &Studio<'_>) -> Result<Self> {
        Self::start_at(studio, Duration::ZERO).await
    }

    /// Starts one that takes so long for a picture, and claims one at a time; at no pace at all it claims many at once.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn start_at(studio: &Studio<'_>, pace: Duration) -> Result<Self> {
        let folder = studio.world.s3.lock().await.object_file(BUCKET, &format!("{}/", studio.namespace));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let made = Arc::<Mutex<Made>>::default();
        let worker = WorkerId(format!("{}-instant", studio.namespace));
        let claims = Arc::<Mutex<Vec<String>>>::default();
        let bench = Bench {
            queue: studio.queue().await?,
            worker,
            folder,
            pace,
            made: Arc::clone(&made),
            claims: Arc::clone(&claims),
        };
        Ok(Self { made, claims, _working: AbortOnDropHandle::new(tokio::spawn(bench.work())) })
    }

    /// What it has made so far.
    #[must_use]
    pub fn made(&self) -> Made {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The prompts of the pictures that it has claimed, in order.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Bench {
    queue: Queue,
    worker: WorkerId,
    folder: PathBuf,
    pace: Duration,
    made: Arc<Mutex<Made>>,
    claims: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    async fn work(self) -> Result<()> {
        let capacity = "onDemand".to_owned(); // it may serve all classes
        let max = if self.pace.is_zero() { 16 } else { 1 };
        let claim = Claim { worker: self.worker.clone(), capacity, loaded: None, max };
        loop {
            let leases = self.queue.claim(&claim).await?;
            if leases.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            for lease in leases {
                match lease.kind {
                    TaskKind::Image => self.make(&lease).await?,
                    TaskKind::Listing => self.list(&lease).await?,
                }
            }
        }
    }

    async fn make(&self, lease: &Lease) -> Result<()> {
        let picture = Picture::of(&self.queue.spec_of(lease).await?);
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).push(picture.prompt.clone());
        tokio::time::sleep(self.pace).await;
        if picture.prompt == HOPELESS {
            let error = TaskError { reason: Reason::EngineRejected, message: "it can't be".to_owned() };
            self.queue
                .release(&self.worker, &lease.task, lease.attempt, &Release::Rejected { error }, 0)
                .await?;
            return Ok(());
        }
        let name = format!("{}-{}.png", lease.task.job, lease.task.index);
        draw(&self.folder.join(&name))?;
        let result = self.result(&picture, lease.task.index, &name);
        self.queue.complete(&self.worker, &lease.task, lease.attempt, &result).await?;
        Ok(())
    }

    /// Writes the manifest of a job whose images are all made.
    async fn list(&self, lease: &Lease) -> Result<()> {
        let outcomes = self.queue.outcomes(&lease.task.job, 0, lease.task.index).await?;
        let made = outcomes.iter().filter_map(|outcome| {
            let image = outcome.result.as_ref().ok()?.outputs.first()?;
            Some(json!({ "index": outcome.index, "outputs": [{ "key": image.key }] }))
        });
        let manifest = serde_json::to_vec(&json!({ "results": made.collect::<Vec<_>>() }))?;
        let name = format!("{}/manifest.json", lease.task.job);
        fs::create_dir_all(self.folder.join(&lease.task.job.0))?;
        fs::write(self.folder.join(&name), &manifest)?;
        let stored = StoredObject {
            key: self.key(&name),
            url: None,
            etag: ETAG.to_owned(),
            bytes: u64::try_from(manifest.len())?,
        };
        self.queue.complete_listing(&self.worker, &lease.task, lease.attempt, &stored).await?;
        Ok(())
    }

    /// A file's key in the bucket.
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.file_name().unwrap_or_default().display())
    }

    fn result(&self, picture: &Picture, index: u32, name: &str) -> TaskResult {
        let seed = picture.seed + u64::from(index);
        self.made.lock().unwrap_or_else(PoisonError::into_inner).step(&picture.prompt, seed, 1);
        let file = StoredFile {
            node: "9".to_owned(),
            name: name.to_owned(),
            media_type: "image/png".to_owned(),
            bytes: 100,
            sha256: None,
            width: Some(SIZE),
            height: Some(SIZE),
            duration_ms: None,
            key: self.key(name),
            url: None,
            etag: ETAG.to_owned(),
        };
        let capacity = "spot".to_owned();
        TaskResult {
            outputs: vec![file],
            seed: Some(seed),
            gpu_ms: 1,
            capacity,
            worker: self.worker.clone(),
            found: false,
            timings: None,
        }
    }
}

/// What a text-to-image graph shows, and the seed of image 0.
struct Picture {
    prompt: String,
    seed: u64,
}

impl Picture {
    fn of(spec: &TaskSpec) -> Self {
        Self {
            prompt: spec.graph["6"]["inputs"]["text"].as_str().unwrap_or_default().to_owned(),
            seed: spec.seeds.first().map(|seed| seed.first).unwrap_or_default(),
        }
    }
}

/// Like an upload, it never overwrites.
fn draw(file: &Path) -> Result<()> {
    let Ok(file) = File::create_new(file) else { return Ok(()) };
    let mut encoder = png::Encoder::new(file, SIZE, SIZE);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels = [128; (SIZE * SIZE) as usize];
    Ok(encoder.write_header()?.write_image_data(&pixels)?)
}
