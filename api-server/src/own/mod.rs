//! The API's own front, `/v1`: the words of the ImageJob API, with problem+json.

mod estimate;
mod events;
mod files;
mod jobs;
mod keys;
mod openapi;
mod pools;
mod problem;
mod results;
mod retry;
mod usage;
pub(crate) mod view;
mod wait;
mod webhooks;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{delete, get, post},
};

use crate::{app::App, http::body::BODY_AT_MOST};

pub(crate) use jobs::submission;
pub(crate) use pools::wait_seconds;
pub(crate) use problem::{Problem, in_our_words, no_such_method, no_such_path};
pub(crate) use retry::failed_again;

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "v1";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/jobs", post(jobs::submit).get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::delete))
        .route("/v1/jobs/{id}/work", get(jobs::work))
        .route("/v1/jobs/{id}/events", get(events::events))
        .route("/v1/jobs/{id}/results/{index}/{output}", get(results::file))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/suspend", post(jobs::suspend))
        .route("/v1/jobs/{id}/resume", post(jobs::resume))
        .route("/v1/jobs/{id}/retry", post(retry::retry))
        .route("/v1/estimate", post(estimate::estimate))
        .route("/v1/jobs/{id}/webhooks", get(webhooks::list))
        .route("/v1/jobs/{id}/webhooks/{message}/redeliver", post(webhooks::redeliver))
        .route("/v1/webhook-secret", post(webhooks::rotate))
        .route("/v1/pools", get(pools::list))
        .route("/v1/recipes", get(pools::recipes))
        .route("/v1/recipes/{name}", get(pools::one_recipe))
        .route("/v1/usage", get(usage::usage))
        .route("/v1/keys", post(keys::create).get(keys::list))
        .route("/v1/keys/{name}", delete(keys::revoke))
        .route("/openapi.json", get(openapi::serve))
        .route("/errors/{code}", get(problem::page))
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
        // What is streamed to the disk has limits of its own.
        .merge(Router::new().route("/v1/files", post(files::upload)).layer(DefaultBodyLimit::disable()))
        .route("/v1/files/{id}", get(files::get).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
}
