//! What there is to know of a namespace's jobs, seen from outside: the API server's, the queue's, the bucket's and the
//! engines' side of it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use anyhow::{Context as _, Result};
use crds::ImageJob;
use k8s_openapi::api::events::v1::Event;
use kube::{ResourceExt as _, api::ListParams};
use serde::Deserialize;

use super::verdict::Listed;
use crate::{jobs::Studio, services::PROBE, world::BUCKET};

/// All that is known.
#[derive(Debug, Default)]
pub struct Facts {
    /// The jobs, as the API server has them.
    pub jobs: Vec<ImageJob>,
    /// The uids of jobs that were deleted.
    pub deleted: Vec<String>,
    /// Of jobs with a manifest, the keys it lists.
    pub(super) manifests: HashMap<String, Listed>,
    /// Uid of the job and reason of each Event.
    pub events: Vec<(String, String)>,
    /// What the queue still knows of, in words.
    pub left_in_queue: Vec<String>,
    /// What lies in the bucket.
    pub objects: Vec<Object>,
    /// What the engines did.
    pub made: Made,
}

/// An object in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Whether it is a whole PNG.
    pub decodes: bool,
    /// How often it was written.
    pub writes: usize,
}

impl Object {
    /// Whether it is a picture of this job, as [`InstantEngine`](super::InstantEngine) names them.
    pub(super) fn is_of(&self, uid: &str) -> bool {
        self.key.rsplit('/').next().is_some_and(|name| name.starts_with(uid))
    }
}

impl Facts {
    /// Gathers them for the studio's jobs, whose pictures lie in the folder of its name.
    ///
    /// # Errors
    /// When API server, Redis or bucket can't be read.
    pub async fn gather(studio: &Studio<'_>, made: Made) -> Result<Self> {
        let jobs = studio.api::<ImageJob>().list(&ListParams::default()).await?.items;
        let mut manifests = HashMap::new();
        for job in &jobs {
            if let Some(url) = job.status.as_ref().and_then(|status| status.manifest_url.as_ref()) {
                manifests.insert(job.uid().unwrap_or_default(), manifest(url).await?);
            }
        }
        let events = studio.api::<Event>().list(&ListParams::default()).await?.items;
        let event = |event: Event| Some((event.regarding?.uid?, event.reason?));
        let events = events.into_iter().filter_map(event).collect();
        Ok(Self {
            jobs,
            deleted: studio.deleted(),
            manifests,
            events,
            left_in_queue: left_in_queue(studio).await?,
            objects: objects(studio).await?,
            made,
        })
    }

    /// The images a job lists: in its manifest, if it has one.
    pub(super) fn listed(&self, job: &ImageJob) -> Listed {
        if let Some(listed) = self.manifests.get(&job.uid().unwrap_or_default()) {
            return listed.clone();
        }
        let results = job.status.iter().flat_map(|status| &status.results);
        by_index(
            results.flat_map(|result| result.outputs.iter().map(|file| (result.index, file.key.clone()))),
        )
    }
}

fn by_index(images: impl Iterator<Item = (u32, String)>) -> Listed {
    let mut listed = Listed::new();
    for (index, key) in images {
        listed.entry(index).or_default().push(key);
    }
    listed
}

async fn manifest(url: &str) -> Result<Listed> {
    #[derive(Deserialize)]
    struct Manifest {
        results: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        index: u32,
        outputs: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        key: String,
    }
    let manifest: Manifest = reqwest::get(url).await?.error_for_status()?.json().await?;
    let files = |entry: Entry| entry.outputs.into_iter().map(move |file| (entry.index, file.key));
    Ok(by_index(manifest.results.into_iter().flat_map(files)))
}

async fn left_in_queue(studio: &Studio<'_>) -> Result<Vec<String>> {
    let queue = studio.queue().await?;
    let mut left = Vec::new();
    let mut cursor = Some(0);
    while let Some(page) = cursor {
        let page = queue.jobs(page).await?;
        left.extend(page.jobs.iter().map(|uid| format!("job {uid}")));
        cursor = page.next;
    }
    let stats = queue.stats().await?;
    left.extend(stats.leases.iter().map(|lease| format!("lease of {}", lease.task)));
    left.extend(stats.backlog.iter().map(|lot| format!("{} tasks of {}", lot.tasks, lot.class)));
    left.extend(queue.dead_letters(0, 10).await?.iter().map(|dead| format!("dead letter {}", dead.task)));
    Ok(left)
}

async fn objects(studio: &Studio<'_>) -> Result<Vec<Object>> {
    let prefix = format!("{}/", studio.namespace);
    let s3 = studio.world.s3.lock().await;
    let mut writes: HashMap<String, usize> = HashMap::new();
    for request in s3.requests() {
        if request.method == "PUT"
            && request.status == 200
            && let Some(key) = request.path.strip_prefix(&format!("/{BUCKET}/"))
        {
            *writes.entry(key.to_owned()).or_default() += 1;
        }
    }
    let root = s3.object_file(BUCKET, "");
    let mut keys = Vec::new();
    walk(&root.join(&prefix), &root, &mut keys)?;
    // What workers tell of their engines is no picture.
    let of_engines = format!("{prefix}engines/");
    keys.retain(|key| !key.starts_with(&of_engines));
    let object = |key: String| Object {
        decodes: decodes(&root.join(&key)).is_ok(),
        // A manifest is written anew each time.
        writes: if key.ends_with(".png") { writes.get(&key).copied().unwrap_or_default() } else { 1 },
        key,
    };
    Ok(keys.into_iter().map(object).collect())
}

/// The files below a folder, as keys, without the workers' probe; none if it isn't there.
fn walk(folder: &Path, root: &Path, keys: &mut Vec<String>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, root, keys)?;
        } else if path.file_name().is_some_and(|name| name != PROBE) {
            keys.push(path.strip_prefix(root)?.display().to_string());
        }
    }
    Ok(())
}

fn decodes(file: &Path) -> Result<()> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(file)?)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("too large an image")?];
    reader.next_frame(&mut pixels)?;
    Ok(())
}

/// How often each step of each picture was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made(BTreeMap<(String, u64), BTreeMap<u32, u64>>);

impl Made {
    /// Reads what simulated engines recorded.
    ///
    /// # Errors
    /// When a line can't be read.
    pub fn read(record: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Line {
            prompt: String,
            seed: u64,
            step: u32,
        }
        let text = fs::read_to_string(record).with_context(|| format!("read {}", record.display()))?;
        let mut made = Self::default();
        for line in text.lines() {
            let Line { prompt, seed, step } =
                serde_json::from_str(line).with_context(|| format!("not a step: {line}"))?;
            made.step(&prompt, seed, step);
        }
        Ok(made)
    }

    /// A step was taken.
    pub fn step(&mut self, prompt: &str, seed: u64, step: u32) {
        *self.0.entry((prompt.to_owned(), seed)).or_default().entry(step).or_default() += 1;
    }

    /// How often a picture with this prompt was begun.
    #[must_use]
    pub fn begun(&self, prompt: &str) -> u64 {
        let of_it = self.0.iter().filter(|((of, _), _)| of == prompt);
        of_it.filter_map(|(_, steps)| steps.first_key_value()).map(|(_, times)| times).sum()
    }

    /// All steps.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// Of all steps, those that had been taken before.
    #[must_use]
    pub fn redone(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).map(|times| times.saturating_sub(1)).sum()
    }
}
