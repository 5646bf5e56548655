//! `/api/jobs` and `/api/job`: prompts as ComfyUI's newer servers and its cloud list them.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    frame::{Frame, millis},
    outputs,
    own_jobs::{self, Stage},
    refusal::Refusal,
};
use crate::{
    app::App,
    cache::{Job, State as JobState},
};

/// Jobs in one answer.
const USUAL: usize = 100;
const MOST: usize = 1000;

fn state(job: &Job) -> &'static str {
    match (own_jobs::stage(job), job.state()) {
        (Stage::Pending, _) => "pending",
        (Stage::Running, _) => "in_progress",
        (Stage::Ended, JobState::Completed) => "completed",
        (Stage::Ended, JobState::Failed) => "failed",
        (Stage::Ended, _) => "cancelled",
    }
}

fn view(job: &Job) -> Value {
    let made = outputs::by_node(job);
    let files: usize = job.status.results.iter().map(|result| result.outputs.len()).sum();
    let first = made.iter().find_map(|(node, output)| {
        let mut file = output.get("images")?.get(0)?.clone();
        file["nodeId"] = json!(node);
        file["mediaType"] = json!("images");
        Some(file)
    });
    let mut shown = json!({
        "id": job.name,
        "status": state(job),
        "priority": own_jobs::number(job),
        "create_time": millis(job.created.as_ref()),
        "outputs_count": files,
        "preview_output": first,
        "workflow_id": null,
    });
    for (name, time) in [
        ("execution_start_time", &job.status.start_time),
        ("execution_end_time", &job.status.completion_time),
    ] {
        if time.is_some() {
            shown[name] = json!(millis(time.as_ref()));
        }
    }
    if job.state() == JobState::Failed {
        shown["execution_error"] = Frame::end(job, ("", "")).data;
    }
    shown
}

/// What a list is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// Names of states, with commas between them.
    status: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
    sort_order: Option<String>,
}

/// The key's jobs, the newest first unless asked otherwise.
pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let Query(asked) = asked.map_err(|error| Refusal::new("invalid_request", error.body_text()))?;
    let states: Vec<&str> = asked.status.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    let mut jobs = own_jobs::newest(&app, &caller, usize::MAX, |job| {
        let is_shown = own_jobs::stage(job) != Stage::Ended || own_jobs::is_in_history(job);
        is_shown && (states.is_empty() || states.contains(&state(job)))
    });
    if asked.sort_order.as_deref() == Some("asc") {
        jobs.reverse();
    }
    let (total, limit) = (jobs.len(), asked.limit.unwrap_or(USUAL).clamp(1, MOST));
    let page: Vec<Value> = jobs.iter().skip(asked.offset).take(limit).map(|job| view(job)).collect();
    let has_more = asked.offset.saturating_add(page.len()) < total;
    let pagination = json!({ "offset": asked.offset, "limit": limit, "total": total, "has_more": has_more });
    Ok(Json(json!({ "jobs": page, "pagination": pagination })))
}

/// One job, with what it made.
pub(super) async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let job = own_jobs::find(&app, &caller, &id).await?;
    let mut shown = view(&job);
    let status = &job.status;
    let updated = status.completion_time.as_ref().or(status.start_time.as_ref()).or(job.created.as_ref());
    shown["update_time"] = json!(millis(updated));
    shown["outputs"] = Value::Object(outputs::by_node(&job));
    Ok(Json(shown))
}

/// Cancels a job; one that has ended stays as it is.
pub(super) async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    own_jobs::find(&app, &caller, &id).await?;
    let job = app.jobs.cancel(&caller, &id).await?;
    Ok(Json(json!({ "cancelled": matches!(job.state(), JobState::Cancelling | JobState::Cancelled) })))
}

/// Only how far a job is, in the words that the samples of ComfyUI's cloud wait for.
pub(super) async fn status(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let job = own_jobs::find(&app, &caller, &id).await?;
    let status = match state(&job) {
        "completed" => "success",
        "failed" => "error",
        other => other,
    };
    Ok(Json(json!({ "id": job.name, "status": status })))
}
