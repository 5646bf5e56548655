//! One moment, as every step of a plan sees it.
use crate::{
    Action, Backlog, Capacity, Class, Decision, Estimates, Fleet, Health, Memory, Order, Phase, Policy,
    Queue, Running, Seen, Time, Worker,
};

/// The arguments of a plan, and plain questions about them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Time,
    pub(crate) policy: &'a Policy,
    pub(crate) queue: Option<&'a Queue>,
    pub(crate) workers: &'a [Worker],
    pub(crate) memory: &'a Memory,
}

impl<'a> View<'a> {
    pub(crate) fn new(now: Time, policy: &'a Policy, seen: &'a Seen, memory: &'a Memory) -> Self {
        Self { now, policy, queue: seen.queue.as_ref(), workers: &seen.workers, memory }
    }

    pub(crate) fn estimates(&self) -> &'a Estimates {
        &self.memory.estimates
    }

    pub(crate) fn backlog(&self) -> &'a [Backlog] {
        self.queue.map_or(&[], |queue| &queue.backlog)
    }

    pub(crate) fn running(&self) -> &'a [Running] {
        self.queue.map_or(&[], |queue| &queue.running)
    }

    pub(crate) fn class(&self, name: &str) -> Option<&'a Class> {
        self.policy.class(name)
    }

    pub(crate) fn fleet(&self, capacity: Capacity) -> Option<&'a Fleet> {
        self.policy.fleet(capacity)
    }

    /// The fleet's minimum; 0 when the pool has no such capacity.
    pub(crate) fn min(&self, capacity: Capacity) -> usize {
        self.fleet(capacity).map_or(0, |fleet| fleet.min.min(fleet.max) as usize)
    }

    /// The fleet's maximum; 0 when the pool has no such capacity.
    pub(crate) fn max(&self, capacity: Capacity) -> usize {
        self.fleet(capacity).map_or(0, |fleet| fleet.max as usize)
    }

    /// Price of one worker per second, in millionths of the pool's currency; 0 when there is no such capacity.
    pub(crate) fn price(&self, capacity: Capacity) -> f64 {
        self.fleet(capacity).map_or(0.0, |fleet| fleet.price_per_hour_micros as f64 / 3600.0)
    }

    /// Seconds from now, negative when it has passed.
    pub(crate) fn until(&self, time: Time) -> f64 {
        (time.as_millis() as f64 - self.now.as_millis() as f64) / 1000.0
    }

    /// The point in time so many seconds from now.
    pub(crate) fn at(&self, seconds: f64) -> Time {
        self.now.plus(std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
    }

    /// Workers of a capacity that take one of its places: all but those whose machine goes or is gone.
    pub(crate) fn placed(&self, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
        self.workers.iter().filter(move |worker| worker.capacity == capacity && worker.takes_a_place())
    }
}

/// The workers as they are once they were told.
pub(crate) fn told(workers: &[Worker], decisions: &[Decision]) -> Vec<Worker> {
    let mut workers = workers.to_vec();
    for decision in decisions {
        let (id, order) = match &decision.action {
            Action::Evict { worker } => (worker, Order::Evicted),
            Action::Doom { worker, .. } => (worker, Order::Doomed),
            Action::Hold { worker } => (worker, Order::Hold),
            Action::Resume { worker } => (worker, Order::Work),
            Action::Start { .. } | Action::Retire { .. } => continue,
        };
        workers.iter_mut().filter(|worker| worker.id == *id).for_each(|worker| worker.order = order);
    }
    workers
}

impl Worker {
    /// Whether it counts against its fleet's maximum.
    pub(crate) fn takes_a_place(&self) -> bool {
        !matches!(self.health, Health::Doomed { .. } | Health::Gone)
            && !matches!(self.order, Order::Doomed | Order::Evicted)
    }

    /// Whether it is not up yet.
    pub(crate) fn is_coming(&self) -> bool {
        matches!(self.phase, Phase::Unscheduled | Phase::Starting { .. })
    }

    /// Whether it will claim tasks, now or once it is up.
    pub(crate) fn claims(&self) -> bool {
        self.health == Health::Well && self.order == Order::Work
    }
}
