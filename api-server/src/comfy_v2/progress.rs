//! How far a job is, as the API tells it: each time the whole of it.

use crds::conditions::JobReason;
use serde::Serialize;

use crate::{
    cache::{Job, State},
    follow::Snapshot,
};

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Progress {
    /// How much of the job is made, 0 to 1.
    pub(super) value: f64,
    nodes_done: u32,
    nodes_total: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_node_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Progress {
    /// `None`: nothing is known, or the job has ended.
    pub(super) fn of(now: &Snapshot) -> Option<Self> {
        let job = &*now.job;
        if job.state().is_final() {
            return None;
        }
        let value = thousandths(now.done());
        // Of several images the one with the lowest index: it is the next that is made.
        let Some(image) = now.in_hand.iter().min_by_key(|image| image.index) else {
            let message = waits_for(job);
            return (message.is_some() || value > 0.0).then(|| Self { message, ..Self::nothing_but(value) });
        };
        let nodes = image.nodes.as_ref();
        let node = nodes.and_then(|nodes| nodes.running.as_ref());
        let class = node.and_then(|node| node.class.clone());
        let message = match (&class, image.steps) {
            (Some(class), Some((done, all))) => Some(format!("{class} {done}/{all}")),
            _ => class.clone(),
        };
        Some(Self {
            nodes_done: nodes.map_or(0, |nodes| nodes.done),
            nodes_total: nodes.map_or(0, |nodes| nodes.total),
            current_node: node.map(|node| node.id.clone()),
            current_node_class: class,
            step: image.steps.map(|(done, _)| done),
            steps: image.steps.map(|(_, all)| all),
            message,
            ..Self::nothing_but(value)
        })
    }

    /// A job whose images are all made.
    pub(super) const fn whole() -> Self {
        Self::nothing_but(1.0)
    }

    const fn nothing_but(value: f64) -> Self {
        Self {
            value,
            nodes_done: 0,
            nodes_total: 0,
            current_node: None,
            current_node_class: None,
            step: None,
            steps: None,
            message: None,
        }
    }
}

/// What a job waits for that is not a worker: the API has no other place to say it, and its caller would wait for ever.
fn waits_for(job: &Job) -> Option<String> {
    let waits = matches!(job.state(), State::Queued | State::Suspended);
    let for_a_worker = job.reason == JobReason::Waiting.as_str();
    (waits && !for_a_worker && !job.message.is_empty()).then(|| job.message.clone())
}

/// Thousandths are as exact as anybody shows it.
fn thousandths(part: f64) -> f64 {
    (part * 1000.0).round() / 1000.0
}
