//! `/cancel`, `/retry` and `/purge-queue`.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{FRONT, endpoint::Endpoint, error::Refusal, view};
use crate::{
    app::App,
    cache::{Job, State as JobState},
    error::Error,
    jobs::Submission,
};

/// Cancels a job.
pub(crate) async fn cancel(
    State(app): State<App>,
    Path((endpoint, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    endpoint.job(&app, &id).await?;
    let job = app.jobs.cancel(&endpoint.caller, &id).await?;
    Ok(Json(json!({ "id": job.name, "status": view::state(&job) })))
}

/// Has a job that failed made again, under the same id.
pub(crate) async fn retry(
    State(app): State<App>,
    Path((endpoint, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let job = endpoint.job(&app, &id).await?;
    let name = Uuid::parse_str(&job.name).ok().filter(|_| job.state() == JobState::Failed);
    let Some(name) = name else {
        return Err(Error::invalid(
            "",
            format!("the job is {}, and only one that failed can be tried again", view::state(&job)),
        )
        .into());
    };
    let submission = again(&app, &endpoint, &job, name).await?;
    app.jobs.delete(&endpoint.caller, &job.name).await?;
    let submitted = app.submit(&endpoint.caller, submission).await?;
    Ok(Json(json!({ "id": submitted.job.name, "status": "IN_QUEUE" })))
}

/// The job as it was asked for.
async fn again(app: &App, endpoint: &Endpoint, job: &Job, name: Uuid) -> Result<Submission, Error> {
    let whole = app.jobs.whole(&endpoint.caller.tenant, &job.name).await?;
    let Ok(Value::Object(mut spec)) = serde_json::to_value(&whole.spec) else {
        return Err(Error::Internal("a job's spec is no object".to_owned()));
    };
    // The API key says it again.
    spec.shift_remove("tenant");
    Ok(Submission {
        spec,
        labels: job.request.labels.clone(),
        webhook: job.request.webhook.clone(),
        front: FRONT,
        name: Some(name),
        kept: job.request.front.clone(),
        ..Submission::default()
    })
}

/// Cancels this front's jobs of the endpoint that wait.
pub(crate) async fn purge_queue(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let waits = |job: &Job| job.front.as_deref() == Some(FRONT) && job.state() == JobState::Queued;
    let removed = app.jobs.cancel_all(&endpoint.caller, endpoint.jobs(&app, waits)).await?;
    Ok(Json(json!({ "removed": removed, "status": "completed" })))
}
