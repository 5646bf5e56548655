//! ComfyUI's own protocol, at the root and below `/api`: HTTP and WebSocket. Each API key sees a ComfyUI of its own, with
//! the jobs that were created with that key.

mod body;
mod cloud;
mod frame;
mod graph;
mod history;
mod models;
mod object_info;
mod outputs;
mod own_jobs;
mod prompt;
mod queue;
mod refusal;
mod socket;
mod system;
mod uploads;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::app::App;

/// A request's body in bytes: a workflow has up to 1 MiB.
const BODY_AT_MOST: usize = 2 << 20;

/// The front's name in metrics and labels.
const FRONT: &str = "comfyui";

pub(crate) fn routes() -> Router<App> {
    let everywhere = Router::new()
        .route("/prompt", get(prompt::remaining).post(prompt::submit))
        .route("/history", get(history::list).post(history::hide))
        .route("/history/{id}", get(history::get))
        .route("/queue", get(queue::list).post(queue::change))
        .route("/interrupt", post(queue::interrupt))
        .route("/view", get(outputs::view))
        .route("/upload/image", post(uploads::image).layer(DefaultBodyLimit::disable()))
        .route("/upload/mask", post(uploads::mask).layer(DefaultBodyLimit::disable()))
        .route("/object_info", get(object_info::all))
        .route("/object_info/{class}", get(object_info::one))
        .route("/models", get(models::folders))
        .route("/models/{folder}", get(models::files))
        .route("/embeddings", get(system::nothing))
        .route("/extensions", get(system::nothing))
        .route("/system_stats", get(system::stats))
        .route("/features", get(system::features))
        .route("/free", post(system::free))
        .route("/ws", get(socket::open));
    Router::new()
        .merge(everywhere.clone())
        .nest("/api", everywhere)
        .route("/api/jobs", get(cloud::list))
        .route("/api/jobs/{id}", get(cloud::get))
        .route("/api/jobs/{id}/cancel", post(cloud::cancel))
        .route("/api/job/{id}/status", get(cloud::status))
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
}
