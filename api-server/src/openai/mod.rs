//! OpenAI's Images API, `/v1/images` and `/v1/models`, as its SDKs, Open WebUI and LiteLLM use it.

mod answer;
mod edits;
mod error;
mod files;
mod generations;
mod make;
mod mask;
mod models;
mod order;
mod stream;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{app::App, files::SIGNED_ROUTE, http::body::BODY_AT_MOST};

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "openai";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/images/generations", post(generations::generate))
        // A picture is as large as the pool takes it.
        .route("/v1/images/edits", post(edits::edit).layer(DefaultBodyLimit::disable()))
        .route(SIGNED_ROUTE, get(files::file))
        .route("/v1/models", get(models::list))
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
}
