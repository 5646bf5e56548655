//! What is done to the API server: Pods, statuses, Events, and reading what is not watched.
//!
//! Each executor takes work from a bounded channel and answers on another; it decides nothing. Every request has a
//! time-out and is preceded by the question whether this replica still leads. Who ordered the work hears how it went and
//! decides what comes next, with ever longer pauses ([`Backoff`]).

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{leader::Leads, metrics::Metrics};

mod backoff;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod loader;
mod patch;
pub(crate) mod pods;
pub(crate) mod pools;
mod sender;

pub(crate) use backoff::Backoff;
pub(crate) use sender::Sender;

/// Longest wait for the answer to one request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Statuses wait this long at most for Pods that are being created, however slow their admission.
const PODS_FIRST: Duration = Duration::from_millis(500);

/// The way to the API server, while this replica leads.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) client: Client,
    leads: Leads,
    metrics: Arc<Metrics>,
    /// Until when what is not urgent waits.
    pods_first: watch::Sender<Instant>,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("this replica does not lead any more")]
    Deposed,
    #[error("the API server did not answer within {} s", REQUEST_WITHIN.as_secs())]
    TimedOut,
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
}

impl Server {
    pub(crate) fn new(client: Client, leads: Leads, metrics: Arc<Metrics>) -> Self {
        Self { client, leads, metrics, pods_first: watch::Sender::new(Instant::now()) }
    }

    /// One that no request reaches.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(config).unwrap();
        Self::new(client, Leads::always(), Arc::new(Metrics::new().unwrap()))
    }

    /// One request. `executor` is the label of what is counted.
    pub(crate) async fn call<T>(
        &self,
        executor: &'static str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        if !self.leads.now() {
            return Err(Failure::Deposed);
        }
        match timeout(REQUEST_WITHIN, request).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.metrics.timeouts.with_label_values(&[executor]).inc();
                Err(Failure::TimedOut)
            }
        }
    }

    /// Has what is not urgent wait for Pods: as long as the answer is kept, but no longer than [`PODS_FIRST`].
    fn pods_first(&self) -> PodsFirst<'_> {
        self.pods_first.send_replace(Instant::now() + PODS_FIRST);
        PodsFirst(self)
    }

    /// Pods that are created meanwhile do not prolong the wait.
    async fn wait_for_pods(&self) {
        let mut until = self.pods_first.subscribe();
        let at = *until.borrow();
        let created = until.wait_for(|until| *until <= Instant::now());
        // However it ends, the wait is over.
        let _ = timeout_at(at, created).await;
    }
}

/// See [`Server::pods_first`].
struct PodsFirst<'a>(&'a Server);

impl Drop for PodsFirst<'_> {
    fn drop(&mut self) {
        self.0.pods_first.send_replace(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn statuses_wait_for_pods_but_not_for_ever() {
        let server = Server::nowhere();
        let begun = Instant::now();
        server.wait_for_pods().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "no Pods");
        let pods = server.pods_first();
        let created = async {
            tokio::time::sleep(PODS_FIRST / 4).await;
            drop(pods);
        };
        tokio::join!(server.wait_for_pods(), created);
        assert!(begun.elapsed() < PODS_FIRST / 2, "{:?}", begun.elapsed());
        let (_slow, begun) = (server.pods_first(), Instant::now());
        server.wait_for_pods().await;
        assert!(begun.elapsed() <= PODS_FIRST * 5 / 4, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_given_up_and_counted() {
        let server = Server::nowhere();
        let hangs = std::future::pending::<kube::Result<()>>();
        assert!(matches!(server.call("pods", hangs).await, Err(Failure::TimedOut)));
        assert_eq!(server.metrics.timeouts.with_label_values(&["pods"]).get(), 1);
    }
}
