//! When work will be done.
use crate::{
    Time,
    gap::{Gap, started},
    known::Known,
    schedule::Schedule,
    supply::{Prospect, supply},
};

/// When the waiting work will be done, as things stand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    buckets: Vec<Eta>,
}

/// When the waiting tasks of one class and kind of work that are due at one time will be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Eta {
    /// Their class.
    pub class: String,
    /// Their model.
    pub model: String,
    /// What kind of work they are ([`crate::Backlog::work`]).
    pub work: String,
    /// When they are due.
    pub due: Time,
    /// How many.
    pub tasks: u64,
    /// How many of them will not be done in time.
    pub late: u64,
    /// When the last of them should be done; `None`: not before something changes (no capacity it may use).
    pub done: Option<Time>,
}

/// By the workers there are and those the plan starts now or later.
pub(crate) fn foretell(known: &Known, gap: &Gap) -> Forecast {
    let view = &known.view;
    let mut slots = supply(view, known.zones, Prospect::Expected);
    slots.extend(started(known, gap, Prospect::Expected));
    if view.policy.paused {
        // They finish what they hold.
        slots.clear();
    }
    let mut schedule = Schedule::new(slots);
    let mut buckets = Vec::new();
    for bucket in known.demand.in_full() {
        let bucket = bucket.as_expected();
        let in_time = schedule.manages(&bucket, view.until(bucket.due)).min(bucket.tasks);
        let done = schedule.place(&bucket).map(|seconds| view.at(seconds));
        if !bucket.expected {
            buckets.push(Eta {
                class: bucket.class.to_owned(),
                model: bucket.model.to_owned(),
                work: bucket.work.to_owned(),
                due: bucket.due,
                tasks: bucket.tasks,
                late: bucket.tasks - in_time,
                done,
            });
        }
    }
    Forecast { buckets }
}

impl Forecast {
    /// All buckets, in the order in which they are due.
    pub fn buckets(&self) -> &[Eta] {
        &self.buckets
    }

    /// When the waiting tasks of a job (its class, model and due time as enqueued) will all be done; `None`:
    /// nothing of it waits, or no capacity is in sight. What the job has running may take longer.
    pub fn job_done(&self, class: &str, model: &str, due: Time) -> Option<Time> {
        let alike = self.buckets.iter().filter(|b| b.class == class && b.model == model);
        // Due times are rounded down to buckets.
        alike.filter(|b| b.due <= due).max_by_key(|b| b.due).and_then(|b| b.done)
    }
}
