//! The files of jobs: each is an output of its job, and an asset with an id of its own.

use crds::{OutputFile, Time};
use serde::Serialize;

use super::view::{self, Base};
use crate::cache::Job;

/// Which file of which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AssetId {
    pub(super) job: String,
    pub(super) place: Place,
}

/// The image's index, and the file's number among those of the image.
pub(super) type Place = (u32, usize);

impl AssetId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, n) = text.rsplit_once('_')?;
        let (job, index) = rest.rsplit_once('_')?;
        let id = Self { job: job.to_owned(), place: (index.parse().ok()?, n.parse().ok()?) };
        // There is one id for a file: no `+1`, no `01`.
        (id.to_string() == text).then_some(id)
    }
}

/// Names of jobs have no `_`.
impl std::fmt::Display for AssetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}", self.job, self.place.0, self.place.1)
    }
}

/// A file as an output of its job.
#[derive(Debug, Serialize)]
pub(super) struct Output<'a> {
    node_id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: Kind,
    content_type: &'a str,
    size_bytes: u64,
    id: String,
    /// Blake3, which workers don't compute.
    hash: Option<&'a str>,
    url: String,
    /// The URL is good as long as the job is there, for whoever has a key.
    url_expires_at: Time,
    job_id: &'a str,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Image,
    Video,
    Audio,
    Text,
    Latent,
    File,
}

impl Kind {
    fn of(file: &OutputFile) -> Self {
        match file.media_type.split('/').next() {
            Some("image") => Self::Image,
            Some("video") => Self::Video,
            Some("audio") => Self::Audio,
            Some("text") => Self::Text,
            _ if file.media_type == "application/json" => Self::Text,
            _ if file.name.ends_with(".latent") => Self::Latent,
            _ => Self::File,
        }
    }
}

/// The job's files, by image.
pub(super) fn files(job: &Job) -> impl Iterator<Item = (Place, &OutputFile)> {
    let results = job.status.results.iter();
    results.flat_map(|image| image.outputs.iter().enumerate().map(|(n, file)| ((image.index, n), file)))
}

impl<'a> Output<'a> {
    pub(super) fn of(base: &Base, job: &'a Job, place: Place, file: &'a OutputFile) -> Self {
        let id = AssetId { job: job.name.clone(), place }.to_string();
        Self {
            node_id: &file.node,
            name: &file.name,
            kind: Kind::of(file),
            content_type: &file.media_type,
            size_bytes: file.bytes,
            hash: None,
            url: base.content(&id),
            url_expires_at: view::expires(job),
            job_id: &job.name,
            id,
        }
    }
}

/// A file as an asset.
#[derive(Serialize)]
pub(super) struct Asset<'a> {
    id: String,
    hash: Option<&'a str>,
    size_bytes: u64,
    content_type: &'a str,
    file_path: &'a str,
    created_at: Time,
    url: String,
    url_expires_at: Time,
    /// With its job.
    expires_at: Time,
    job_id: &'a str,
}

impl<'a> Asset<'a> {
    pub(super) fn of(base: &Base, job: &'a Job, place: Place, file: &'a OutputFile) -> Self {
        let Output { name, content_type, size_bytes, id, hash, url, url_expires_at, job_id, .. } =
            Output::of(base, job, place, file);
        let created_at = job.status.completion_time.clone().unwrap_or_else(|| view::created(job));
        Self {
            id,
            hash,
            size_bytes,
            content_type,
            file_path: name,
            created_at,
            url,
            expires_at: url_expires_at.clone(),
            url_expires_at,
            job_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_file_of_one_job() {
        let id = AssetId { job: "0f3b7c52-91d4".to_owned(), place: (12, 3) };
        assert_eq!(id.to_string(), "0f3b7c52-91d4_12_3");
        assert_eq!(AssetId::parse(&id.to_string()), Some(id));
        for none in
            ["", "a", "a_1", "a_x_1", "a_1_-1", "a_01_1", "a_+1_1", "9f8a1c0d-2b3e-4f56-8a7b-1c2d3e4f5a6b"]
        {
            assert_eq!(AssetId::parse(none), None, "{none}");
        }
    }
}
