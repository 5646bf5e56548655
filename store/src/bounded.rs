use bytes::Bytes;

use crate::{Error, Result, Store};

impl Store {
    /// The content of an object of at most so many bytes, verified with its checksum; `None` if it has more.
    pub async fn get_at_most(&self, key: &str, most: u64) -> Result<Option<Bytes>> {
        let get = self.client.get_object().bucket(&self.output.bucket).key(key);
        let object = Box::pin(get.send()).await.map_err(|error| Error::from_sdk(self.place(key), &error))?;
        let length = object.content_length().and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > most) {
            return Ok(None);
        }
        let mut body = object.body;
        let mut content = Vec::new();
        while let Some(part) = body.next().await {
            let part =
                part.map_err(|error| Error::Unavailable { at: self.place(key), cause: error.to_string() })?;
            if content.len() as u64 + part.len() as u64 > most {
                return Ok(None);
            }
            content.extend_from_slice(&part);
        }
        Ok(Some(content.into()))
    }
}
