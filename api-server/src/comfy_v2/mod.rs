//! Comfy's API v2, `/api/v2`: the one of Comfy's own service and its SDKs.

mod assets;
mod events;
mod graph;
mod jobs;
mod list;
mod output;
mod progress;
mod references;
mod refusal;
mod submit;
mod uploads;
mod view;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    routing::{any, get, head, post},
};
use serde_json::{Value, json};

use crate::{app::App, http::body::BODY_AT_MOST};
use refusal::Refusal;

/// The front's name in metrics and labels.
const FRONT: &str = "comfy-v2";

pub(crate) fn routes() -> Router<App> {
    // What is streamed to the disk has limits of its own.
    let upload = post(uploads::upload).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/api/v2/health", get(health))
        .route("/api/v2/jobs", post(submit::submit).get(list::list))
        .route("/api/v2/jobs/{id}", get(jobs::get))
        .route("/api/v2/jobs/{id}/workflow", get(jobs::workflow))
        .route("/api/v2/jobs/{id}/events", get(events::events))
        .route("/api/v2/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v2/assets", upload)
        .route("/api/v2/assets/from-hash", post(uploads::from_hash))
        .route("/api/v2/assets/by-hash/{hash}", head(uploads::is_there))
        .route("/api/v2/assets/{id}", get(assets::get).delete(assets::delete))
        .route("/api/v2/assets/{id}/content", get(assets::content))
        .route("/api/v2/{*unknown}", any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
}

/// Whether the API is there; without a key.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn wrong_method() -> Refusal {
    Refusal::new(405, "method_not_allowed", "this path does not take that method")
}

async fn unknown() -> Refusal {
    Refusal::new(404, "not_found", "the API has no such path")
}
