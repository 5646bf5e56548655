//! Step 1: the work, in the order in which it is due.
use crate::{Capacity, CapacityRule, Estimates, Health, Order, Running, Time, view::View};

/// Waiting tasks of one class and model that are due at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket<'a> {
    pub(crate) class: &'a str,
    pub(crate) model: &'a str,
    pub(crate) rule: CapacityRule,
    /// The class's promise, seconds.
    pub(crate) sla: f64,
    pub(crate) due: Time,
    pub(crate) tasks: u64,
    /// Engine seconds of one task, > 0.
    pub(crate) each: f64,
    /// Seconds to load their model.
    pub(crate) load: f64,
    /// They are not there yet.
    pub(crate) expected: bool,
}

/// No task is shorter, seconds; keeps divisions finite whatever was learned.
const SHORTEST_TASK: f64 = 0.01;

impl Bucket<'_> {
    pub(crate) fn seconds(&self) -> f64 {
        self.each * self.tasks as f64
    }
}

/// What waits and what will come back to wait, earliest due first. Tasks of a class the pool no longer has are
/// left out: no worker may claim them.
pub(crate) fn demand<'a>(view: &View<'a>) -> Vec<Bucket<'a>> {
    let waiting = view
        .backlog()
        .iter()
        .filter(|b| b.tasks > 0)
        .filter_map(|b| bucket(view, &b.class, &b.model, b.due, b.tasks, b.units));
    let returning = view
        .running()
        .iter()
        .filter(|task| comes_back(view, task))
        .filter_map(|task| bucket(view, &task.class, &task.model, task.due, 1, task.units));
    let mut buckets: Vec<Bucket> = waiting.chain(returning).collect();
    in_order(&mut buckets);
    together_when_overdue(view, buckets)
}

/// What is overdue is one bucket per class and model: a long shortage leaves many, and when exactly each was due
/// matters no more.
fn together_when_overdue<'a>(view: &View, buckets: Vec<Bucket<'a>>) -> Vec<Bucket<'a>> {
    let mut together: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let alike = |known: &&mut Bucket| known.class == bucket.class && known.model == bucket.model;
        let overdue = bucket.due <= view.now;
        match together.iter_mut().filter(|_| overdue).find(alike) {
            Some(known) => {
                let seconds = known.seconds() + bucket.seconds();
                known.tasks += bucket.tasks;
                known.each = seconds / known.tasks as f64;
            }
            None => together.push(bucket),
        }
    }
    together
}

/// Without what is only expected.
pub(crate) fn there<'d, 'a>(demand: &'d [Bucket<'a>]) -> impl Iterator<Item = &'d Bucket<'a>> {
    demand.iter().filter(|bucket| !bucket.expected)
}

/// What waits, and what on-demand workers run that spot may run.
pub(crate) fn with_running_on_demand<'a>(view: &View<'a>, demand: &[Bucket<'a>]) -> Vec<Bucket<'a>> {
    let on_demand = |task: &&Running| view.placed(Capacity::OnDemand).any(|worker| worker.id == task.worker);
    let running = view.running().iter().filter(on_demand);
    let running = running.filter_map(|task| bucket(view, &task.class, &task.model, task.due, 1, task.units));
    let mut buckets: Vec<Bucket> = demand.iter().copied().chain(running).collect();
    in_order(&mut buckets);
    buckets
}

pub(crate) fn in_order(buckets: &mut [Bucket]) {
    buckets.sort_by(|a, b| (a.due, a.class, a.model).cmp(&(b.due, b.class, b.model)));
}

fn bucket<'a>(
    view: &View<'a>,
    class: &str,
    model: &'a str,
    due: Time,
    tasks: u64,
    units: f64,
) -> Option<Bucket<'a>> {
    let class = view.class(class)?;
    Some(Bucket {
        class: &class.name,
        model,
        rule: class.capacity,
        sla: class.sla.as_secs_f64(),
        due,
        tasks,
        each: view.estimates().task_seconds(model, units / tasks as f64).max(SHORTEST_TASK),
        load: Estimates::load_seconds(model),
        expected: false,
    })
}

/// Whether a leased task will wait again: its worker is dead or unknown, or its machine stops too early.
fn comes_back(view: &View, task: &Running) -> bool {
    let Some(worker) = view.workers.iter().find(|worker| worker.id == task.worker) else { return true };
    match (worker.health, worker.order) {
        (Health::Gone, _) | (_, Order::Evicted) => true,
        (Health::Doomed { deadline }, _) => remaining(view, task) > view.until(deadline),
        _ => false,
    }
}

/// Engine seconds still in a leased task, which is run from its claim on.
pub(crate) fn remaining(view: &View, task: &Running) -> f64 {
    let Running { model, units, started, progress, .. } = task;
    view.estimates().seconds_left(model, *units, *progress, view.now.since(*started))
}
