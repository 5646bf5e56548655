//! `/stream`: what a job has made since somebody asked last. Clients ask until the job has ended and nothing is new, so each
//! chunk may be told once only, whichever replica is asked.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use redis::Script;
use serde_json::{Value, json};

use super::{endpoint::Endpoint, error::Refusal, view};
use crate::{
    app::App,
    cache::{Job, State as JobState},
    error::Error,
    pictures::{self, Picture},
};

static TOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("told.lua")));
/// For so many seconds it is noted what was told.
const NOTED_SECONDS: u32 = 86_400;

/// A chunk for each image that was made and not told yet.
pub(crate) async fn stream(
    State(app): State<App>,
    Path((endpoint, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let job = endpoint.job(&app, &id).await?;
    let mut chunks = vec![];
    let images = &job.status.results;
    if !images.is_empty() {
        for image in images.iter().skip(told_before(&app, &job, images.len()).await?) {
            let files: Vec<Picture<'_>> =
                pictures::all_files(&job).filter(|file| file.index == image.index).collect();
            chunks.push(json!({ "output": view::output(&app, &job, &files).await? }));
        }
    }
    let status = match job.state() {
        // The SDK would ask for ever.
        JobState::Cancelling | JobState::Cancelled => "FAILED",
        _ => view::state(&job),
    };
    Ok(Json(json!({ "status": status, "stream": chunks })))
}

/// How many of the job's chunks were told before; now `made` are.
async fn told_before(app: &App, job: &Job, made: usize) -> Result<usize, Error> {
    let mut call = TOLD.key(format!("ija:{{{}}}:runpod:{}", job.tenant, job.uid));
    call.arg(made).arg(NOTED_SECONDS);
    Ok(app.redis.script(&call).await?)
}
