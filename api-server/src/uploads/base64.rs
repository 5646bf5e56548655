//! Files that stand in a request's JSON.

use std::convert::Infallible;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream;

use super::{Description, Folder, Uploaded};
use crate::error::Error;

impl Folder {
    /// Takes a file that stands at `pointer` in the request, in base64, or as a data URL.
    ///
    /// # Errors
    /// As [`take`](Self::take); [`Error::Invalid`] of a text that is no base64.
    pub(crate) async fn take_base64(&self, pointer: &str, text: &str) -> Result<Uploaded, Error> {
        let bad = || Error::invalid(pointer, "it must be a file in base64, or a data URL of one");
        let content = match text.strip_prefix("data:") {
            Some(url) => url.split_once(";base64,").ok_or_else(bad)?.1,
            None => text,
        };
        let bytes = STANDARD.decode(content.trim()).map_err(|_| bad())?;
        self.take_bytes(Description::default(), bytes.into()).await
    }

    /// Takes a file that is in memory.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) async fn take_bytes(&self, description: Description, bytes: Bytes) -> Result<Uploaded, Error> {
        let content = stream::iter([Ok::<_, Infallible>(bytes)]);
        self.take(description, content).await.map(|(uploaded, _)| uploaded)
    }
}
