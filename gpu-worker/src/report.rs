//! A task's last word to the queue.

use std::time::Duration;

use queue::{Lease, Reason, Release, StoredObject, TaskResult, Written};
use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    ending::Ending,
    held::{Seat, Stop},
    metrics::Outcome,
    spans,
    worker::Worker,
};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is written.
#[derive(Debug)]
enum Word {
    Done(TaskResult),
    Listed(StoredObject),
    GivenBack(Release),
}

impl Worker {
    /// Tells the queue, for as long as it takes to reach it. Nothing is said of a lease that is not ours.
    pub(crate) async fn report(&self, lease: &Lease, ending: Ending, seat: &Seat) {
        if let Some(error) = ending.suspicion() {
            self.health.breaker.suspect(&lease.task.job, error, Instant::now());
        }
        let word = match ending {
            Ending::Stopped(Stop::Cancelled) => return self.over(Outcome::Cancelled, None),
            Ending::Stopped(Stop::Lost) => return self.over(Outcome::Lost, None),
            Ending::Stopped(Stop::Leaving) if seat.has_begun() => Word::GivenBack(Release::Preempted),
            Ending::Stopped(Stop::Leaving | Stop::NotBegun) => Word::GivenBack(Release::HandedBack),
            Ending::GivenBack(release) => Word::GivenBack(release),
            Ending::Done(result) => Word::Done(result),
            Ending::Listed(object) => Word::Listed(object),
        };
        let engine_ms = u64::try_from(seat.engine_time().as_millis()).unwrap_or(u64::MAX);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let written = loop {
            match self.write(lease, &word, engine_ms).await {
                Ok(written) => break written,
                Err(error) => {
                    self.health.redis.fails(error);
                    backoff.wait().await;
                }
            }
        };
        self.health.redis.works();
        self.count(lease, &word, written);
    }

    async fn write(&self, lease: &Lease, word: &Word, engine_ms: u64) -> queue::Result<Written> {
        let Lease { task, attempt, .. } = lease;
        match word {
            Word::Done(result) => self.queue.complete(&self.id, task, *attempt, result).await,
            Word::Listed(object) => self.queue.complete_listing(&self.id, task, *attempt, object).await,
            Word::GivenBack(release) => {
                self.queue.release(&self.id, task, *attempt, release, engine_ms).await
            }
        }
    }

    fn count(&self, lease: &Lease, word: &Word, written: Written) {
        let Lease { task, attempt, .. } = lease;
        let outcome = match word {
            Word::Done(result) if !result.found => {
                self.health.breaker.worked();
                let url = result.outputs.first().and_then(|file| file.url.as_ref());
                tracing::info!(%task, attempt, gpu_ms = result.gpu_ms, url, "picture stored");
                Outcome::Completed
            }
            Word::Done(_) => Outcome::Found,
            Word::Listed(_) => Outcome::Listed,
            Word::GivenBack(Release::Preempted) => Outcome::Interrupted,
            Word::GivenBack(Release::HandedBack) => Outcome::HandedBack,
            Word::GivenBack(Release::Crashed { .. }) => Outcome::Crashed,
            Word::GivenBack(Release::Doubted { .. }) => Outcome::Doubted,
            Word::GivenBack(Release::Failed { .. }) => Outcome::Failed,
            Word::GivenBack(Release::Rejected { .. }) => Outcome::Rejected,
            Word::GivenBack(Release::Withheld { .. }) => Outcome::Withheld,
        };
        let mut reason = None;
        if let Word::GivenBack(
            Release::Crashed { error }
            | Release::Doubted { error }
            | Release::Failed { error, .. }
            | Release::Rejected { error }
            | Release::Withheld { error, .. },
        ) = word
        {
            reason = Some(error.reason);
            self.metrics.failure(error.reason.as_str());
            tracing::warn!(%task, attempt, ?outcome, reason = %error.reason, why = error.message, "no picture");
        }
        let outcome = if written == Written::Stale { Outcome::Stale } else { outcome };
        tracing::info!(%task, attempt, ?outcome, "task over");
        self.over(outcome, reason);
    }

    fn over(&self, outcome: Outcome, reason: Option<Reason>) {
        self.metrics.task(outcome);
        spans::ended(outcome, reason);
    }
}
