//! Forecasts when the waiting work will be done.
use crate::{
    Time,
    gap::{Gap, planned_slots},
    schedule::Schedule,
    situation::Situation,
    supply::{Assumption, supply},
};

/// The times at which the waiting work will be done, if nothing changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    buckets: Vec<Eta>,
}

/// The forecast for waiting tasks of one class and kind of work that are due at the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Eta {
    /// The tasks' class.
    pub class: String,
    /// The tasks' model.
    pub model: String,
    /// The tasks' kind of work ([`crate::Backlog::work`]).
    pub work: String,
    /// The time at which the tasks are due.
    pub due: Time,
    /// The number of tasks.
    pub tasks: u64,
    /// The number of tasks that will not be done in time.
    pub late: u64,
    /// The time at which the last task should be done; `None`: the pool has no capacity for these tasks at present.
    pub done: Option<Time>,
}

/// Forecasts with the workers that exist and those that the plan starts now or later.
pub(crate) fn forecast(situation: &Situation, gap: &Gap) -> Forecast {
    let view = &situation.view;
    let mut slots = supply(view, situation.zones, Assumption::Expected);
    slots.extend(planned_slots(situation, gap, Assumption::Expected));
    if view.policy.suspended {
        // A suspended pool finishes what its workers hold and begins nothing.
        slots.clear();
    }
    let mut schedule = Schedule::new(slots);
    let mut buckets = Vec::new();
    for bucket in situation.demand.all() {
        let bucket = bucket.with_mean_time();
        let in_time = schedule.tasks_within(&bucket, view.seconds_until(bucket.due)).min(bucket.tasks);
        let done = schedule.place(&bucket).map(|seconds| view.time_in(seconds));
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
    /// All buckets, sorted by due time.
    pub fn buckets(&self) -> &[Eta] {
        &self.buckets
    }

    /// The time at which all waiting tasks of a job will be done. The job is given by its class, model and due time as
    /// enqueued. `None`: no task of it waits, or there is no capacity for it. Tasks of the job that run already may
    /// take longer.
    pub fn job_done(&self, class: &str, model: &str, due: Time) -> Option<Time> {
        let alike = self.buckets.iter().filter(|b| b.class == class && b.model == model);
        // Buckets round due times down.
        alike.filter(|b| b.due <= due).max_by_key(|b| b.due).and_then(|b| b.done)
    }
}
