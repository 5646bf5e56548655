use std::collections::HashMap;

use bytes::Bytes;

use crate::{Error, Output, Result, Store, bucket::Body};

/// Its key has its digest.
const CACHE: &str = "public, max-age=31536000, immutable";
const TYPE: &str = "application/gzip";

impl Output {
    /// The key of an engine's node definitions, whose digest is `hex`.
    #[must_use]
    pub fn definitions_key(&self, hex: &str) -> String {
        format!("{}engines/{hex}.json.gz", self.key_prefix)
    }
}

impl Store {
    /// Writes an engine's node definitions, compressed with gzip, unless they are there.
    pub async fn put_definitions(&self, key: &str, packed: Bytes) -> Result<()> {
        match self.head(key).await {
            Ok(_) => return Ok(()),
            Err(Error::NotFound { .. } | Error::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
        let body = Body { bytes: packed, content_type: TYPE.into(), cache: CACHE };
        // Whoever writes it writes the same.
        self.put(key, body, HashMap::new(), false, self.capabilities()).await.map(drop)
    }
}
