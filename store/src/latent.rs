use std::collections::HashMap;

use bytes::Bytes;

use crate::{Error, Result, Store, bucket::Body};

/// Only the next attempt reads a latent, and each segment changes it.
const CACHE: &str = "no-store";
const TYPE: &str = "application/octet-stream";

/// An unfinished picture as the engine saved it, from which another worker can continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latent {
    /// The number of sampling steps that are done.
    pub steps: u32,
    /// The recipe of the picture; a latent of another recipe is of no use.
    pub recipe: String,
    /// The engine time of all attempts so far, in milliseconds.
    pub gpu_ms: u64,
    /// The engine's file.
    pub file: Bytes,
}

impl Store {
    /// Writes a latent and overwrites an earlier one. Its key is [`Output::latent_key`](crate::Output::latent_key).
    pub async fn put_latent(&self, key: &str, latent: &Latent) -> Result<()> {
        let Latent { steps, recipe, gpu_ms, file } = latent;
        let metadata = HashMap::from([
            ("steps".to_owned(), steps.to_string()),
            ("recipe".to_owned(), recipe.clone()),
            ("gpu-ms".to_owned(), gpu_ms.to_string()),
        ]);
        let body = Body { content: file.clone().into(), content_type: TYPE.into(), cache: CACHE };
        self.put(key, body, metadata, false, self.capabilities()).await.map(drop)
    }

    /// The latent under a key, verified with its checksum; `None` if there is none, or if we did not write it.
    pub async fn get_latent(&self, key: &str) -> Result<Option<Latent>> {
        let get = self.client.get_object().bucket(&self.output.bucket).key(key);
        let mut object =
            match Box::pin(get.send()).await.map_err(|error| Error::from_sdk(self.place(key), &error)) {
                Ok(object) => object,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
        let metadata = object.metadata.take().unwrap_or_default();
        let file = self.body_of(key, object).await?;
        Ok(read(&metadata, file))
    }
}

fn read(metadata: &HashMap<String, String>, file: Bytes) -> Option<Latent> {
    Some(Latent {
        steps: metadata.get("steps")?.parse().ok()?,
        recipe: metadata.get("recipe")?.clone(),
        gpu_ms: metadata.get("gpu-ms")?.parse().ok()?,
        file,
    })
}
