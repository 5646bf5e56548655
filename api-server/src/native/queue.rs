//! `/queue` and `/interrupt`: the key's prompts that have not ended.

use std::cmp::Ordering;

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    body::{self, Away},
    own_jobs::{self, Stage},
    refusal::Refusal,
};
use crate::{app::App, auth::Caller, cache::Job, error::Error};

/// Prompts in one answer, or that one request cancels.
const MOST: usize = 1000;

/// What runs and what waits. The graphs are left out: each would be a read of the cluster's API server.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let at = |wanted: Stage| {
        let mut jobs = own_jobs::newest(&app, &caller, MOST, |job| own_jobs::stage(job) == wanted);
        jobs.sort_by(|a, b| by_number(a, b));
        let shown = |job: &Job| json!([own_jobs::number(job), job.name, {}, own_jobs::extra_data(job), []]);
        jobs.iter().map(|job| shown(job)).collect::<Vec<Value>>()
    };
    Ok(Json(json!({ "queue_running": at(Stage::Running), "queue_pending": at(Stage::Pending) })))
}

fn by_number(a: &Job, b: &Job) -> Ordering {
    let number = |job: &Job| own_jobs::number(job).as_f64().unwrap_or_default();
    number(a).total_cmp(&number(b))
}

/// Takes prompts out of the queue; those that run go on.
pub(super) async fn change(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), Refusal> {
    let caller = app.caller(&headers)?;
    let away = Away::read(body)?;
    cancel(&app, &caller, |job| {
        own_jobs::stage(job) == Stage::Pending && (away.all || away.ids.contains(&job.name))
    })
    .await
}

/// Stops the prompt that the body names, whether it waits or runs; without one, those that run.
pub(super) async fn interrupt(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), Refusal> {
    let caller = app.caller(&headers)?;
    // Clients send no body, or one that is not JSON, and mean what runs.
    let body: Value = serde_json::from_slice(&body::bytes(body)?).unwrap_or_default();
    let named = body["prompt_id"].as_str();
    cancel(&app, &caller, |job| match named {
        Some(id) => job.name == id && own_jobs::stage(job) != Stage::Ended,
        None => own_jobs::stage(job) == Stage::Running,
    })
    .await
}

async fn cancel(app: &App, caller: &Caller, asked: impl Fn(&Job) -> bool) -> Result<(), Refusal> {
    caller.may_write()?;
    for job in own_jobs::newest(app, caller, MOST, asked) {
        match app.jobs.cancel(caller, &job.name).await {
            // It was deleted meanwhile.
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
