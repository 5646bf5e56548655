//! When a pool's work should be done, job by job: the policy's forecast of what waits, and what is being made. Pure.

use std::{collections::HashMap, time::Duration};

use crds::Capacity;
use policy::{Estimates, Forecast, Time};
use queue::{LeaseSeen, Stats};

use super::template::Template;
use crate::index::Uid;

/// A pool's work, as of its last plan.
#[derive(Default)]
pub(crate) struct Outlook {
    forecast: Forecast,
    /// When the last image of a job that is being made should be done.
    running: HashMap<Uid, Time>,
    /// What the pool has learned of how long things take.
    pub(crate) estimates: Estimates,
    /// How the pool fares, for people: why work is late.
    pub(crate) state: String,
    /// What its workers are made from; `None`: not known yet.
    template: Option<Template>,
}

/// When a job's last image should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expected {
    /// It can't be told.
    #[default]
    Unknown,
    /// Then.
    At(Time),
    /// Not before something changes: no worker that may make it is there or to be had.
    Never,
}

/// What of a job is still to be made.
pub(crate) struct Asked<'a> {
    pub(crate) job: Uid,
    pub(crate) class: &'a str,
    /// `None`: not known, so that of any model may be its.
    pub(crate) model: Option<&'a str>,
    pub(crate) due: Time,
    /// What its class promised.
    pub(crate) sla: Duration,
    /// Images of it wait for a worker.
    pub(crate) waits: bool,
}

impl Outlook {
    pub(crate) fn new(
        forecast: Forecast,
        stats: &Stats,
        estimates: Estimates,
        state: String,
        now: Time,
    ) -> Self {
        let running = running(&stats.leases, &estimates, now);
        Self { forecast, running, estimates, state, template: None }
    }

    pub(crate) fn made_from(self, template: Template) -> Self {
        Self { template: Some(template), ..self }
    }

    /// Whether a worker made now would run what one made from this did.
    pub(crate) fn makes_the_same(&self, made_from: &str) -> bool {
        let same = |template: &Template| {
            [Capacity::Spot, Capacity::OnDemand]
                .into_iter()
                .any(|capacity| template.runs_the_same(capacity, made_from))
        };
        self.template.as_ref().is_some_and(same)
    }

    /// When the last image of a job should be done.
    pub(crate) fn expected(&self, asked: &Asked<'_>) -> Expected {
        let running = self.running.get(&asked.job).copied();
        if !asked.waits {
            return running.map_or(Expected::Unknown, Expected::At);
        }
        let due = asked.due.minus(queue::due_rounding(asked.sla))..=asked.due;
        let buckets = self.forecast.buckets().iter();
        let mut alike = buckets
            .filter(|b| {
                b.class == asked.class
                    && asked.model.is_none_or(|model| b.model == model)
                    && due.contains(&b.due)
            })
            .peekable();
        if alike.peek().is_none() {
            return Expected::Unknown;
        }
        let last =
            alike.map(|bucket| bucket.done).try_fold(running, |last, done| Some(last.max(Some(done?))));
        match last {
            Some(Some(done)) => Expected::At(done),
            _ => Expected::Never,
        }
    }
}

/// A worker makes the image it claimed first, and then what it fetched ahead.
fn running(leases: &[LeaseSeen], estimates: &Estimates, now: Time) -> HashMap<Uid, Time> {
    let mut held: Vec<&LeaseSeen> = leases.iter().collect();
    held.sort_by(|a, b| (&a.worker, a.started_ms).cmp(&(&b.worker, b.started_ms)));
    let mut jobs = HashMap::new();
    for of_one in held.chunk_by(|a, b| a.worker == b.worker) {
        let mut free = now;
        for (n, lease) in of_one.iter().enumerate() {
            let left = match n {
                0 => {
                    let elapsed = now.since(Time::from_millis(lease.started_ms));
                    estimates.seconds_left(&lease.work, &lease.model, lease.units, lease.progress, elapsed)
                }
                _ => estimates.task_seconds(&lease.work, &lease.model, lease.units),
            };
            free = free.plus(Duration::try_from_secs_f64(left).unwrap_or_default());
            let Ok(job) = lease.task.job.0.parse() else { continue };
            let last = jobs.entry(job).or_insert(free);
            *last = free.max(*last);
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use policy::{Capacity, Memory, Phase, Policy, Queue, Sample, Seen, Worker};
    use queue::{JobUid, TaskId};

    use super::*;
    use crate::{
        fixtures::{at, pool_with},
        node::time,
        workerpool::policy as spec,
    };

    const SLA: Duration = Duration::from_secs(320);

    fn job(name: &str) -> JobUid {
        JobUid(format!("aaaaaaaa-0000-4000-8000-{:012x}", name.as_bytes()[0]))
    }

    /// Every image takes 10 s here.
    fn estimates() -> Estimates {
        let mut estimates = Estimates::default();
        for _ in 0..50 {
            estimates.observe(&Sample::Task {
                work: String::new(),
                model: "m".into(),
                units: 20.0,
                took: Duration::from_secs(10),
            });
        }
        estimates
    }

    fn lease(name: &str, worker: &str, started: i64, progress: Option<(u32, u32)>) -> LeaseSeen {
        LeaseSeen {
            task: TaskId { job: job(name), index: 0 },
            kind: queue::TaskKind::Image,
            attempt: 1,
            worker: queue::WorkerId(worker.into()),
            tenant: "studio".into(),
            class: "standard".into(),
            model: "m".into(),
            work: "m".into(),
            units: 20.0,
            due_ms: time(at(320)).as_millis(),
            started_ms: time(at(started)).as_millis(),
            expires_ms: 0,
            progress,
        }
    }

    fn backlog(due: i64, tasks: u64) -> policy::Backlog {
        let (class, model, work) = ("standard".into(), "m".into(), String::new());
        policy::Backlog { class, model, work, due: time(at(due)), tasks, units: 20.0 * tasks as f64 }
    }

    /// One idle worker that has the model, and what waits for it; no other may be started.
    fn outlook(backlog: Vec<policy::Backlog>, leases: Vec<LeaseSeen>, suspended: bool) -> Outlook {
        let worker = Worker {
            node: Some("n".into()),
            model: Some("m".into()),
            phase: Phase::Idle { since: time(at(0)) },
            ..Worker::new(policy::WorkerId("w".into()), Capacity::Spot, time(at(0)))
        };
        let workers = if suspended { vec![] } else { vec![worker] };
        let seen = Seen { queue: Some(Queue { backlog, running: vec![] }), workers, ..Seen::default() };
        let memory = Memory { estimates: estimates(), ..Memory::default() };
        let limits = serde_json::json!({"spec": {"suspend": suspended, "fleets": {"spot": {"max": 1}, "on-demand": null}}});
        let policy: Policy = spec::policy(&pool_with(limits));
        let forecast = policy::plan(time(at(100)), &policy, &seen, &memory).forecast;
        let stats = Stats { leases, ..Stats::default() };
        Outlook::new(forecast, &stats, memory.estimates, String::new(), time(at(100)))
    }

    fn expected(outlook: &Outlook, name: &str, due: i64, waits: bool) -> Expected {
        let (job, due) = (job(name).0.parse().unwrap(), time(at(due)));
        outlook.expected(&Asked { job, class: "standard", model: Some("m"), due, sla: SLA, waits })
    }

    /// Seconds from the job's creation.
    fn seconds(expected: Expected) -> Option<f64> {
        let Expected::At(done) = expected else { return None };
        Some(done.since(time(at(0))).as_secs_f64().round())
    }

    #[test]
    fn a_job_of_a_short_promise_is_found_however_far_its_due_time_was_rounded() {
        let waiting = outlook(vec![backlog(29, 1)], vec![], true);
        let due = time(at(29)).plus(Duration::from_millis(999));
        let sla = Duration::from_secs(30);
        let job = job("a").0.parse().unwrap();
        let asked = Asked { job, class: "standard", model: Some("m"), due, sla, waits: true };
        assert_eq!(waiting.expected(&asked), Expected::Never, "the pool is suspended");
    }

    #[test]
    fn a_job_is_done_when_its_last_image_is_waiting_or_being_made() {
        let waiting = outlook(vec![backlog(315, 3)], vec![lease("a", "v", 99, Some((1, 10)))], false);
        assert_eq!(seconds(expected(&waiting, "a", 320, true)), Some(130.0), "three of 10 s from 100 on");
        assert_eq!(seconds(expected(&waiting, "a", 320, false)), Some(109.0), "nine tenths of one are left");
        let few =
            outlook(vec![backlog(315, 1)], vec![lease("a", "v", 96, None), lease("a", "v", 98, None)], false);
        assert_eq!(
            seconds(expected(&few, "a", 320, true)),
            Some(116.0),
            "the second is made after the first"
        );
    }

    #[test]
    fn an_image_that_takes_long_is_never_just_about_done() {
        let overdue = outlook(vec![], vec![lease("a", "v", 0, None)], false);
        assert_eq!(seconds(expected(&overdue, "a", 320, false)), Some(101.0));
    }

    #[test]
    fn what_other_jobs_wait_for_says_nothing() {
        let others = outlook(vec![backlog(200, 3), backlog(500, 3)], vec![], false);
        assert_eq!(expected(&others, "a", 320, true), Expected::Unknown);
        assert_eq!(expected(&others, "a", 320, false), Expected::Unknown);
    }

    #[test]
    fn without_any_worker_in_sight_it_is_never_done() {
        let suspended = outlook(vec![backlog(315, 3)], vec![], true);
        assert_eq!(expected(&suspended, "a", 320, true), Expected::Never);
    }
}
