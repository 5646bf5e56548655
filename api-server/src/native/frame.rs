//! What ComfyUI tells of a prompt on its WebSocket, and again in the messages of its history.

use crds::Time;
use serde_json::{Value, json};

use super::outputs;
use crate::cache::{Job, State};

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: &'static str,
    pub(super) data: Value,
}

impl Frame {
    fn new(kind: &'static str, data: Value) -> Self {
        Self { kind, data }
    }

    /// As it is sent.
    pub(super) fn text(&self) -> String {
        json!({ "type": self.kind, "data": self.data }).to_string()
    }

    /// How many prompts of the key have not ended. `sid`: to whom, on connecting.
    pub(super) fn status(remaining: usize, sid: Option<&str>) -> Self {
        let mut data = json!({ "status": { "exec_info": { "queue_remaining": remaining } } });
        if let Some(sid) = sid {
            data["sid"] = json!(sid);
        }
        Self::new("status", data)
    }

    pub(super) fn feature_flags(flags: Value) -> Self {
        Self::new("feature_flags", flags)
    }

    /// The prompt begins.
    pub(super) fn start(job: &Job) -> [Self; 2] {
        let at = job.status.start_time.as_ref().or(job.created.as_ref());
        let timestamp = millis(at);
        [
            Self::new("execution_start", json!({ "prompt_id": job.name, "timestamp": timestamp })),
            Self::new(
                "execution_cached",
                json!({ "nodes": [], "prompt_id": job.name, "timestamp": timestamp }),
            ),
        ]
    }

    /// A node runs.
    pub(super) fn executing(job: &Job, node: &str) -> Self {
        Self::new("executing", json!({ "node": node, "display_node": node, "prompt_id": job.name }))
    }

    /// The prompt is over: the last message of each.
    pub(super) fn over(job: &Job) -> Self {
        Self::new("executing", json!({ "node": null, "prompt_id": job.name }))
    }

    /// So many steps of a node are done.
    pub(super) fn progress(job: &Job, node: Option<&str>, (value, max): (u32, u32)) -> Self {
        Self::new(
            "progress",
            json!({ "value": value.min(max), "max": max, "prompt_id": job.name, "node": node }),
        )
    }

    /// What each output node made.
    pub(super) fn executed(job: &Job) -> Vec<Self> {
        let made = outputs::by_node(job);
        let frame = |(node, output): (String, Value)| {
            Self::new(
                "executed",
                json!({ "node": node, "display_node": node, "output": output, "prompt_id": job.name }),
            )
        };
        made.into_iter().map(frame).collect()
    }

    /// How the prompt ended. `node`: the id and the class of the one that ran last, if known.
    pub(super) fn end(job: &Job, node: (&str, &str)) -> Self {
        let status = &job.status;
        let at = status.completion_time.as_ref().or(status.start_time.as_ref()).or(job.created.as_ref());
        let timestamp = millis(at);
        match job.state() {
            State::Completed => {
                Self::new("execution_success", json!({ "prompt_id": job.name, "timestamp": timestamp }))
            }
            State::Failed => {
                let failure = job.status.failures.first();
                let (kind, message) = failure
                    .map_or((&job.reason, &job.message), |failure| (&failure.reason, &failure.message));
                Self::new(
                    "execution_error",
                    json!({
                        "prompt_id": job.name, "node_id": node.0, "node_type": node.1, "executed": [],
                        "exception_type": kind, "exception_message": message, "traceback": [],
                        "current_inputs": {}, "current_outputs": [], "timestamp": timestamp,
                    }),
                )
            }
            // Cancelled; or deleted before its end.
            _ => Self::new(
                "execution_interrupted",
                json!({
                    "prompt_id": job.name, "node_id": node.0, "node_type": node.1, "executed": [],
                    "timestamp": timestamp,
                }),
            ),
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn millis(at: Option<&Time>) -> i64 {
    at.map_or(0, |time| time.0.as_millisecond())
}
