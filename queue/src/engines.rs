//! What workers tell of their engines: which nodes, models and versions there are.

use std::time::Duration;

use redis::Cmd;
use serde::{Deserialize, Serialize};

use crate::{Error, Queue, Result};

/// So many engines of a pool are remembered.
pub(crate) const MAX_ENGINES: usize = 8;
/// So long after a worker told of it last.
pub(crate) const KEEP_ENGINES: Duration = Duration::from_secs(30 * 24 * 3600);

/// What an engine has, as its worker tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// The digest of its node definitions, its answer to `GET /object_info`: `sha256:` and hex.
    pub digest: String,
    /// Its version; empty if it does not tell it.
    pub version: String,
    /// What its worker was made from, as the worker was told; empty if it was not.
    pub template: String,
    /// The key of the object in the pool's bucket that holds its definitions; `None` until it is stored.
    pub key: Option<String>,
    /// The models in its folders.
    pub models: Vec<ModelFile>,
}

/// A model that an engine has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelFile {
    /// The folder, as the engine calls it, e.g. `checkpoints`.
    pub folder: String,
    /// The name within it, as loaders take it.
    pub name: String,
    /// The file's size; `None` if the engine does not tell it.
    pub bytes: Option<u64>,
}

/// An engine that a worker told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSeen {
    /// What it has.
    pub facts: EngineFacts,
    /// When a worker told of it last, ms since the Unix epoch by Redis' clock.
    pub seen_ms: u64,
    /// The time now by the same clock.
    pub now_ms: u64,
}

impl EngineSeen {
    /// How long ago a worker told of it.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now_ms.saturating_sub(self.seen_ms))
    }
}

/// As the script returns it.
type Told = (u64, Vec<(Vec<u8>, u64)>);

impl Queue {
    /// A worker tells what its engine has. Returns whether the queue has the definitions of that digest; if it has not,
    /// it is to be told again with them: the engine's answer to `GET /object_info`, compressed with gzip.
    ///
    /// # Errors
    /// When Redis can't be reached, or has no memory left; to repeat is safe.
    pub async fn publish_engine(&self, facts: &EngineFacts, definitions: Option<&[u8]>) -> Result<bool> {
        let json = serde_json::to_vec(facts).map_err(|error| Error::malformed("engine", error))?;
        let fill = |call: &mut Cmd| {
            call.arg(&facts.digest).arg(json).arg(definitions.unwrap_or_default());
        };
        self.run(|s| &s.publish_engine, fill).await
    }

    /// The engines that workers told of, the last one told of first: the last eight, whether a worker still has them or
    /// not.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn engines(&self) -> Result<Vec<EngineSeen>> {
        let (now_ms, told): Told = self.run(|s| &s.engines, |_| {}).await?;
        let seen = |(facts, seen_ms): (Vec<u8>, u64)| {
            let facts = serde_json::from_slice(&facts).map_err(|error| Error::malformed("engine", error))?;
            Ok(EngineSeen { facts, seen_ms, now_ms })
        };
        told.into_iter().map(seen).collect()
    }

    /// The definitions of a digest, compressed with gzip, if the queue has them.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn definitions(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let mut call = redis::cmd("GET");
        call.arg(self.key(&format!("engine:{digest}")));
        Ok(self.redis.query(&call).await?)
    }
}
