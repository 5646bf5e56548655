//! What happens to a job that somebody may want to be told of.

use serde_json::{Value, json};

use crate::{
    app::App,
    cache::{Job, State},
    own::view,
};

/// An event's body in bytes at most; a longer one goes without the list of results.
pub(super) const LONGEST: usize = 20_000;

/// An event of a job, by its name: `accepted`, `started`, `image`, `completed`, `failed`, `cancelled`, `late`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: &'static str,
    /// What tells it from another of that name of the same job.
    pub(super) id: String,
}

/// The names that a request may ask for; tenants are told of `refused` besides.
pub(crate) const NAMES: [&str; 7] =
    ["accepted", "started", "image", "completed", "failed", "cancelled", "late"];

/// Whether an endpoint that asks for `events` is told of this one.
pub(super) fn is_wanted(events: &[String], name: &str) -> bool {
    const USUAL: [&str; 5] = ["completed", "failed", "cancelled", "late", "refused"];
    if events.is_empty() { USUAL.contains(&name) } else { events.iter().any(|event| event == name) }
}

/// The events that a job has come to, as its state tells.
pub(super) fn events(job: &Job) -> Vec<Event> {
    let status = &job.status;
    let made = status.counts.unwrap_or_default().succeeded;
    let once = |name: &'static str| Event { name, id: name.to_owned() };
    let end = match job.state() {
        State::Completed => Some("completed"),
        State::Failed => Some("failed"),
        State::Cancelled => Some("cancelled"),
        _ => None,
    };
    let mut events = vec![];
    events.extend(status.accepted_time.is_some().then(|| once("accepted")));
    events.extend(status.start_time.is_some().then(|| once("started")));
    events.extend((made > 0).then(|| Event { name: "image", id: format!("image-{made}") }));
    events.extend(job.late.then(|| once("late")));
    events.extend(end.map(once));
    events
}

/// What is posted: the job as it is now.
pub(super) fn body(app: &App, job: &Job, event: &Event) -> String {
    let data: Value = serde_json::from_slice(&view::json(app, job)).unwrap_or_default();
    let mut body = json!({
        "type": format!("job.{}", event.name),
        "timestamp": jiff::Timestamp::now().to_string(),
        "data": data,
    });
    let text = body.to_string();
    if text.len() <= LONGEST {
        return text;
    }
    body["data"]["results"] = json!([]);
    body["data"]["resultsLeftOut"] = json!(true);
    body.to_string()
}
