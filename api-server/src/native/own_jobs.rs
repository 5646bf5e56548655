//! The jobs of an API key that came by this front, and what the front keeps of each.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::FRONT;
use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State},
    error::Error,
    jobs::is_of_key,
};

/// What the front keeps of a job.
pub(super) const NUMBER: &str = "number";
pub(super) const CLIENT_ID: &str = "client_id";
pub(super) const EXTRA_DATA: &str = "extra_data";
const HIDDEN: &str = "hidden";

/// Where ComfyUI would have a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue.
    Pending,
    /// An image of it is being made.
    Running,
    /// In the history.
    Ended,
}

pub(super) fn stage(job: &Job) -> Stage {
    let is_being_made = || job.status.counts.is_some_and(|counts| counts.running > 0);
    match job.state() {
        State::Completed | State::Failed | State::Cancelled => Stage::Ended,
        State::Running => Stage::Running,
        State::Cancelling | State::Suspended if is_being_made() => Stage::Running,
        State::Queued | State::Suspended | State::Cancelling => Stage::Pending,
    }
}

/// Whether the job is one of the caller's key, and came by this front.
pub(super) fn is_own(caller: &Caller, job: &Job) -> bool {
    job.front.as_deref() == Some(FRONT) && is_of_key(job, caller)
}

/// The key's job of this name, as the watch shows it.
pub(super) fn known(app: &App, caller: &Caller, id: &str) -> Option<Arc<Job>> {
    app.cache.jobs.get(&caller.tenant, id).filter(|job| is_own(caller, job))
}

/// The key's job of this name, also if the watch has not shown it yet.
pub(super) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Arc<Job>, Error> {
    let job = app.jobs.get(&caller.tenant, id).await?;
    if is_own(caller, &job) { Ok(job) } else { Err(Error::no_job(id)) }
}

/// The key's jobs that are as asked, the newest first.
pub(super) fn newest(
    app: &App,
    caller: &Caller,
    at_most: usize,
    asked: impl Fn(&Job) -> bool,
) -> Vec<Arc<Job>> {
    app.cache.jobs.page(&caller.tenant, None, at_most, |job| is_own(caller, job) && asked(job)).jobs
}

/// How many of the key's jobs have not ended.
pub(super) fn remaining(app: &App, caller: &Caller) -> usize {
    newest(app, caller, usize::MAX, |job| stage(job) != Stage::Ended).len()
}

/// Whether the history shows the job.
pub(super) fn is_in_history(job: &Job) -> bool {
    stage(job) == Stage::Ended && job.request.front.get(HIDDEN) != Some(&Value::Bool(true))
}

/// What the front keeps of a job that the history no longer shows.
pub(super) fn hidden(job: &Job) -> Map<String, Value> {
    let mut kept = job.request.front.clone();
    kept.insert(HIDDEN.to_owned(), json!(true));
    kept
}

/// The client that asked for the job, and is told of it.
pub(super) fn client_id(job: &Job) -> Option<&str> {
    job.request.front.get(CLIENT_ID).and_then(Value::as_str)
}

/// The job's place among others; ComfyUI counts, we take the time.
pub(super) fn number(job: &Job) -> Value {
    let kept = job.request.front.get(NUMBER).filter(|number| number.is_number());
    kept.cloned().unwrap_or_else(|| json!(job.created_second()))
}

/// The part of a prompt in `/queue` and `/history` that repeats what the client sent beside the graph.
pub(super) fn extra_data(job: &Job) -> Value {
    let mut extra = job.request.front.get(EXTRA_DATA).and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(client_id) = client_id(job) {
        extra.insert(CLIENT_ID.to_owned(), json!(client_id));
    }
    Value::Object(extra)
}
