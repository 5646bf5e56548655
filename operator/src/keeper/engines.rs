//! Reads what the workers' engines have. Definitions that were read stay in memory, so they outlive a Redis that loses
//! its data.

use std::{io::Read as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use queue::EngineSeen;
use tokio::time::Instant;
use workflow::ObjectInfo;

use super::{Answer, JobAnswer, Keeping};
use crate::engines::{Engines, counting};

/// The interval while there are workers, and while there are none.
const EVERY: Duration = Duration::from_secs(3);
const EVERY_IDLE: Duration = Duration::from_secs(30);
/// Definitions of more bytes are not read: what a worker publishes is smaller.
const MAX_BYTES: u64 = 16 << 20;

impl Keeping {
    /// Does what is due. What fails is tried again; until then what was known stands.
    pub(super) async fn read_engines(&mut self) {
        let idle = self.snapshot.borrow().stats.as_ref().is_some_and(|stats| stats.workers.is_empty());
        let every = if idle { EVERY_IDLE } else { EVERY };
        if self.engines_read.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.engines_read = Some(Instant::now());
        match self.engines_now().await {
            Ok(true) => self.answer(Answer { pool: self.key.clone(), answer: JobAnswer::Engines }).await,
            Ok(false) => {}
            Err(error) => tracing::debug!(pool = %self.key, %error, "what the engines have is not read"),
        }
    }

    /// Whether they have something else now.
    async fn engines_now(&mut self) -> anyhow::Result<bool> {
        self.queue.engines(&mut self.engines_seen).await?;
        let (counting, present) = counting(&self.engines_seen.engines);
        let now = Timestamp::now();
        let before = self.engines.borrow().clone();
        if let Some(same) = before.and_then(|before| before.told_again(&counting, present, now)) {
            self.engines.send_replace(Some(Arc::new(same)));
            return Ok(false);
        }
        let mut engines = Vec::new();
        let counting: Vec<EngineSeen> = counting.into_iter().cloned().collect();
        for engine in counting {
            if let Some(definitions) = self.definitions(&engine.facts.digest).await? {
                engines.push((engine, definitions));
            }
        }
        let kept: Vec<String> = engines.iter().map(|(engine, _)| engine.facts.digest.clone()).collect();
        self.definitions.retain(|digest, _| kept.contains(digest));
        let Some(engines) = Engines::new(engines, present, now) else { return Ok(false) };
        tracing::info!(pool = %self.key, nodes = engines.nodes(), "what the engines have is another than before");
        self.engines.send_replace(Some(Arc::new(engines)));
        Ok(true)
    }

    async fn definitions(&mut self, digest: &str) -> anyhow::Result<Option<Arc<ObjectInfo>>> {
        if let Some(known) = self.definitions.get(digest) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(packed) = self.queue.definitions(digest).await? else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || read(&packed)).await?;
        let read = Arc::new(read.with_context(|| format!("definitions {digest}"))?);
        self.definitions.insert(digest.to_owned(), Arc::clone(&read));
        Ok(Some(read))
    }
}

fn read(packed: &[u8]) -> anyhow::Result<ObjectInfo> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(ObjectInfo::parse(&bytes)?)
}
