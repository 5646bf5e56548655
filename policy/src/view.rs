//! The view of one moment that every step of a plan gets.
use std::collections::HashMap;

use crate::{
    Action, Backlog, Capacity, Class, Decision, Estimates, Fault, Fleet, Health, Machine, Memory, Order,
    Phase, Policy, Queue, Running, Seen, Time, Trouble, Worker, WorkerId,
};

/// The arguments of a plan, with simple queries on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Time,
    pub(crate) policy: &'a Policy,
    pub(crate) queue: Option<&'a Queue>,
    pub(crate) workers: &'a [Worker],
    pub(crate) memory: &'a Memory,
    /// How long things take, from finished tasks and from those that run.
    pub(crate) pace: &'a Estimates,
    pub(crate) index: &'a Index<'a>,
}

/// Positions of workers and leases in a snapshot. It holds for all views of the snapshot, because orders change and ids
/// do not.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    workers: HashMap<&'a WorkerId, usize>,
    /// The leased tasks of each worker, in the order in which it claimed them.
    leases: HashMap<&'a WorkerId, Vec<&'a Running>>,
}

impl<'a> Index<'a> {
    pub(crate) fn of(seen: &'a Seen) -> Self {
        let workers = seen.workers.iter().enumerate().map(|(place, worker)| (&worker.id, place)).collect();
        let mut leases: HashMap<&WorkerId, Vec<&Running>> = HashMap::new();
        for task in seen.queue.iter().flat_map(|queue| &queue.running) {
            leases.entry(&task.worker).or_default().push(task);
        }
        leases.values_mut().for_each(|held| held.sort_by_key(|task| task.started));
        Self { workers, leases }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(
        now: Time,
        policy: &'a Policy,
        seen: &'a Seen,
        memory: &'a Memory,
        index: &'a Index<'a>,
    ) -> Self {
        let (queue, workers) = (seen.queue.as_ref(), &seen.workers);
        Self { now, policy, queue, workers, memory, pace: &memory.estimates, index }
    }

    pub(crate) fn backlog(&self) -> &'a [Backlog] {
        self.queue.map_or(&[], |queue| &queue.backlog)
    }

    pub(crate) fn running(&self) -> &'a [Running] {
        self.queue.map_or(&[], |queue| &queue.running)
    }

    pub(crate) fn worker(&self, id: &WorkerId) -> Option<&'a Worker> {
        self.workers.get(*self.index.workers.get(id)?)
    }

    /// The tasks that a worker holds; it runs the first of them.
    pub(crate) fn held_by(&self, id: &WorkerId) -> &'a [&'a Running] {
        self.index.leases.get(id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn class(&self, name: &str) -> Option<&'a Class> {
        self.policy.class(name)
    }

    pub(crate) fn fleet(&self, capacity: Capacity) -> Option<&'a Fleet> {
        self.policy.fleet(capacity)
    }

    /// The fleet's minimum; 0 if the pool does not have the capacity or is suspended, since suspended workers may do nothing.
    pub(crate) fn min(&self, capacity: Capacity) -> usize {
        let fleet = self.fleet(capacity).filter(|_| !self.policy.suspended);
        fleet.map_or(0, |fleet| fleet.min.min(fleet.max) as usize)
    }

    /// The fleet's maximum; 0 if the pool does not have the capacity.
    pub(crate) fn max(&self, capacity: Capacity) -> usize {
        self.fleet(capacity).map_or(0, |fleet| fleet.max as usize)
    }

    /// The price of one worker per second, in millionths of the pool's currency; 0 if the pool does not have the
    /// capacity.
    pub(crate) fn price(&self, capacity: Capacity) -> f64 {
        self.fleet(capacity).map_or(0.0, |fleet| fleet.price_per_hour_micros as f64 / 3600.0)
    }

    /// Seconds from now until `time`; negative if it has passed.
    pub(crate) fn seconds_until(&self, time: Time) -> f64 {
        (time.as_millis() as f64 - self.now.as_millis() as f64) / 1000.0
    }

    /// The point in time this many seconds from now.
    pub(crate) fn time_in(&self, seconds: f64) -> Time {
        self.now.plus(std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
    }

    /// The workers that count as members of a capacity's fleet: all but those that failed and those on machines that
    /// stop or are dead.
    pub(crate) fn in_fleet(&self, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
        self.workers.iter().filter(move |worker| worker.capacity == capacity && worker.is_in_fleet())
    }

    /// The workers that are coming up and will claim.
    pub(crate) fn coming_up(&self, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
        self.in_fleet(capacity).filter(|worker| worker.claims() && worker.is_coming_up())
    }
}

/// The workers with the orders that these decisions give them.
pub(crate) fn with_orders(mut workers: Vec<Worker>, decisions: &[Decision]) -> Vec<Worker> {
    let orders: HashMap<&WorkerId, Order> = decisions.iter().filter_map(|d| order(&d.action)).collect();
    for worker in &mut workers {
        if let Some(order) = orders.get(&worker.id) {
            worker.order = *order;
        }
    }
    workers
}

const fn order(action: &Action) -> Option<(&WorkerId, Order)> {
    match action {
        Action::Evict { worker } => Some((worker, Order::Evicted)),
        Action::Doom { worker, .. } => Some((worker, Order::Doomed)),
        Action::Hold { worker } => Some((worker, Order::Hold)),
        Action::Resume { worker } => Some((worker, Order::Work)),
        Action::Retire { worker } => Some((worker, Order::Retire)),
        Action::Start { .. } => None,
    }
}

impl Worker {
    /// Whether the worker counts as a member of its fleet, and so against the maximum.
    pub(crate) fn is_in_fleet(&self) -> bool {
        self.phase != Phase::Failed
            && !matches!(self.health, Health::Doomed { .. } | Health::Gone)
            && !matches!(self.order, Order::Doomed | Order::Evicted)
    }

    /// Whether the worker is not up yet.
    pub(crate) const fn is_coming_up(&self) -> bool {
        matches!(self.phase, Phase::Unscheduled { .. } | Phase::Starting { .. })
    }

    /// Whether the worker is up: it has reported to the queue that it is ready.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Idle { .. } | Phase::Busy)
    }

    /// Whether the worker has a machine, on which its engine starts or runs.
    pub(crate) const fn has_machine(&self) -> bool {
        !matches!(self.phase, Phase::Unscheduled { .. } | Phase::Failed)
    }

    /// Whether a machine was bought for the worker.
    pub(crate) const fn is_launched(&self) -> bool {
        matches!(self.phase, Phase::Unscheduled { machine: Machine::Launched { .. } })
    }

    /// Whether the worker claims tasks, now or once it is up. A worker that is coming up may get over its trouble,
    /// unless it blames the pool.
    pub(crate) fn claims(&self) -> bool {
        let able = self.trouble.is_none() || (self.is_coming_up() && !self.blames(Fault::Pool));
        self.health == Health::Healthy && self.order == Order::Work && self.phase != Phase::Failed && able
    }

    /// Whether the worker can't work and names this fault.
    pub(crate) fn blames(&self, fault: Fault) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.fault == fault)
    }

    /// The message that says why the worker can't work.
    pub(crate) fn trouble_message(&self) -> Option<&str> {
        self.trouble.as_ref().map(|Trouble { message, .. }| message.as_str())
    }
}
