//! A job that has ended, and checks of its images.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use crds::{
    ImageJob, JobResult, OutputFile,
    conditions::{ConditionType, JobReason, find_condition, is_true},
};
use kube::ResourceExt as _;

use crate::world::World;

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The job, as last read.
    pub job: ImageJob,
}

/// Returns the job if it has ended.
pub(crate) fn finished(job: &ImageJob) -> Option<Finished> {
    let conditions = &job.status.as_ref()?.conditions;
    let ended = is_true(conditions, ConditionType::Complete) || is_true(conditions, ConditionType::Failed);
    ended.then(|| Finished { job: job.clone() })
}

/// The reason and message of a job's Ready condition.
#[must_use]
pub fn ready(job: &ImageJob) -> (String, String) {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice());
    let ready = find_condition(conditions.unwrap_or_default(), ConditionType::Ready);
    ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default()
}

/// Whether a job was done in time; `None`: there is still time.
#[must_use]
pub fn in_time(job: &ImageJob) -> Option<bool> {
    let status = job.status.as_ref()?;
    let late = find_condition(&status.conditions, ConditionType::Late);
    let is_missed = late.is_some_and(|late| late.reason == JobReason::SlaMissed.as_str());
    if is_missed { Some(false) } else { is_true(&status.conditions, ConditionType::Complete).then_some(true) }
}

impl Finished {
    /// The reason and message of the job's Ready condition.
    #[must_use]
    pub fn ready(&self) -> (String, String) {
        ready(&self.job)
    }

    /// The images in its status.
    #[must_use]
    pub fn results(&self) -> &[JobResult] {
        self.job.status.as_ref().map(|status| status.results.as_slice()).unwrap_or_default()
    }

    /// The number of images that were asked for and are not in its status.
    #[must_use]
    pub fn missing(&self) -> usize {
        let asked_for = usize::try_from(self.job.spec.count).unwrap_or_default();
        asked_for.saturating_sub(self.results().len())
    }

    /// The image with this index.
    ///
    /// # Errors
    /// If the job has no such image.
    pub fn result(&self, index: u32) -> Result<&JobResult> {
        let result = self.results().iter().find(|result| result.index == index);
        result.with_context(|| format!("{} has no image {index}: {:#?}", self.job.name_any(), self.results()))
    }

    /// The first file of the image with this index.
    ///
    /// # Errors
    /// If the job has no such image.
    pub fn file(&self, index: u32) -> Result<&OutputFile> {
        self.result(index)?.outputs.first().with_context(|| format!("image {index} has no file"))
    }

    /// The pixels of an image, downloaded from its address.
    ///
    /// # Errors
    /// If there is no such image, or if it is not a PNG.
    pub async fn pixels(&self, index: u32) -> Result<Vec<u8>> {
        let bytes = reqwest::get(&self.file(index)?.url).await?.error_for_status()?.bytes().await?;
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().context("too large an image")?];
        reader.next_frame(&mut pixels)?;
        Ok(pixels)
    }

    /// How often a machine or its engine died under one of the job's images.
    #[must_use]
    pub fn interruptions(&self) -> u32 {
        self.job.status.as_ref().and_then(|status| status.interruptions).unwrap_or_default()
    }

    /// How often a failed image was tried again.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.job.status.as_ref().and_then(|status| status.retries).unwrap_or_default()
    }

    /// Checks the images as [`check_images`](Self::check_images) does, and checks that each was uploaded exactly once.
    ///
    /// # Errors
    /// If a check fails; the error names the image.
    pub async fn check_made_once(&self, world: &World) -> Result<()> {
        self.check_images().await?;
        for result in self.results() {
            for file in &result.outputs {
                let uploads = world.uploads(&file.key).await;
                ensure!(uploads == 1, "{} of image {} was uploaded {uploads} times", file.name, result.index);
            }
        }
        Ok(())
    }

    /// Checks that every image exists once and has an address of its own, and that each file can be downloaded and is of the
    /// size and type in the status; PNG files are decoded.
    ///
    /// # Errors
    /// If a check fails; the error names the image.
    pub async fn check_images(&self) -> Result<()> {
        let count = usize::try_from(self.job.spec.count)?;
        let images = self.results();
        let indices: Vec<_> = images.iter().map(|image| usize::try_from(image.index)).collect();
        ensure!(
            indices == (0..count).map(Ok).collect::<Vec<_>>(),
            "images of {}: {images:#?}",
            self.job.name_any()
        );
        let files: Vec<_> = images.iter().flat_map(|image| &image.outputs).collect();
        let urls: HashSet<_> = files.iter().map(|file| &file.url).collect();
        ensure!(urls.len() == files.len(), "two files of {} share an address", self.job.name_any());
        for file in files {
            let answer = reqwest::get(&file.url).await?.error_for_status()?;
            let kind = answer.headers().get("content-type").map(|kind| kind.as_bytes().to_owned());
            ensure!(kind.as_deref() == Some(file.media_type.as_bytes()), "{} is {kind:?}", file.url);
            let bytes = answer.bytes().await?;
            ensure!(u64::try_from(bytes.len())? == file.bytes, "{} has {} bytes", file.url, bytes.len());
            if file.media_type != "image/png" {
                continue;
            }
            let decoded = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info()?;
            let size = (Some(decoded.info().width), Some(decoded.info().height));
            ensure!(size == (file.width, file.height), "{} is {size:?}", file.url);
        }
        Ok(())
    }
}
