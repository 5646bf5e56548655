//! /healthz, /readyz and /metrics.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::{
    index::{Listings, watch},
    lock,
    metrics::Metrics,
};

/// What /readyz answers. A replica is ready once the API server and Redis were reached, a standby too; a leader is not
/// while a watch fails.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<Mutex<Progress>>);

#[derive(Default)]
enum Progress {
    #[default]
    Reaching,
    StandingBy,
    Leading(Listings),
}

impl Readiness {
    /// The API server and Redis were reached.
    pub(crate) fn reached(&self) {
        *lock(&self.0) = Progress::StandingBy;
    }

    /// It leads, and these are its watches.
    pub(crate) fn watch(&self, listings: &Listings) {
        *lock(&self.0) = Progress::Leading(listings.clone());
    }

    /// Why it is not ready.
    fn missing(&self) -> Option<String> {
        match &*lock(&self.0) {
            Progress::Reaching => Some("waiting for the API server and Redis".to_owned()),
            Progress::StandingBy => None,
            Progress::Leading(listings) => {
                listings.failing(watch::FAILING_FOR).map(|failing| format!("a watch fails: {failing}"))
            }
        }
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(
    listen: std::net::SocketAddr,
    metrics: Arc<Metrics>,
    ready: Readiness,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .with_state(ready)
        .route("/metrics", get(render).with_state(metrics));
    axum::serve(listener, app).await.context("serve /metrics")
}

async fn readyz(State(ready): State<Readiness>) -> (StatusCode, String) {
    match ready.missing() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
    }
}

async fn render(State(metrics): State<Arc<Metrics>>) -> Result<String, (StatusCode, String)> {
    metrics.render().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
