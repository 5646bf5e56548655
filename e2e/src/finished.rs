//! A job that has ended, and checks of its images.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use crds::{
    Image, ImageJob,
    conditions::{ConditionType, find_condition, is_true},
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

impl Finished {
    /// The reason and message of the job's Ready condition.
    #[must_use]
    pub fn ready(&self) -> (String, String) {
        ready(&self.job)
    }

    /// The images in its status.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        self.job.status.as_ref().map(|status| status.images.as_slice()).unwrap_or_default()
    }

    /// The number of images that were asked for and are not in its status.
    #[must_use]
    pub fn missing(&self) -> usize {
        let asked_for = usize::try_from(self.job.spec.count).unwrap_or_default();
        asked_for.saturating_sub(self.images().len())
    }

    /// The image with this index.
    ///
    /// # Errors
    /// If the job has no such image.
    pub fn image(&self, index: u32) -> Result<&Image> {
        let image = self.images().iter().find(|image| image.index == index);
        image.with_context(|| format!("{} has no image {index}: {:#?}", self.job.name_any(), self.images()))
    }

    /// The pixels of an image, downloaded from its address.
    ///
    /// # Errors
    /// If there is no such image, or if it is not a PNG.
    pub async fn pixels(&self, index: u32) -> Result<Vec<u8>> {
        let bytes = reqwest::get(&self.image(index)?.url).await?.error_for_status()?.bytes().await?;
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
        for image in self.images() {
            let uploads = world.uploads(&image.key).await;
            ensure!(uploads == 1, "image {} was uploaded {uploads} times", image.index);
        }
        Ok(())
    }

    /// Checks that every image exists once and has an address of its own, and that each can be downloaded and is a PNG
    /// of the size in the status.
    ///
    /// # Errors
    /// If a check fails; the error names the image.
    pub async fn check_images(&self) -> Result<()> {
        let count = usize::try_from(self.job.spec.count)?;
        let images = self.images();
        let indices: Vec<_> = images.iter().map(|image| usize::try_from(image.index)).collect();
        ensure!(
            indices == (0..count).map(Ok).collect::<Vec<_>>(),
            "images of {}: {images:#?}",
            self.job.name_any()
        );
        let urls: HashSet<_> = images.iter().map(|image| &image.url).collect();
        ensure!(urls.len() == count, "two images of {} share an address", self.job.name_any());
        for image in images {
            let bytes = reqwest::get(&image.url).await?.error_for_status()?.bytes().await?;
            let decoded = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info()?;
            let size = (decoded.info().width, decoded.info().height);
            ensure!(size == (image.width, image.height), "{} is {size:?}", image.url);
        }
        Ok(())
    }
}
