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
/// A webhook's body is to stay below 20 kB: of so many files it holds the URLs.
const TOLD_AT_MOST: usize = 32;
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

/// The job with its files.
pub(super) async fn job(app: &App, job: &Job) -> Result<Value, Error> {
    let mut view = without_files(job);
    if job.state() == JobState::Completed {
        let files: Vec<Picture<'_>> = pictures::all_files(job).collect();
        view["output"] = output(app, job, &files).await?;
    }
    Ok(view)
}

fn without_files(job: &Job) -> Value {
    let mut view = json!({
        "id": job.name,
        "status": state(job),
        "delayTime": delay(job),
        "executionTime": execution(job),
    });
    if job.state() == JobState::Failed {
        view["error"] = json!(failure(job));
    }
    view
}

/// What is posted to the job's webhook: the job with URLs of its files, which count for an hour, as many as find room.
pub(crate) async fn told(app: &App, job: &Job) -> String {
    let mut view = without_files(job);
    if job.state() == JobState::Completed {
        let mut images = vec![];
        for file in pictures::all_files(job).take(TOLD_AT_MOST) {
            let url = file.url(app, job).await.unwrap_or_else(|_| file.file.url.clone());
            images.push(json!({ "filename": file.file.name, "type": "s3_url", "data": url }));
        }
        view["output"] = json!({ "images": images });
    }
    view.to_string()
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
