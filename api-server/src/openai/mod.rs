//! OpenAI's Images API, `/v1/images` and `/v1/models`, as its SDKs, Open WebUI and LiteLLM use it.

mod answer;
mod error;
mod files;
mod generations;
mod make;
mod models;
mod order;
mod stream;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{app::App, body, files::SIGNED_ROUTE};

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "openai";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/images/generations", post(generations::generate))
        .route("/v1/images/edits", post(generations::edit))
        .route(SIGNED_ROUTE, get(files::file))
        .route("/v1/models", get(models::list))
        .layer(DefaultBodyLimit::max(body::AT_MOST))
}
