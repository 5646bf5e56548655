//! What came of a run.
use std::time::Duration;

use policy::{Capacity, CapacityRule, Time};

use super::{Pool, Setup};
use crate::arrivals::Task;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outcome {
    /// When each task was done first; none: never.
    finished: Vec<Option<Time>>,
    /// Tasks done.
    pub(crate) done: usize,
    /// Results accepted for tasks that were done already.
    pub(crate) doubled: u64,
    /// Results refused, since the lease had ended.
    pub(crate) stale: u64,
    /// Times a model was loaded for a task.
    pub(crate) switches: u64,
    /// Engine time spent on loading models, ms.
    pub(crate) load_ms: u64,
    /// Engine time spent in vain, ms.
    pub(crate) redone_ms: u64,
    /// Tasks that came back.
    pub(crate) interrupted: u64,
    /// Workers created.
    pub(crate) starts: u64,
    /// Machines that were taken away.
    pub(crate) losses: u64,
    /// Machines paid for.
    pub(crate) sessions: Vec<Session>,
    /// Estimated completions.
    pub(crate) promises: Vec<Promise>,
    /// How things were every few minutes.
    pub(crate) moments: Vec<Moment>,
    /// When it was over.
    pub(crate) end: Time,
}

/// A machine, from when it is paid for to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Session {
    /// Which kind.
    pub(crate) capacity: Capacity,
    /// Index of its zone.
    pub(crate) zone: Option<usize>,
    /// From then.
    pub(crate) from: Time,
    /// Until then.
    pub(crate) to: Time,
    /// What it cost.
    pub(crate) cost: f64,
}

/// When a task was estimated to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Promise {
    /// Which task.
    pub(crate) task: u32,
    /// When the estimate was made.
    pub(crate) made: Time,
    /// The estimate.
    pub(crate) done: Time,
}

/// How things were at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    /// When.
    pub(crate) at: Time,
    /// Spot machines paid for.
    pub(crate) spot: usize,
    /// On-demand machines paid for.
    pub(crate) on_demand: usize,
    /// Tasks waiting.
    pub(crate) waiting: u64,
}

impl Outcome {
    pub(super) fn new(tasks: usize) -> Self {
        Self { finished: vec![None; tasks], ..Self::default() }
    }

    pub(super) fn complete(&mut self, task: usize, now: Time) {
        if self.finished[task].is_some() {
            self.doubled += 1;
        } else {
            self.finished[task] = Some(now);
            self.done += 1;
        }
    }

    /// All tasks.
    pub(crate) fn images(&self) -> usize {
        self.finished.len()
    }

    /// The part of engine time that was spent in vain.
    pub(crate) fn redone_share(&self) -> f64 {
        let paid: f64 = self.sessions.iter().map(Session::hours).sum::<f64>() * 3.6e6;
        self.redone_ms as f64 / paid.max(1.0)
    }

    /// Tasks that were never done.
    pub(crate) fn lost(&self) -> usize {
        self.finished.len() - self.done
    }

    /// Machine hours paid for.
    pub(crate) fn hours(&self) -> f64 {
        self.sessions.iter().map(Session::hours).sum()
    }

    /// Machine hours of one capacity.
    pub(crate) fn hours_of(&self, capacity: Capacity) -> f64 {
        let hours = self.sessions.iter().filter(|session| session.capacity == capacity).map(Session::hours);
        // The sum of nothing is -0.
        hours.sum::<f64>() + 0.0
    }

    /// What all machines cost.
    pub(crate) fn cost(&self) -> f64 {
        self.sessions.iter().map(|session| session.cost).sum()
    }

    /// The share of tasks done by their due times, among those for which `counts`.
    pub(crate) fn in_time(&self, setup: &Setup, counts: impl Fn(usize, &Task) -> bool) -> f64 {
        let classes = &setup.pool.policy.classes;
        let (mut all, mut good) = (0u64, 0u64);
        for (i, task) in setup.work.tasks.iter().enumerate().filter(|(i, task)| counts(*i, task)) {
            let due = task.at.plus(classes[task.class].sla);
            all += 1;
            good += u64::from(self.finished[i].is_some_and(|at| at <= due));
        }
        if all == 0 { 1.0 } else { good as f64 / all as f64 }
    }

    /// Errors of the estimated completions ÷ their distance, smallest first.
    pub(crate) fn estimate_errors(&self) -> Vec<f64> {
        let error = |promise: &Promise| {
            let done = self.finished[promise.task as usize]?;
            let distance = done.since(promise.made).as_secs_f64();
            let off = done.since(promise.done).max(promise.done.since(done)).as_secs_f64();
            (distance > 0.0).then_some(off / distance)
        };
        let mut errors: Vec<f64> = self.promises.iter().filter_map(error).collect();
        errors.sort_by(f64::total_cmp);
        errors
    }
}

impl Session {
    fn hours(&self) -> f64 {
        self.to.since(self.from).as_secs_f64() / 3600.0
    }
}

/// Whether a worker ordered for a task alone as soon as it was asked for would have made it in time, where there were
/// machines that the task may run on.
pub(crate) fn feasible(setup: &Setup, task: &Task) -> bool {
    let Pool { policy, pace } = setup.pool;
    let class = &policy.classes[task.class];
    let due = task.at.plus(class.sla);
    let ready = pace.start_up();
    let exec = Duration::from_millis(task.exec);
    if class.capacity != CapacityRule::Spot && task.at.plus(ready + exec) <= due {
        return true;
    }
    class.capacity != CapacityRule::OnDemand
        && setup.market.zones.iter().any(|zone| {
            let stretches = zone.machines.stretches(due);
            let open = stretches.filter(|(_, to, machines)| *machines > 0 && *to >= task.at);
            open.map(|(from, to, _)| (from.max(task.at), to)).any(|(from, to)| from.plus(ready + exec) <= to)
        })
}
