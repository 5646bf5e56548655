//! The bell: wakes those who wait for work or orders, without carrying either.

use std::time::Duration;

use futures::StreamExt;
use redis::{Value, aio::PubSub};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Queue, Result, Ring, WorkerId};

/// It must answer within this.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Wakes one worker. A connection over which nothing comes for as long as a lease lasts is asked whether it still is one:
/// what lies between us and Redis may have forgotten it without a word. A ring can be missed while the connection is being
/// made anew, so a worker also looks now and then without one.
pub struct Bell {
    queue: Queue,
    worker: WorkerId,
    subscription: Option<PubSub>,
    check_at: Instant,
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
        let check_at = Instant::now() + queue.lease();
        let mut bell = Self { queue: queue.clone(), worker: worker.clone(), subscription: None, check_at };
        bell.subscribe().await?;
        Ok(bell)
    }

    async fn subscribe(&mut self) -> Result<()> {
        self.subscription = Some(self.queue.redis.subscribe(&self.queue.key("bell")).await?);
        self.check_at = Instant::now() + self.queue.lease();
        Ok(())
    }

    /// Waits for a ring; `None` when there was none in this time. After a lost connection it rings once for
    /// what may have been missed. Can be dropped and called again.
    ///
    /// # Errors
    /// When Redis can't be reached; the next call tries again.
    pub async fn wait(&mut self, longest: Duration) -> Result<Option<Ring>> {
        let end = Instant::now() + longest;
        loop {
            let Some(subscription) = &mut self.subscription else {
                self.subscribe().await?;
                return Ok(Some(Ring::Order));
            };
            let mut messages = subscription.on_message();
            let message = timeout_at(end.min(self.check_at), messages.next()).await;
            drop(messages);
            match message {
                Ok(Some(message)) => {
                    self.check_at = Instant::now() + self.queue.lease();
                    if let Some(ring) = self.meaning(message.get_payload_bytes()) {
                        return Ok(Some(ring));
                    }
                }
                Ok(None) => self.subscription = None,
                Err(_) if end <= self.check_at => return Ok(None),
                Err(_) => {
                    self.check_at = Instant::now() + self.queue.lease();
                    let answer = timeout(CHECK_TIMEOUT, subscription.ping::<Value>()).await;
                    if !matches!(answer, Ok(Ok(_))) {
                        self.subscription = None;
                    }
                }
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
