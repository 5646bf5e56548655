//! A job as RunPod's API shows it.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use crds::Time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{endpoint::Endpoint, error::Refusal};
use crate::{
    app::App,
    cache::{Job, State as JobState},
    error::Error,
    outcome::failure,
    pictures::{self, Picture},
};

/// An answer holds files up to so many bytes together; of more it holds URLs.
const FILES_AT_MOST: u64 = 10 << 20;
/// Why an image failed that took longer than it may.
const TIMED_OUT: &str = "Timeout";

/// How far a job is, and its files once it is complete.
pub(crate) async fn status(
    State(app): State<App>,
    Path((endpoint, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let found = endpoint.job(&app, &id).await?;
    Ok(Json(job(&app, &found).await?))
}

pub(super) async fn job(app: &App, job: &Job) -> Result<Value, Error> {
    let mut view = json!({
        "id": job.name,
        "status": state(job),
        "delayTime": delay(job),
        "executionTime": execution(job),
    });
    match job.state() {
        JobState::Completed => {
            let files: Vec<Picture<'_>> = pictures::all_files(job).collect();
            view["output"] = output(app, job, &files).await?;
        }
        JobState::Failed => view["error"] = json!(failure(job)),
        _ => {}
    }
    Ok(view)
}

/// In RunPod's words.
pub(super) fn state(job: &Job) -> &'static str {
    match job.state() {
        JobState::Queued | JobState::Suspended => "IN_QUEUE",
        JobState::Running => "IN_PROGRESS",
        JobState::Completed => "COMPLETED",
        JobState::Failed if job.status.failures.first().is_some_and(|first| first.reason == TIMED_OUT) => {
            "TIMED_OUT"
        }
        JobState::Failed => "FAILED",
        JobState::Cancelling | JobState::Cancelled => "CANCELLED",
    }
}

/// Files as an output holds them: themselves, or their URLs where they are many or can't be read now.
pub(super) async fn output(app: &App, job: &Job, files: &[Picture<'_>]) -> Result<Value, Error> {
    let together: u64 = files.iter().map(|file| file.file.bytes).sum();
    let mut images = vec![];
    for file in files {
        let content = if together <= FILES_AT_MOST { file.base64(app, job).await.ok() } else { None };
        let (kind, data) = match content {
            Some(content) => ("base64", content),
            None => ("s3_url", file.url(app, job).await?),
        };
        images.push(json!({ "filename": file.file.name, "type": kind, "data": data }));
    }
    Ok(json!({ "images": images }))
}

/// From its creation until its first image was begun, in milliseconds.
fn delay(job: &Job) -> i64 {
    let end = job.status.start_time.as_ref().or(job.status.completion_time.as_ref());
    job.created.as_ref().map_or(0, |created| between(created, end))
}

/// From its first image's beginning until its end, in milliseconds.
fn execution(job: &Job) -> i64 {
    let end = job.status.completion_time.as_ref();
    job.status.start_time.as_ref().map_or(0, |start| between(start, end))
}

/// Milliseconds from one time to another; to now where there is none yet.
fn between(from: &Time, to: Option<&Time>) -> i64 {
    let to = to.map_or_else(Timestamp::now, |to| to.0);
    (to.as_millisecond() - from.0.as_millisecond()).max(0)
}
