//! Files that users hand in, for jobs to start from. Their keys are made from what is in them, so the same file handed in
//! twice is one object.

use std::collections::HashMap;

use crate::{
    Content, Error, Output, Put, Result, Store,
    bucket::{Body, FILE_CACHE},
    facts::{escaped, unescaped},
};

/// The folder of uploads below the key prefix. A lifecycle rule of the bucket may delete what is old there.
const FOLDER: &str = "uploads/";

/// What is known of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name for people.
    pub name: String,
    /// Its kind, e.g. `image/png`, as whoever handed it in says.
    pub media_type: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was written, seconds since the Unix epoch.
    pub written: i64,
}

impl Output {
    /// What the keys of a tenant's uploads begin with.
    #[must_use]
    pub fn uploads(&self, tenant: &str) -> String {
        format!("{}{FOLDER}{tenant}/", self.key_prefix)
    }
}

impl Store {
    /// Writes an upload, unless the key has one already.
    ///
    /// # Errors
    /// When the bucket does not take it.
    pub async fn put_upload(&self, key: &str, content: Content, upload: &Upload) -> Result<Put> {
        let metadata = HashMap::from([
            ("name".to_owned(), escaped(&upload.name)),
            ("sha256".to_owned(), upload.sha256.clone()),
        ]);
        let body = Body { content, content_type: upload.media_type.clone().into(), cache: FILE_CACHE };
        self.put_once(key, body, metadata).await
    }

    /// The upload under a key; `None` if there is none.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn upload(&self, key: &str) -> Result<Option<Upload>> {
        let head = Box::pin(self.client.head_object().bucket(&self.output.bucket).key(key).send()).await;
        let head = match head.map_err(|error| Error::from_sdk(self.place(key), &error)) {
            Ok(head) => head,
            Err(Error::NotFound { .. }) => return Ok(None),
            // Credentials that may not list the bucket are refused for a missing key.
            Err(Error::Denied { code, .. }) if code.is_empty() || code == "AccessDenied" => return Ok(None),
            Err(error) => return Err(error),
        };
        let empty = HashMap::new();
        let metadata = head.metadata().unwrap_or(&empty);
        let text = |name: &str| metadata.get(name).map(String::as_str).unwrap_or_default();
        Ok(Some(Upload {
            name: unescaped(text("name")),
            media_type: head.content_type().unwrap_or_default().to_owned(),
            sha256: text("sha256").to_owned(),
            bytes: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            written: head.last_modified().map_or(0, aws_sdk_s3::primitives::DateTime::secs),
        }))
    }
}
