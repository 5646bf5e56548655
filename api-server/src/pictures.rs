//! The pictures of a job, for answers that hold them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::OutputFile;

use crate::{app::App, cache::Job, error::Error, files};

/// One picture in an answer, in bytes.
const PICTURE_AT_MOST: usize = 32 << 20;

/// A picture that a job made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture<'a> {
    /// The number of the image in the job.
    pub(crate) index: u32,
    /// The number of the file among the image's.
    pub(crate) output: usize,
    pub(crate) file: &'a OutputFile,
}

/// The job's pictures: of each image the most important file that is one.
pub(crate) fn of(job: &Job) -> impl Iterator<Item = Picture<'_>> {
    job.status.results.iter().filter_map(|result| {
        let mut files = result.outputs.iter().enumerate();
        let (output, file) = files.find(|(_, file)| file.media_type.starts_with("image/"))?;
        Some(Picture { index: result.index, output, file })
    })
}

/// All files of the job, whatever they are.
pub(crate) fn all_files(job: &Job) -> impl Iterator<Item = Picture<'_>> {
    job.status.results.iter().flat_map(|result| {
        let files = result.outputs.iter().enumerate();
        files.map(|(output, file)| Picture { index: result.index, output, file })
    })
}

impl Picture<'_> {
    /// Its bytes in base64.
    ///
    /// # Errors
    /// When the bucket does not give it, or it is too large for an answer.
    pub(crate) async fn base64(&self, app: &App, job: &Job) -> Result<String, Error> {
        let store = app.buckets.of_job(job).await?;
        let bytes = files::read(&store, &self.file.into(), PICTURE_AT_MOST).await?;
        Ok(STANDARD.encode(bytes))
    }

    /// A URL by which anybody gets it for an hour.
    pub(crate) async fn url(&self, app: &App, job: &Job) -> Result<String, Error> {
        files::signed_url(app, job, self.index, self.output).await
    }
}

/// The pictures' sides, e.g. `1024x768`, as the first one's file tells.
pub(crate) fn size(job: &Job) -> Option<String> {
    let file = of(job).next()?.file;
    Some(format!("{}x{}", file.width?, file.height?))
}
