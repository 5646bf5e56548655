//! The bell: wakes those who wait for work or orders, without carrying either.

use std::time::Duration;

use futures::StreamExt;
use redis::aio::PubSub;

use crate::{Queue, Result, Ring, WorkerId};

/// Wakes one worker. A ring can be missed while the connection is being made anew, so a worker also looks
/// now and then without one.
pub struct Bell {
    queue: Queue,
    worker: WorkerId,
    subscription: Option<PubSub>,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Bell {
    /// Starts to listen for a worker.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn open(queue: &Queue, worker: &WorkerId) -> Result<Self> {
        let mut bell = Self { queue: queue.clone(), worker: worker.clone(), subscription: None };
        bell.subscribe().await?;
        Ok(bell)
    }

    async fn subscribe(&mut self) -> Result<()> {
        self.subscription = Some(self.queue.redis.subscribe(&self.queue.key("bell")).await?);
        Ok(())
    }

    /// Waits for a ring; `None` when there was none in this time. After a lost connection it rings once for
    /// what may have been missed. Can be dropped and called again.
    ///
    /// # Errors
    /// When Redis can't be reached; the next call tries again.
    pub async fn wait(&mut self, longest: Duration) -> Result<Option<Ring>> {
        let end = tokio::time::Instant::now() + longest;
        loop {
            let Some(subscription) = &mut self.subscription else {
                self.subscribe().await?;
                return Ok(Some(Ring::Order));
            };
            let mut messages = subscription.on_message();
            let Ok(message) = tokio::time::timeout_at(end, messages.next()).await else {
                return Ok(None);
            };
            drop(messages);
            match message {
                Some(message) => {
                    if let Some(ring) = self.meaning(message.get_payload_bytes()) {
                        return Ok(Some(ring));
                    }
                }
                None => self.subscription = None,
            }
        }
    }

    /// `work`, or `order` and the worker's name.
    fn meaning(&self, message: &[u8]) -> Option<Ring> {
        match message.strip_prefix(b"order ") {
            Some(worker) => (worker == self.worker.0.as_bytes()).then_some(Ring::Order),
            None => (message == b"work").then_some(Ring::Work),
        }
    }
}
