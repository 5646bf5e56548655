use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    Output, Result, Store,
    bucket::{Body, FILE_CACHE},
};

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
        let body = Body { content: packed.into(), content_type: TYPE.into(), cache: FILE_CACHE };
        self.put_once(key, body, HashMap::new()).await.map(drop)
    }
}
