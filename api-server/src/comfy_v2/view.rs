//! A job as the API shows it.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use crds::{Time, conditions::JobReason};
use jiff::{SignedDuration, Timestamp};
use queue::Reason;
use serde::Serialize;

use super::{
    output::{self, Output},
    progress::Progress,
};
use crate::{
    app::App,
    cache::{Job, State},
    follow::Snapshot,
    http::Mount,
};

/// What the API's URLs begin with, as this caller reaches it.
#[derive(Debug, Clone)]
pub(super) struct Base(String);

impl Base {
    pub(super) fn new(app: &App, mount: &Mount) -> Self {
        Self(format!("{}{}/api/v2", app.public_url, mount.prefix()))
    }

    pub(super) fn job(&self, job: &Job) -> String {
        format!("{}/jobs/{}", self.0, job.name)
    }

    /// Where an asset's bytes are.
    pub(super) fn content(&self, asset: &str) -> String {
        format!("{}/assets/{asset}/content", self.0)
    }
}

/// A job. Every key is there, also where nothing is known.
#[derive(Serialize)]
struct JobView<'a> {
    id: &'a str,
    status: Status,
    created_at: Time,
    started_at: Option<&'a Time>,
    completed_at: Option<&'a Time>,
    expires_at: Time,
    /// Not told: what comes next depends on who else waits, and not on the order of arrival.
    queue_position: Option<u32>,
    progress: Option<Progress>,
    outputs: Vec<Output<'a>>,
    error: Option<JobError<'a>>,
    metrics: Metrics,
    metadata: &'a BTreeMap<String, String>,
    urls: Urls,
}

/// How far a job is, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Queued,
    Running,
    Canceling,
    Succeeded,
    Failed,
    Canceled,
}

impl From<State> for Status {
    fn from(state: State) -> Self {
        match state {
            State::Queued | State::Suspended => Self::Queued,
            State::Running => Self::Running,
            State::Cancelling => Self::Canceling,
            State::Completed => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Canceled,
        }
    }
}

/// Why a job failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct JobError<'a> {
    code: String,
    message: &'a str,
    node_id: Option<&'a str>,
    class_type: Option<&'a str>,
    /// Workers keep what an engine says, but not where in its code.
    traceback: Option<&'a str>,
}

#[derive(Serialize)]
struct Metrics {
    queue_ms: Option<i64>,
    execution_ms: Option<i64>,
}

#[derive(Serialize)]
struct Urls {
    #[serde(rename = "self")]
    this: String,
    events: String,
    cancel: String,
}

/// An answer with a job.
pub(super) fn answer(status: StatusCode, base: &Base, now: &Snapshot) -> Response {
    (status, Json(view(base, now))).into_response()
}

fn view<'a>(base: &Base, now: &'a Snapshot) -> JobView<'a> {
    let job = &*now.job;
    let status = &job.status;
    let this = base.job(job);
    JobView {
        id: &job.name,
        status: job.state().into(),
        created_at: created(job),
        started_at: status.start_time.as_ref(),
        completed_at: status.completion_time.as_ref(),
        expires_at: expires(job),
        queue_position: None,
        progress: Progress::of(now),
        outputs: output::files(job).map(|(place, file)| Output::of(base, job, place, file)).collect(),
        error: (job.state() == State::Failed).then(|| error(job)),
        metrics: Metrics {
            queue_ms: milliseconds(job.created.as_ref(), status.start_time.as_ref()),
            execution_ms: milliseconds(status.start_time.as_ref(), status.completion_time.as_ref()),
        },
        metadata: &job.request.labels,
        urls: Urls { events: format!("{this}/events"), cancel: format!("{this}/cancel"), this },
    }
}

pub(super) fn created(job: &Job) -> Time {
    job.created.clone().unwrap_or(Time(Timestamp::UNIX_EPOCH))
}

/// When a job is deleted: its time to live after its end, or after its creation while it has no end. A job that stays for
/// ever has a date far away, since the API always has one.
pub(super) fn expires(job: &Job) -> Time {
    let counts_from = job.status.completion_time.clone().unwrap_or_else(|| created(job));
    let ttl = job.ttl.map(|seconds| SignedDuration::from_secs(seconds.into()));
    let expires = ttl.and_then(|ttl| counts_from.0.checked_add(ttl).ok());
    Time(expires.unwrap_or(FOR_EVER))
}

/// The year 9000, which every client's calendar has.
pub(super) const FOR_EVER: Timestamp = Timestamp::constant(221_845_392_000, 0);

fn milliseconds(from: Option<&Time>, to: Option<&Time>) -> Option<i64> {
    Some(to?.0.as_millisecond().saturating_sub(from?.0.as_millisecond()).max(0))
}

/// Of several images that failed the first tells why.
fn error(job: &Job) -> JobError<'_> {
    let failure = job.status.failures.first();
    let (reason, message) = match failure {
        Some(failure) => (failure.reason.as_str(), failure.message.as_str()),
        None => (job.reason.as_str(), job.message.as_str()),
    };
    let node = node_in(message);
    JobError {
        code: code(reason),
        message,
        node_id: node.map(|(id, _)| id),
        class_type: node.and_then(|(_, class)| class),
        traceback: None,
    }
}

fn code(reason: &str) -> String {
    if reason == Reason::EngineError.as_str() {
        return "node_execution_error".to_owned();
    }
    let invalid =
        [JobReason::WorkflowInvalid.as_str(), JobReason::Rejected.as_str(), Reason::EngineRejected.as_str()];
    if invalid.contains(&reason) {
        return "invalid_workflow".to_owned();
    }
    let mut code = String::with_capacity(reason.len() + 4);
    for c in reason.chars() {
        if c.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(c.to_ascii_lowercase());
    }
    if code.is_empty() { "failed".to_owned() } else { code }
}

/// The node that a message is about, and its class: `node 3 (KSampler): …`, `node 3: …`.
fn node_in(message: &str) -> Option<(&str, Option<&str>)> {
    let (head, _) = message.strip_prefix("node ")?.split_once(": ")?;
    match head.strip_suffix(')').and_then(|head| head.split_once(" (")) {
        Some((id, class)) => Some((id, Some(class))),
        None => Some((head, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_node() {
        for (message, node) in [
            ("node 3 (KSampler): RuntimeError: a: b", Some(("3", Some("KSampler")))),
            ("node 57:8: the engine has no node class \"A\"", Some(("57:8", None))),
            ("the workflow has no output node", None),
            ("node", None),
        ] {
            assert_eq!(node_in(message), node, "{message}");
        }
    }

    #[test]
    fn reasons_are_codes_in_small_letters() {
        for (reason, wanted) in [
            ("EngineError", "node_execution_error"),
            ("EngineRejected", "invalid_workflow"),
            ("WorkflowInvalid", "invalid_workflow"),
            ("OutOfMemory", "out_of_memory"),
            ("Timeout", "timeout"),
            ("", "failed"),
        ] {
            assert_eq!(code(reason), wanted);
        }
    }

    #[test]
    fn a_job_without_an_end_of_its_stay_expires_in_the_year_9000() {
        assert_eq!(FOR_EVER.to_string(), "9000-01-01T00:00:00Z");
        let job = Job { created: Some(Time(Timestamp::UNIX_EPOCH)), ttl: Some(60), ..Job::default() };
        assert_eq!(expires(&job).0.as_second(), 60);
        assert_eq!(expires(&Job { ttl: None, ..job }).0, FOR_EVER);
    }
}
