//! `/jobs/{id}`: how far a job is, what it makes, and its end.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    refusal::Refusal,
    view::{self, Base},
};
use crate::{app::App, error::Error, follow::Snapshot, http::Mount};

/// How far a job is.
pub(super) async fn get(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let job = app.jobs.get(&caller.tenant, &id).await?;
    Ok(view::answer(StatusCode::OK, &Base::new(&app, &mount), &Snapshot::of(&app, job)))
}

/// Stops a job; one that has ended stays as it is.
pub(super) async fn cancel(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let job = app.jobs.cancel(&app.caller(&headers)?, &id).await?;
    Ok(view::answer(StatusCode::OK, &Base::new(&app, &mount), &Snapshot::of(&app, job)))
}

/// The graph of a job that has one.
pub(super) async fn workflow(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let job = app.jobs.whole(&caller.tenant, &id).await?;
    let graph = job.spec.work.workflow.and_then(|workflow| workflow.graph);
    let graph = graph.ok_or(Error::NotFound { what: "workflow of job", name: id })?;
    Ok(Json(json!({ "workflow": graph, "format": "api" })))
}
