use std::collections::HashMap;

use bytes::Bytes;

use crate::{Error, Result, Store, bucket::Body};

/// It is nobody's but the next attempt's, and changes with every segment.
const CACHE: &str = "no-store";
const TYPE: &str = "application/octet-stream";

/// A picture half made, as the engine saved it, so that another worker can go on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latent {
    /// Sampling steps behind it.
    pub steps: u32,
    /// What it is a part of: a latent of another recipe is of no use.
    pub recipe: String,
    /// Engine time behind it, over all attempts, milliseconds.
    pub gpu_ms: u64,
    /// The engine's file.
    pub file: Bytes,
}

impl Store {
    /// Keeps a latent in place of any earlier one; its key is [`Output::latent_key`](crate::Output::latent_key).
    pub async fn put_latent(&self, key: &str, latent: &Latent) -> Result<()> {
        let Latent { steps, recipe, gpu_ms, file } = latent;
        let metadata = HashMap::from([
            ("steps".to_owned(), steps.to_string()),
            ("recipe".to_owned(), recipe.clone()),
            ("gpu-ms".to_owned(), gpu_ms.to_string()),
        ]);
        let body = Body { bytes: file.clone(), content_type: TYPE, cache: CACHE };
        self.put(key, body, metadata, false, self.abilities()).await.map(drop)
    }

    /// The latent under a key, checked against its checksum; `None` if there is none, or what is there is not one
    /// of ours.
    pub async fn get_latent(&self, key: &str) -> Result<Option<Latent>> {
        let get = self.client.get_object().bucket(&self.output.bucket).key(key);
        let mut object =
            match Box::pin(get.send()).await.map_err(|error| Error::sorted(self.place(key), &error)) {
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
