//! A small simulated world: machines take time to come up, workers claim the task that is due first, and faults happen
//! on request. It advances second by second and carries out plans at once.
#![allow(clippy::expect_used)] // helpers of tests, which the lint's exception for tests misses
use std::{collections::BTreeMap, time::Duration};

use policy::{
    Action, Backlog, Capacity, Decision, Estimates, Health, Memory, Order, Plan, Policy, Queue, Running,
    Sample, Seen, State, Time, Worker, WorkerId, plan,
};

mod machines;
mod work;

pub(crate) use machines::{Fault, Market};

/// The work of one image: 20 steps at 512 × 512.
pub(crate) const UNITS: f64 = 20.0;

/// How long things take in this world, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From a Pod's creation to its machine.
    pub(crate) machine: u64,
    /// From the machine to a ready engine.
    pub(crate) boot: u64,
    pub(crate) load: u64,
    pub(crate) image: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { machine: 30, boot: 60, load: 10, image: 8 }
    }
}

#[derive(Debug, Clone)]
struct Task {
    class: String,
    model: String,
    due: Time,
}

#[derive(Debug)]
struct Lease {
    task: Task,
    started: Time,
    ends: Time,
    loads: bool,
}

#[derive(Debug)]
struct SimWorker {
    worker: Worker,
    lease: Option<Lease>,
    warm: Option<String>,
    ready_at: Option<Time>,
    /// The template from which the worker was made.
    template: String,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) in_time: u32,
    pub(crate) late: u32,
    pub(crate) starts: u32,
    pub(crate) switches: u32,
    pub(crate) interrupted: u32,
    /// Machine seconds.
    pub(crate) spot: u64,
    pub(crate) on_demand: u64,
    /// Engine seconds of finished images.
    pub(crate) work: u64,
    /// The largest number of workers at the same time.
    pub(crate) peak: usize,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) policy: Policy,
    pub(crate) pace: Pace,
    pub(crate) memory: Memory,
    pub(crate) tally: Tally,
    pub(crate) queue_readable: bool,
    pub(crate) market: Market,
    waiting: Vec<Task>,
    workers: Vec<SimWorker>,
    created: u32,
    plan_at: Time,
    changed: bool,
    shown: String,
    log: Vec<String>,
}

impl World {
    pub(crate) fn new(policy: Policy, pace: Pace) -> Self {
        Self {
            now: Time::from_millis(0),
            policy,
            pace,
            memory: Memory::default(),
            tally: Tally::default(),
            queue_readable: true,
            market: Market::default(),
            waiting: Vec::new(),
            workers: Vec::new(),
            created: 0,
            plan_at: Time::default(),
            changed: true,
            shown: String::new(),
            log: Vec::new(),
        }
    }

    /// A world whose pace the estimates have learned already.
    pub(crate) fn learned(policy: Policy, pace: Pace) -> Self {
        let mut estimates = Estimates::default();
        for _ in 0..30 {
            for capacity in Capacity::ALL {
                estimates.observe(&Sample::Started { capacity, took: secs(pace.machine + pace.boot) });
            }
            for model in ["sd15", "sdxl"] {
                let (work, model) = (String::new(), model.to_owned());
                estimates.observe(&Sample::Task { work, model, units: UNITS, took: secs(pace.image) });
            }
        }
        let mut world = Self::new(policy, pace);
        world.memory.estimates = estimates;
        world
    }

    pub(crate) fn change(&mut self) {
        self.changed = true;
    }

    pub(crate) fn note(&mut self, text: &str) {
        let s = self.now.as_millis() / 1000;
        self.log.push(format!("{:>3}:{:02}  {text}", s / 60, s % 60));
    }

    pub(crate) fn log(&self) -> String {
        self.log.join("\n")
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// The number of workers that are up and may claim.
    pub(crate) fn serving(&self) -> usize {
        let serves = |sim: &&SimWorker| sim.is_up() && sim.worker.order == Order::Work;
        self.workers.iter().filter(serves).filter(|sim| sim.worker.trouble.is_none()).count()
    }

    /// The number of workers made from an older template.
    pub(crate) fn outdated(&self) -> usize {
        self.workers.iter().filter(|sim| sim.template != self.policy.template).count()
    }

    /// The number of workers that have a machine.
    pub(crate) fn machines(&self, capacity: Capacity) -> usize {
        let has = |sim: &&SimWorker| sim.worker.capacity == capacity && sim.worker.node.is_some();
        self.workers.iter().filter(has).count()
    }

    /// Advances by one second; returns the snapshot and the plan, if there was one.
    pub(crate) fn tick(&mut self) -> Option<(Seen, Plan)> {
        self.advance_machines();
        self.finish_tasks();
        let planned = (self.changed || self.now >= self.plan_at).then(|| (self.seen(), self.plan()));
        self.claim();
        self.count();
        self.now = self.now.plus(secs(1));
        planned
    }

    pub(crate) fn plan(&mut self) -> Plan {
        let plan = plan(self.now, &self.policy, &self.seen(), &self.memory);
        self.changed = false;
        self.plan_at = self.now.plus(plan.wake_after);
        self.memory = plan.memory.clone();
        let message = plan.report.message(&plan.actions);
        let state = plan.report.state.reason();
        let late: Vec<&str> = plan.report.late.iter().map(|late| late.class.as_str()).collect();
        let shown = format!("{state} {late:?}");
        // A fleet without work between two images is not worth a line of the log.
        let calm = matches!(plan.report.state, State::Empty | State::OnTime) && late.is_empty();
        if !plan.actions.is_empty() || (!calm && self.shown != shown) {
            self.note(&format!("{state}: {message}"));
        }
        self.shown = shown;
        for decision in &plan.actions {
            self.act(decision);
        }
        plan
    }

    pub(crate) fn seen(&self) -> Seen {
        let mut buckets: BTreeMap<(&str, &str, Time), u64> = BTreeMap::new();
        for task in &self.waiting {
            *buckets.entry((&task.class, &task.model, task.due)).or_default() += 1;
        }
        let backlog = buckets.into_iter().map(|((class, model, due), tasks)| Backlog {
            class: class.into(),
            model: model.into(),
            work: String::new(),
            due,
            tasks,
            units: tasks as f64 * UNITS,
        });
        let lease = self.workers.iter().filter_map(|b| b.lease.as_ref().map(|lease| (b, lease)));
        let running = lease.map(|(sim, lease)| Running {
            worker: sim.worker.id.clone(),
            class: lease.task.class.clone(),
            model: lease.task.model.clone(),
            work: String::new(),
            units: UNITS,
            due: lease.task.due,
            started: lease.started,
            progress: None,
        });
        let queue = Queue { backlog: backlog.collect(), running: running.collect() };
        let workers = self.workers.iter().map(|sim| sim.seen(&self.policy.template)).collect();
        Seen { queue: self.queue_readable.then_some(queue), workers, refused: Vec::new() }
    }

    pub(crate) fn act(&mut self, decision: &Decision) {
        match &decision.action {
            Action::Start { capacity, zone, n, model } => {
                for _ in 0..*n {
                    self.create(*capacity, zone.clone(), model.clone());
                }
            }
            Action::Retire { worker } => {
                let sim = self.sim_worker(worker);
                assert!(sim.lease.is_none(), "{worker} is busy and was to be retired");
                self.workers.retain(|b| b.worker.id != *worker);
            }
            Action::Hold { worker } => self.sim_worker(worker).worker.order = Order::Hold,
            Action::Resume { worker } => self.sim_worker(worker).worker.order = Order::Work,
            Action::Doom { worker, .. } => {
                // The hardest case: nothing that the worker holds can be finished before the deadline.
                self.hand_back(worker);
                self.sim_worker(worker).worker.order = Order::Doomed;
            }
            Action::Evict { worker } => {
                self.hand_back(worker);
                self.workers.retain(|b| b.worker.id != *worker);
            }
        }
    }

    fn sim_worker(&mut self, id: &WorkerId) -> &mut SimWorker {
        self.workers.iter_mut().find(|b| b.worker.id == *id).expect("a worker that exists")
    }

    fn create(&mut self, capacity: Capacity, zone: Option<String>, warm: Option<String>) {
        self.created += 1;
        self.tally.starts += 1;
        let id = WorkerId(format!("{}-{:03}", capacity.label(), self.created));
        let worker = Worker { zone, model: warm.clone(), ..Worker::new(id, capacity, self.now) };
        let template = self.policy.template.clone();
        self.workers.push(SimWorker { worker, lease: None, warm, ready_at: None, template });
        self.changed = true;
    }

    fn count(&mut self) {
        self.tally.peak = self.tally.peak.max(self.workers.len());
        let (spot, on_demand) = (self.machines(Capacity::Spot), self.machines(Capacity::OnDemand));
        self.tally.spot += spot as u64;
        self.tally.on_demand += on_demand as u64;
    }
}

impl SimWorker {
    fn seen(&self, template: &str) -> Worker {
        use policy::Template::{Current, Outdated};
        let template = if self.template == template { Current } else { Outdated };
        Worker { template, ..self.worker.clone() }
    }

    fn lives(&self) -> bool {
        self.worker.health != Health::Gone
    }
}

pub(crate) fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}
