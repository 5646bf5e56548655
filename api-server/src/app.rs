//! What every handler has at hand.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use queue::Redis;
use tokio::sync::{Semaphore, watch};

use crate::{
    auth::{self, Caller, Issuer, KeyStore},
    aws::Aws,
    cache::Cache,
    definitions::Definitions,
    error::Error,
    files::Buckets,
    jobs::{JobStore, Submission, Submitted},
    limits::Limits,
    metrics::Metrics,
    progress::Progress,
    signing::Signer,
    webhooks::Webhooks,
};

/// How often a stream looks whether its key is still good.
const LOOK_AT_KEY: Duration = Duration::from_secs(3);

/// The server. Every request clones it several times, which costs one count.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// The parts of the server.
pub(crate) struct Parts {
    pub(crate) cache: Cache,
    pub(crate) jobs: JobStore,
    pub(crate) keys: KeyStore,
    /// Whose bearer tokens are taken beside API keys.
    pub(crate) issuer: Option<Arc<Issuer>>,
    pub(crate) progress: Progress,
    pub(crate) limits: Limits,
    pub(crate) buckets: Buckets,
    pub(crate) aws: Aws,
    pub(crate) signer: Signer,
    pub(crate) redis: Redis,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) definitions: Definitions,
    /// What links begin with, without a slash at its end.
    pub(crate) public_url: Arc<str>,
    /// A permit for each stream of events that may be open at once.
    pub(crate) streams: Arc<Semaphore>,
    /// Turns true when the server is told to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Who sends a request with these headers.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        auth::caller(&self.cache, self.issuer.as_deref(), headers)
    }

    /// Creates a job, and counts it.
    ///
    /// # Errors
    /// As [`JobStore::submit`].
    pub(crate) async fn submit(&self, caller: &Caller, submission: Submission) -> Result<Submitted, Error> {
        let front = submission.front;
        let submitted = self.jobs.submit(caller, submission).await;
        let outcome = match &submitted {
            Ok(Submitted { is_new: true, .. }) => "created",
            Ok(Submitted { is_new: false, .. }) => "repeated",
            Err(_) => "refused",
        };
        self.metrics.submissions.with_label_values(&[front, outcome]).inc();
        submitted
    }

    /// Returns when a stream of this caller has to end: the server stops, and the client finds another replica; or the key
    /// was revoked.
    pub(crate) async fn ended(&self, caller: &Caller) {
        let mut stopping = self.stopping.clone();
        let revoked = async {
            while self.cache.still_knows(caller) {
                tokio::time::sleep(LOOK_AT_KEY).await;
            }
        };
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = revoked => {}
        }
    }
}
