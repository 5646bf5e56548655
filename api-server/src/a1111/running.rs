//! What of a key's pictures is being made: how far it is, and its end. The web UI has one user, who sees one job; here that
//! is the key.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::HeaderMap};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{FRONT, error::Refusal};
use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State as JobState},
    follow::{Follower, Snapshot},
};

/// For the queue's answer how far an image is.
const ANSWER: Duration = Duration::from_millis(500);
/// More jobs of one key are not looked at.
const MOST: usize = 500;

/// How far the key's jobs are: the oldest that is being made, as a queue has it.
pub(crate) async fn progress(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let jobs = unfinished(&app, &caller);
    let running = jobs.iter().rev().find(|job| job.state() == JobState::Running).or(jobs.last());
    let Some(job) = running else { return Ok(Json(view(0, None))) };
    let mut follower = Follower::new(&app, Arc::clone(job));
    let mut now = follower.now();
    if now.in_hand.is_empty() && job.state() == JobState::Running {
        let _ = timeout(ANSWER, follower.changed()).await;
        now = follower.now();
    }
    Ok(Json(view(jobs.len(), Some(&now))))
}

fn view(jobs: usize, now: Option<&Snapshot>) -> Value {
    let steps = now.and_then(|now| now.in_hand.first()).and_then(|image| image.steps);
    let (step, steps) = steps.unwrap_or_default();
    let end = now.and_then(|now| now.job.status.estimated_completion_time.as_ref());
    let left = end.map_or(0, |end| (end.0.as_second() - Timestamp::now().as_second()).max(0));
    json!({
        "progress": now.map_or(0.0, Snapshot::done),
        "eta_relative": left,
        "state": {
            "skipped": false,
            "interrupted": now.is_some_and(|now| now.job.state() == JobState::Cancelling),
            "job": now.map_or("", |now| &now.job.name),
            "job_count": jobs,
            "job_no": 0,
            "sampling_step": step,
            "sampling_steps": steps,
        },
        "current_image": null,
        "textinfo": null,
    })
}

/// Cancels the key's jobs.
pub(crate) async fn interrupt(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let jobs = unfinished(&app, &caller);
    app.jobs.cancel_all(&caller, jobs).await?;
    Ok(Json(json!({})))
}

/// The key's jobs of this front that have not ended, the newest first.
fn unfinished(app: &App, caller: &Caller) -> Vec<Arc<Job>> {
    let key = caller.key.label();
    let asked = |job: &Job| {
        job.front.as_deref() == Some(FRONT) && job.key.as_deref() == Some(key) && !job.state().is_final()
    };
    app.cache.jobs.page(&caller.tenant, None, MOST, asked).jobs
}
