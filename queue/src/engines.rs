//! What workers tell of their engines: which nodes, models and versions there are.

use std::{sync::Arc, time::Duration};

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
    pub facts: Arc<EngineFacts>,
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

/// What workers told of engines, as it was read last; at first nothing.
#[derive(Debug, Default)]
pub struct EnginesRead {
    revision: u64,
    /// The one told of last is the first: the last eight, whether a worker still has them or not.
    pub engines: Vec<EngineSeen>,
}

/// As the script returns it: now, the revision, and of each engine its digest, when it was told of, and its facts.
type Told = (u64, u64, Vec<(String, u64, Vec<u8>)>);

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

    /// Reads the engines that workers told of. Of what was `read` before, only what has changed since comes from Redis.
    ///
    /// # Errors
    /// When Redis can't be reached; what was read stands.
    pub async fn engines(&self, read: &mut EnginesRead) -> Result<()> {
        let fill = |call: &mut Cmd| {
            call.arg(read.revision);
        };
        let (now_ms, revision, told): Told = self.run(|s| &s.engines, fill).await?;
        let before = (revision == read.revision).then_some(&read.engines);
        let mut engines = Vec::with_capacity(told.len());
        for (digest, seen_ms, json) in told {
            let known = before.into_iter().flatten().find(|seen| seen.facts.digest == digest);
            let facts = match known {
                Some(seen) => Arc::clone(&seen.facts),
                None if json.is_empty() => continue, // Redis has lost them
                None => Arc::new(
                    serde_json::from_slice(&json).map_err(|error| Error::malformed("engine", error))?,
                ),
            };
            engines.push(EngineSeen { facts, seen_ms, now_ms });
        }
        *read = EnginesRead { revision, engines };
        Ok(())
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
