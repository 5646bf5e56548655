use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, Url};

use super::{Error, error::causes};

/// However small, a file may take so long on its way.
const LEAST: Duration = Duration::from_secs(10);
/// What comes more slowly than this for longer is given up, bytes a second.
const SLOWEST: u64 = 1 << 20;

/// A file on its way from the engine.
#[derive(Debug)]
pub struct Download {
    base: Url,
    request: String,
    response: Response,
    length: Option<u64>,
}

impl Download {
    pub(super) fn new(base: Url, request: String, response: Response) -> Self {
        let length = response.content_length();
        Self { base, request, response, length }
    }

    /// Its size in bytes, where the engine tells it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// How long all of it may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        LEAST + Duration::from_secs(self.length.unwrap_or_default() / SLOWEST)
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// When the engine stops in the middle.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.response.chunk().await.map_err(|error| self.broken(causes(&error)))
    }

    /// The error of a file that did not come as it should.
    #[must_use]
    pub fn broken(&self, cause: String) -> Error {
        Error::Unanswered { base: self.base.clone(), request: self.request.clone(), cause }
    }
}
