//! When work will be done.
use crate::{Memory, Policy, Seen, Time};

/// When the waiting work will be done, as things stand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    buckets: Vec<Eta>,
}

/// When the waiting tasks of one class and model that are due at one time will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Eta {
    /// Their class.
    pub class: String,
    /// Their model.
    pub model: String,
    /// When they are due.
    pub due: Time,
    /// How many.
    pub tasks: u64,
    /// When the last of them should be done; `None`: not before something changes (no capacity it may use).
    pub done: Option<Time>,
}

/// Foretells when the work will be done by the workers there are and those the plan would start.
pub fn estimate(now: Time, policy: &Policy, seen: &Seen, memory: &Memory) -> Forecast {
    let _ = (now, policy, seen, memory);
    Forecast::default()
}

impl Forecast {
    /// All buckets, in the order in which they are due.
    pub fn buckets(&self) -> &[Eta] {
        &self.buckets
    }

    /// When the waiting tasks of a job (its class, model and due time as enqueued) will all be done; `None`:
    /// nothing of it waits, or no capacity is in sight. Add what the job has running.
    pub fn job_done(&self, class: &str, model: &str, due: Time) -> Option<Time> {
        self.buckets
            .iter()
            .rfind(|b| b.class == class && b.model == model && b.due <= due)
            .and_then(|b| b.done)
    }
}
