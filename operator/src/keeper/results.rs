//! Reads a pool's results stream, and passes on which jobs something happened to.
//!
//! An event is acknowledged once it was passed on, not once its job's status was written: it never carries the only copy
//! of anything, and an operator that starts looks at every unfinished job anyway.

use std::time::Duration;

use queue::{Queue, Results};
use tokio::sync::mpsc;

use super::{Answer, JobAnswer};
use crate::index::PoolKey;

/// Longest wait for an event in one call.
const BLOCK: Duration = Duration::from_secs(5);
/// Events read in one call.
const BATCH: u32 = 500;
/// After an error of Redis.
const BACKOFF: Duration = Duration::from_secs(1);

/// Reads for ever. `consumer` is the process's own name.
pub(crate) async fn read(key: PoolKey, queue: Queue, consumer: String, answers: mpsc::Sender<Answer>) {
    loop {
        if let Err(error) = pass_on(&key, &queue, &consumer, &answers).await {
            // Once a second while Redis is away; the pool's status says that it is.
            tracing::debug!(pool = %key, %error, "results can't be read, trying again");
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

async fn pass_on(
    key: &PoolKey,
    queue: &Queue,
    consumer: &str,
    answers: &mpsc::Sender<Answer>,
) -> queue::Result<()> {
    let mut results = Results::open(queue, consumer).await?;
    loop {
        let events = results.next(BATCH, BLOCK).await?;
        if events.is_empty() {
            continue;
        }
        let answer = JobAnswer::Events(events.iter().map(|event| (event.job.clone(), event.kind)).collect());
        if answers.send(Answer { pool: key.clone(), answer }).await.is_err() {
            return Ok(()); // the process is ending
        }
        results.ack(events.iter().map(|event| event.id.as_str())).await?;
    }
}
