//! The work, in the order in which it is due.
use std::collections::{BTreeMap, HashMap};

use crate::{
    Capacity, CapacityRule, Estimates, Health, Order, Phase, Running, Time, inflow::Inflow, view::View,
};

/// All that is to be done, in the order in which it is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Demand<'a> {
    /// What waits, and what will come back to wait.
    pub(crate) waiting: Vec<Bucket<'a>>,
    /// The same in [`MOST`] buckets at most, and among it what is expected to arrive and to be due before some of it.
    pub(crate) foreseen: Vec<Bucket<'a>>,
    /// How much arrives.
    pub(crate) inflow: Inflow,
    /// Tasks that wait in classes which the pool does not have.
    pub(crate) unserved: Vec<Unserved>,
}

/// Tasks that wait in a class which the pool does not have (any more): nobody may claim them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The class.
    pub class: String,
    /// How many.
    pub tasks: u64,
}

/// Waiting tasks of one class and kind of work that are due at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket<'a> {
    pub(crate) class: &'a str,
    pub(crate) model: &'a str,
    pub(crate) work: &'a str,
    pub(crate) rule: CapacityRule,
    /// The class's promise, seconds.
    pub(crate) sla: f64,
    pub(crate) due: Time,
    pub(crate) tasks: u64,
    /// Engine seconds of one task to plan with, > 0.
    pub(crate) each: f64,
    /// Engine seconds expected of one task, > 0.
    pub(crate) mean: f64,
    /// Seconds to load their model.
    pub(crate) load: f64,
    /// They are not there yet.
    pub(crate) expected: bool,
}

/// Tasks as they are seen.
struct Tasks<'a> {
    class: &'a str,
    model: &'a str,
    work: &'a str,
    due: Time,
    tasks: u64,
    units: f64,
}

/// No task is shorter, seconds; keeps divisions finite whatever was learned.
const SHORTEST_TASK: f64 = 0.01;
/// Buckets that a plan looks at, at most: what it costs must not hang on how many kinds of work there are.
const MOST: usize = 128;
/// When there are more, due times are rounded to ever larger parts of their class's promise.
const COARSER: [f64; 5] = [16.0, 8.0, 4.0, 2.0, 1.0];

impl<'a> Demand<'a> {
    /// Counts what is seen.
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
        let returning = view.running().iter().filter(|task| comes_back(view, task)).map(Tasks::of_one);
        for tasks in backlog.chain(returning) {
            match tasks.bucket(view) {
                Some(bucket) => waiting.push(bucket),
                None => *unserved.entry(tasks.class).or_default() += tasks.tasks,
            }
        }
        waiting = one_of_what_is_overdue(view, waiting);
        in_order(&mut waiting);
        let inflow = Inflow::read(view, &waiting);
        let mut foreseen = coarse(waiting.clone());
        foreseen.extend(inflow.portions(view, &foreseen));
        in_order(&mut foreseen);
        let unserved = unserved.into_iter().map(|(class, tasks)| Unserved { class: class.to_owned(), tasks });
        Self { waiting, foreseen, inflow, unserved: unserved.collect() }
    }

    /// What waits in full, and what is expected to arrive among it.
    pub(crate) fn in_full(&self) -> Vec<Bucket<'a>> {
        let expected = self.foreseen.iter().filter(|bucket| bucket.expected).copied();
        let mut all: Vec<Bucket> = self.waiting.iter().copied().chain(expected).collect();
        in_order(&mut all);
        all
    }

    /// What waits, what is expected, and what on-demand workers run that spot may run.
    pub(crate) fn with_running_on_demand(&self, view: &View<'a>) -> Vec<Bucket<'a>> {
        let on_demand = |worker: &&crate::Worker| worker.phase == Phase::Busy && worker.takes_a_place();
        let workers = view.workers.iter().filter(|w| w.capacity == Capacity::OnDemand).filter(on_demand);
        let running = workers.flat_map(|worker| view.held_by(&worker.id));
        let running = running.filter_map(|task| Tasks::of_one(task).bucket(view));
        let mut buckets = coarse(running.collect());
        buckets.extend(self.foreseen.iter().copied());
        in_order(&mut buckets);
        buckets
    }

    /// How many tasks wait that a worker of this capacity may run.
    pub(crate) fn waiting_for(&self, capacity: Capacity) -> usize {
        let tasks = self.waiting.iter().filter(|b| b.rule.runs_on(capacity)).map(|b| b.tasks).sum::<u64>();
        usize::try_from(tasks).unwrap_or(usize::MAX)
    }

    /// How many tasks wait.
    pub(crate) fn tasks(&self) -> u64 {
        self.waiting.iter().map(|bucket| bucket.tasks).sum()
    }

    /// Engine seconds of what waits.
    pub(crate) fn seconds(&self) -> f64 {
        self.waiting.iter().map(|bucket| bucket.mean * bucket.tasks as f64).sum()
    }
}

impl Bucket<'_> {
    pub(crate) fn seconds(&self) -> f64 {
        self.each * self.tasks as f64
    }

    /// As it is expected to go, without reserve.
    pub(crate) const fn as_expected(self) -> Self {
        Self { each: self.mean, ..self }
    }

    /// Takes another's tasks in; they are due when the first of them are.
    fn absorb(&mut self, other: &Self) {
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

    /// `None`: the pool does not have their class.
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

/// What is overdue is one bucket per class and kind of work: a long shortage leaves many, and when exactly each was due
/// matters no more.
fn one_of_what_is_overdue<'a>(view: &View, buckets: Vec<Bucket<'a>>) -> Vec<Bucket<'a>> {
    let mut together: Vec<Bucket> = Vec::with_capacity(buckets.len());
    let mut overdue: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for bucket in buckets {
        if bucket.due > view.now {
            together.push(bucket);
            continue;
        }
        let place = *overdue.entry((bucket.class, bucket.model, bucket.work)).or_insert(together.len());
        match together.get_mut(place) {
            Some(known) => known.absorb(&bucket),
            None => together.push(bucket),
        }
    }
    together
}

/// The same tasks in few enough buckets.
fn coarse(mut buckets: Vec<Bucket>) -> Vec<Bucket> {
    for parts in COARSER {
        if buckets.len() <= MOST {
            return buckets;
        }
        buckets = merge(buckets, |bucket| (bucket.model, bucket.work, slot(bucket, parts)));
    }
    // Many models or kinds of work: those of a class count as one that is as long as they are on average.
    if buckets.len() > MOST {
        buckets = merge(buckets, |bucket| ("", "", slot(bucket, 4.0)));
    }
    buckets
}

/// In which part of its class's promise a bucket is due.
fn slot(bucket: &Bucket, parts: f64) -> u64 {
    // `as` saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let slot = (bucket.due.as_millis() as f64 / (bucket.sla * 1000.0 / parts).max(1.0)) as u64;
    slot
}

fn merge<'a>(
    buckets: Vec<Bucket<'a>>,
    kind: impl Fn(&Bucket<'a>) -> (&'a str, &'a str, u64),
) -> Vec<Bucket<'a>> {
    let mut merged: BTreeMap<(&str, (&str, &str, u64)), Bucket> = BTreeMap::new();
    for bucket in buckets {
        let known = merged.entry((bucket.class, kind(&bucket)));
        known.and_modify(|known| known.absorb(&bucket)).or_insert(bucket);
    }
    let mut merged: Vec<Bucket> = merged.into_values().collect();
    in_order(&mut merged);
    merged
}

/// The order in which it is due; what is expected before what is due at the same time.
pub(crate) fn in_order(buckets: &mut [Bucket]) {
    buckets.sort_by(|a, b| {
        let key = |b: &Bucket| (b.due, !b.expected);
        key(a).cmp(&key(b)).then_with(|| (a.class, a.model, a.work).cmp(&(b.class, b.model, b.work)))
    });
}

/// Whether a leased task will wait again: its worker is dead or unknown, or its machine stops too early.
fn comes_back(view: &View, task: &Running) -> bool {
    let Some(worker) = view.worker(&task.worker) else { return true };
    match (worker.health, worker.order) {
        (Health::Gone, _) | (_, Order::Evicted) => true,
        (Health::Doomed { deadline }, _) => remaining(view, task) > view.until(deadline),
        _ => false,
    }
}

/// Engine seconds still in a leased task, which is run from its claim on.
pub(crate) fn remaining(view: &View, task: &Running) -> f64 {
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
            let few = coarse(many);
            assert!(few.len() <= MOST, "{} of {kinds} kinds", few.len());
            assert_eq!(few.iter().map(|b| b.tasks).sum::<u64>(), 12_000);
            assert!(few.iter().all(|b| (b.each - 3.0).abs() < 1e-9 && (b.mean - 2.0).abs() < 1e-9));
        }
    }
}
