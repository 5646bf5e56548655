//! A file on its way to whoever asked for it: streamed from the bucket, which may be private.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use crds::OutputFile;
use futures::stream;
use store::Store;

use super::range::{self, Asked};
use crate::{cache::Job, error::Error};

/// A file never changes, but only its tenant may have it.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// A file runs nothing in the browser of whoever opens it.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
);

/// A file as it is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served<'a> {
    pub(crate) key: &'a str,
    pub(crate) name: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<&'a str>,
}

impl<'a> From<&'a OutputFile> for Served<'a> {
    fn from(file: &'a OutputFile) -> Self {
        let OutputFile { key, name, media_type, bytes, sha256, .. } = file;
        Self { key, name, media_type, bytes: *bytes, sha256: sha256.as_deref() }
    }
}

/// The file of a job: output `n` of image `index`.
pub(crate) fn find(job: &Job, index: u32, n: usize) -> Result<&OutputFile, Error> {
    let image = job.status.results.iter().find(|result| result.index == index);
    let file = image.and_then(|image| image.outputs.get(n));
    file.ok_or_else(|| Error::NotFound { what: "file", name: format!("{index}/{n} of job {}", job.name) })
}

/// Answers a request for a file with its bytes, all or a range of them; with nothing to one that has them already.
///
/// # Errors
/// [`Error::NotFound`] when the bucket does not have it any more; [`Error::Unavailable`] when the bucket is away.
pub(crate) async fn download(store: &Store, file: &Served<'_>, asked: &HeaderMap) -> Result<Response, Error> {
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let etag = file.sha256.map(|sha256| format!("\"{sha256}\""));
    let is_same = |tags: &str| {
        etag.as_ref().is_some_and(|etag| tags == "*" || tags.split(',').any(|tag| tag.trim() == etag))
    };
    if text(header::IF_NONE_MATCH).is_some_and(is_same) {
        return Ok((StatusCode::NOT_MODIFIED, headers(file, etag.as_deref())).into_response());
    }
    // A range of another version is of no use.
    let range = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(is_same));
    let range = match range::asked(range, file.bytes) {
        Asked::Whole => None,
        Asked::Part(range) => Some(range),
        Asked::Beyond => {
            let all = [(header::CONTENT_RANGE, format!("bytes */{}", file.bytes))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
        }
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let reading = store.read(file.key, range.clone()).await.map_err(|error| of_store(error, file.name))?;
    let mut headers = headers(file, etag.as_deref());
    headers.insert(header::CONTENT_LENGTH, reading.length.into());
    if let Some(range) = range {
        let part = format!("bytes {}-{}/{}", range.start(), range.end(), reading.size);
        headers.extend(HeaderValue::try_from(part).ok().map(|value| (header::CONTENT_RANGE, value)));
    }
    let pieces = stream::try_unfold(reading, async |mut reading| {
        Ok::<_, std::io::Error>(reading.next().await?.map(|piece| (piece, reading)))
    });
    Ok((status, headers, Body::from_stream(pieces)).into_response())
}

/// A file as a whole, for answers that hold pictures themselves.
///
/// # Errors
/// As [`download`]; [`Error::TooLarge`] when it has more than `most` bytes.
pub(crate) async fn read(store: &Store, file: &Served<'_>, most: usize) -> Result<Bytes, Error> {
    if file.bytes > most as u64 {
        return Err(Error::TooLarge { most });
    }
    let mut reading = store.read(file.key, None).await.map_err(|error| of_store(error, file.name))?;
    let mut content = BytesMut::new();
    let broken = |error: std::io::Error| {
        of_store(store::Error::Unavailable { at: store.place(file.key), cause: error.to_string() }, file.name)
    };
    while let Some(piece) = reading.next().await.map_err(broken)? {
        content.extend_from_slice(&piece);
    }
    Ok(content.freeze())
}

fn headers(file: &Served<'_>, etag: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: &str| {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    insert(header::CONTENT_TYPE, file.media_type);
    if let Some(etag) = etag {
        insert(header::ETAG, etag);
    }
    let name: String = file
        .name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '_' })
        .collect();
    insert(header::CONTENT_DISPOSITION, &format!("inline; filename=\"{name}\""));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers
}

/// What a bucket says of a file.
pub(crate) fn of_store(error: store::Error, name: &str) -> Error {
    use std::time::Duration;
    const RETRY_AFTER: Duration = Duration::from_secs(5);
    match error {
        store::Error::NotFound { .. } => Error::NotFound { what: "file", name: name.to_owned() },
        error => {
            tracing::warn!(%error, "a file can't be read");
            Error::Unavailable {
                what: "the files' bucket does not answer".to_owned(),
                retry_after: RETRY_AFTER,
            }
        }
    }
}
