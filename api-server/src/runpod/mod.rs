//! RunPod's API of serverless endpoints, `/runpod/v2`. An endpoint is a pool.

mod change;
mod endpoint;
mod error;
mod health;
mod images;
mod order;
mod run;
mod stream;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{app::App, http::body::WITH_PICTURES_AT_MOST};

pub(crate) use view::told;

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "runpod";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/runpod/v2/{endpoint}/run", post(run::run))
        .route("/runpod/v2/{endpoint}/runsync", post(run::run_sync))
        .route("/runpod/v2/{endpoint}/status/{id}", get(view::status))
        .route("/runpod/v2/{endpoint}/stream/{id}", get(stream::stream))
        .route("/runpod/v2/{endpoint}/cancel/{id}", post(change::cancel))
        .route("/runpod/v2/{endpoint}/retry/{id}", post(change::retry))
        .route("/runpod/v2/{endpoint}/purge-queue", post(change::purge_queue))
        .route("/runpod/v2/{endpoint}/health", get(health::health))
        .layer(DefaultBodyLimit::max(WITH_PICTURES_AT_MOST))
}
