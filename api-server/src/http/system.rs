//! /healthz, /readyz and /metrics, on an address of their own.

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::app::App;

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(app)
}

/// Ready once everything was listed, and from then on: while the cluster's API server or Redis is away, reads are answered
/// from the cache, and no other replica would do better.
async fn readyz(State(app): State<App>) -> (StatusCode, String) {
    match app.cache.watches.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ok".to_owned()),
        missing => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for the list of: {}", missing.join(", ")))
        }
    }
}

async fn render(State(app): State<App>) -> Result<String, (StatusCode, String)> {
    app.metrics.render().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
