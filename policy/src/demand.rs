//! Counts the work and sorts it by due time.
use std::collections::{BTreeMap, HashMap};

use crate::{
    Capacity, CapacityRule, Estimates, Health, Order, Phase, Running, Time, inflow::Inflow, view::View,
};

/// All work of a pool, sorted by due time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Demand<'a> {
    /// Tasks that wait, and leased tasks that will wait again.
    pub(crate) waiting: Vec<Bucket<'a>>,
    /// The waiting tasks merged into [`MAX_BUCKETS`] buckets at most, together with the tasks that are expected to
    /// arrive and to be due before some of them.
    pub(crate) with_arrivals: Vec<Bucket<'a>>,
    /// The rate at which work arrives.
    pub(crate) inflow: Inflow,
    /// Tasks that wait in classes which the pool does not have.
    pub(crate) unserved: Vec<Unserved>,
}

/// Tasks that wait in a class which the pool does not have, or no longer has. No worker may claim them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The missing class.
    pub class: String,
    /// The number of waiting tasks.
    pub tasks: u64,
}

/// Waiting tasks of one class and kind of work that are due at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket<'a> {
    pub(crate) class: &'a str,
    pub(crate) model: &'a str,
    pub(crate) work: &'a str,
    pub(crate) rule: CapacityRule,
    /// The class's promise, in seconds.
    pub(crate) sla: f64,
    pub(crate) due: Time,
    pub(crate) tasks: u64,
    /// Engine seconds that the plan reserves for one task, > 0.
    pub(crate) each: f64,
    /// Engine seconds that one task takes on average, > 0.
    pub(crate) mean: f64,
    /// Seconds that a worker needs to load the model of these tasks.
    pub(crate) load: f64,
    /// Whether the tasks are still expected to arrive; otherwise they wait already.
    pub(crate) expected: bool,
}

/// Tasks of one class and kind of work, before the policy's estimates are applied.
struct Tasks<'a> {
    class: &'a str,
    model: &'a str,
    work: &'a str,
    due: Time,
    tasks: u64,
    units: f64,
}

/// The shortest task that a plan assumes, in seconds. It keeps divisions finite whatever was learned.
const SHORTEST_TASK: f64 = 0.01;
/// The largest number of buckets in a plan, so that the cost of planning does not grow with the number of kinds of
/// work.
const MAX_BUCKETS: usize = 128;
/// With more buckets than that, due times are rounded to these fractions (1/16, 1/8, …) of their class's promise, one
/// after another.
const ROUNDINGS: [f64; 5] = [16.0, 8.0, 4.0, 2.0, 1.0];

impl<'a> Demand<'a> {
    /// Counts the work in a snapshot.
    pub(crate) fn count(view: &View<'a>) -> Self {
        let (mut waiting, mut unserved) = (Vec::new(), BTreeMap::<&str, u64>::new());
        let backlog = view.backlog().iter().filter(|b| b.tasks > 0).map(|b| Tasks {
            class: &b.class,
            model: &b.model,
            work: &b.work,
            due: b.due,
            tasks: b.tasks,
            units: b.units,
        });
        let returning = view.running().iter().filter(|task| will_wait_again(view, task)).map(Tasks::of_one);
        for tasks in backlog.chain(returning) {
            match tasks.bucket(view) {
                Some(bucket) => waiting.push(bucket),
                None => *unserved.entry(tasks.class).or_default() += tasks.tasks,
            }
        }
        waiting = merge_overdue(view, waiting);
        sort_by_due(&mut waiting);
        let inflow = Inflow::read(view, &waiting);
        let mut with_arrivals = coarsen(waiting.clone());
        with_arrivals.extend(inflow.portions(view, &with_arrivals));
        sort_by_due(&mut with_arrivals);
        let unserved = unserved.into_iter().map(|(class, tasks)| Unserved { class: class.to_owned(), tasks });
        Self { waiting, with_arrivals, inflow, unserved: unserved.collect() }
    }

    /// The waiting tasks without any merging, and the tasks that are expected to arrive.
    pub(crate) fn all(&self) -> Vec<Bucket<'a>> {
        let expected = self.with_arrivals.iter().filter(|bucket| bucket.expected).copied();
        let mut all: Vec<Bucket> = self.waiting.iter().copied().chain(expected).collect();
        sort_by_due(&mut all);
        all
    }

    /// The waiting tasks, the expected ones, and those that run on on-demand workers and may run on spot.
    pub(crate) fn with_running_on_demand(&self, view: &View<'a>) -> Vec<Bucket<'a>> {
        let on_demand = |worker: &&crate::Worker| worker.phase == Phase::Busy && worker.is_in_fleet();
        let workers = view.workers.iter().filter(|w| w.capacity == Capacity::OnDemand).filter(on_demand);
        let running = workers.flat_map(|worker| view.held_by(&worker.id));
        let running = running.filter_map(|task| Tasks::of_one(task).bucket(view));
        let mut buckets = coarsen(running.collect());
        buckets.extend(self.with_arrivals.iter().copied());
        sort_by_due(&mut buckets);
        buckets
    }

    /// The number of waiting tasks that a worker of this capacity may run.
    pub(crate) fn waiting_for(&self, capacity: Capacity) -> usize {
        let tasks = self.waiting.iter().filter(|b| b.rule.runs_on(capacity)).map(|b| b.tasks).sum::<u64>();
        usize::try_from(tasks).unwrap_or(usize::MAX)
    }

    /// The number of waiting tasks.
    pub(crate) fn tasks(&self) -> u64 {
        self.waiting.iter().map(|bucket| bucket.tasks).sum()
    }

    /// Engine seconds that the waiting tasks take on average.
    pub(crate) fn seconds(&self) -> f64 {
        self.waiting.iter().map(|bucket| bucket.mean * bucket.tasks as f64).sum()
    }
}

impl Bucket<'_> {
    pub(crate) fn seconds(&self) -> f64 {
        self.each * self.tasks as f64
    }

    /// The same tasks, planned with their average time instead of the reserve.
    pub(crate) const fn with_mean_time(self) -> Self {
        Self { each: self.mean, ..self }
    }

    /// Adds another bucket's tasks. The merged bucket is due when the first of them is.
    fn add(&mut self, other: &Self) {
        let (each, mean) = (self.seconds() + other.seconds(), self.mean * self.tasks as f64);
        let mean = mean + other.mean * other.tasks as f64;
        self.due = self.due.min(other.due);
        self.tasks += other.tasks;
        (self.each, self.mean) = (each / self.tasks as f64, mean / self.tasks as f64);
    }
}

impl<'a> Tasks<'a> {
    fn of_one(task: &'a Running) -> Self {
        let Running { worker: _, class, model, work, units, due, started: _, progress: _ } = task;
        Self { class, model, work, due: *due, tasks: 1, units: *units }
    }

    /// Applies the estimates; `None` if the pool does not have the tasks' class.
    fn bucket(&self, view: &View<'a>) -> Option<Bucket<'a>> {
        let class = view.class(self.class)?;
        let units = self.units / self.tasks as f64;
        let planned = view.pace.task_seconds_planned(self.work, self.model, units, self.tasks);
        Some(Bucket {
            class: &class.name,
            model: self.model,
            work: self.work,
            rule: class.capacity,
            sla: class.sla.as_secs_f64(),
            due: self.due,
            tasks: self.tasks,
            each: planned.max(SHORTEST_TASK),
            mean: view.pace.task_seconds(self.work, self.model, units).max(SHORTEST_TASK),
            load: Estimates::load_seconds(self.model),
            expected: false,
        })
    }
}

/// Merges overdue buckets into one per class and kind of work. A long shortage leaves many of them, and their exact due
/// times no longer matter.
fn merge_overdue<'a>(view: &View, buckets: Vec<Bucket<'a>>) -> Vec<Bucket<'a>> {
    let mut together: Vec<Bucket> = Vec::with_capacity(buckets.len());
    let mut overdue: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for bucket in buckets {
        if bucket.due > view.now {
            together.push(bucket);
            continue;
        }
        let place = *overdue.entry((bucket.class, bucket.model, bucket.work)).or_insert(together.len());
        match together.get_mut(place) {
            Some(known) => known.add(&bucket),
            None => together.push(bucket),
        }
    }
    together
}

/// Merges the tasks into [`MAX_BUCKETS`] buckets at most.
fn coarsen(mut buckets: Vec<Bucket>) -> Vec<Bucket> {
    for parts in ROUNDINGS {
        if buckets.len() <= MAX_BUCKETS {
            return buckets;
        }
        buckets = merge(buckets, |bucket| (bucket.model, bucket.work, interval(bucket, parts)));
    }
    // There are many models or kinds of work: all tasks of a class count as one kind of average length.
    if buckets.len() > MAX_BUCKETS {
        buckets = merge(buckets, |bucket| ("", "", interval(bucket, 4.0)));
    }
    buckets
}

/// The number of the interval in which a bucket is due. An interval is 1/`parts` of the class's promise long.
fn interval(bucket: &Bucket, parts: f64) -> u64 {
    // `as` saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let interval = (bucket.due.as_millis() as f64 / (bucket.sla * 1000.0 / parts).max(1.0)) as u64;
    interval
}

fn merge<'a>(
    buckets: Vec<Bucket<'a>>,
    kind: impl Fn(&Bucket<'a>) -> (&'a str, &'a str, u64),
) -> Vec<Bucket<'a>> {
    let mut merged: BTreeMap<(&str, (&str, &str, u64)), Bucket> = BTreeMap::new();
    for bucket in buckets {
        let known = merged.entry((bucket.class, kind(&bucket)));
        known.and_modify(|known| known.add(&bucket)).or_insert(bucket);
    }
    let mut merged: Vec<Bucket> = merged.into_values().collect();
    sort_by_due(&mut merged);
    merged
}

/// Sorts buckets by due time. At equal due times, expected work comes first.
pub(crate) fn sort_by_due(buckets: &mut [Bucket]) {
    buckets.sort_by(|a, b| {
        let key = |b: &Bucket| (b.due, !b.expected);
        key(a).cmp(&key(b)).then_with(|| (a.class, a.model, a.work).cmp(&(b.class, b.model, b.work)))
    });
}

/// Whether a leased task will wait again: its worker is dead or unknown, or its machine stops before the task is done.
fn will_wait_again(view: &View, task: &Running) -> bool {
    let Some(worker) = view.worker(&task.worker) else { return true };
    match (worker.health, worker.order) {
        (Health::Gone, _) | (_, Order::Evicted) => true,
        (Health::Doomed { deadline }, _) => remaining_seconds(view, task) > view.seconds_until(deadline),
        _ => false,
    }
}

/// Engine seconds left in a leased task, which is assumed to run since its claim.
pub(crate) fn remaining_seconds(view: &View, task: &Running) -> f64 {
    let Running { worker: _, class: _, model, work, units, due: _, started, progress } = task;
    view.pace.seconds_left(work, model, *units, *progress, view.now.since(*started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(model: &'static str, due: u64) -> Bucket<'static> {
        Bucket {
            class: "bulk",
            model,
            work: model,
            rule: CapacityRule::Spot,
            sla: 43_200.0,
            due: Time::from_millis(due),
            tasks: 2,
            each: 3.0,
            mean: 2.0,
            load: 10.0,
            expected: false,
        }
    }

    #[test]
    fn however_many_kinds_there_are_the_plan_looks_at_few_and_no_task_is_left_out() {
        let models: Vec<&'static str> = (0..300).map(|i| &*format!("model-{i}").leak()).collect();
        for kinds in [1, 20, 300] {
            let many: Vec<Bucket> = (0..6000).map(|i| bucket(models[i % kinds], 7_000 * i as u64)).collect();
            let few = coarsen(many);
            assert!(few.len() <= MAX_BUCKETS, "{} of {kinds} kinds", few.len());
            assert_eq!(few.iter().map(|b| b.tasks).sum::<u64>(), 12_000);
            assert!(few.iter().all(|b| (b.each - 3.0).abs() < 1e-9 && (b.mean - 2.0).abs() < 1e-9));
        }
    }
}
