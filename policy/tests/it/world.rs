//! A tiny world to plan for: machines that take their time, workers that claim what is due first, and trouble
//! on request. It advances second by second and does at once what a plan says.
#![allow(clippy::expect_used)] // helpers of tests, which the lint's exception for tests misses
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use policy::{
    Action, Backlog, Capacity, Decision, Estimates, Health, Memory, Order, Phase, Plan, Policy, Queue,
    Running, Sample, Seen, State, Time, Worker, WorkerId, plan,
};

/// One image's work: 20 steps at 512 × 512.
pub(crate) const UNITS: f64 = 20.0;

/// A worker keeps to its model while nothing is due within this time.
const URGENT: Duration = Duration::from_secs(100);

/// How long things take here, seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From a Pod to its machine.
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
pub(crate) struct Task {
    class: String,
    model: String,
    due: Time,
    attempt: u32,
}

#[derive(Debug)]
struct Held {
    task: Task,
    started: Time,
    ends: Time,
    loads: bool,
}

#[derive(Debug)]
struct Body {
    worker: Worker,
    held: Option<Held>,
    classes: Vec<String>,
    warm: Option<String>,
    ready_at: Option<Time>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) in_time: u32,
    pub(crate) late: u32,
    pub(crate) starts: u32,
    pub(crate) switches: u32,
    pub(crate) interrupted: u32,
    /// Seconds on machines.
    pub(crate) spot: u64,
    pub(crate) on_demand: u64,
    /// Engine seconds of finished images.
    pub(crate) work: u64,
    /// Most workers there at once.
    pub(crate) peak: usize,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) policy: Policy,
    pub(crate) pace: Pace,
    pub(crate) memory: Memory,
    pub(crate) tally: Tally,
    pub(crate) queue_readable: bool,
    waiting: Vec<Task>,
    bodies: Vec<Body>,
    short: BTreeSet<String>,
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
            waiting: Vec::new(),
            bodies: Vec::new(),
            short: BTreeSet::new(),
            created: 0,
            plan_at: Time::default(),
            changed: true,
            shown: String::new(),
            log: Vec::new(),
        }
    }

    /// A world whose paces are known already.
    pub(crate) fn learned(policy: Policy, pace: Pace) -> Self {
        let mut estimates = Estimates::default();
        for _ in 0..30 {
            for capacity in Capacity::ALL {
                estimates.observe(&Sample::Started { capacity, took: secs(pace.machine + pace.boot) });
            }
            for model in ["sd15", "sdxl"] {
                let model = model.to_owned();
                estimates.observe(&Sample::Task { model, units: UNITS, took: secs(pace.image) });
            }
        }
        let mut world = Self::new(policy, pace);
        world.memory.estimates = estimates;
        world
    }

    pub(crate) fn arrive(&mut self, n: u32, class: &str, model: &str) {
        let sla = self.policy.class(class).expect("a class of the pool").sla;
        let due = self.now.plus(sla);
        let task = Task { class: class.into(), model: model.into(), due, attempt: 1 };
        self.waiting.extend((0..n).map(|_| task.clone()));
        self.changed = true;
    }

    pub(crate) fn spot_machines(&mut self, zone: &str, there: bool) {
        if there {
            self.short.remove(zone)
        } else {
            self.short.insert(zone.into())
        };
    }

    /// All spot workers of a zone get a sign.
    pub(crate) fn strike(&mut self, zone: &str, health: Health) {
        for body in self.bodies.iter_mut().filter(|b| b.worker.zone.as_deref() == Some(zone)) {
            if body.worker.capacity == Capacity::Spot && body.worker.phase != Phase::Unscheduled {
                body.worker.health = health;
            }
        }
        self.changed = true;
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

    pub(crate) fn workers(&self) -> usize {
        self.bodies.len()
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.waiting.len() + self.bodies.iter().filter(|b| b.held.is_some()).count()
    }

    /// One second.
    pub(crate) fn tick(&mut self) -> Option<Plan> {
        self.machines();
        self.engines();
        let planned = (self.changed || self.now >= self.plan_at).then(|| self.plan());
        self.claims();
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
        // Between two images a fleet has nothing to do; that isn't news.
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
            due,
            tasks,
            units: tasks as f64 * UNITS,
        });
        let held = self.bodies.iter().filter_map(|b| b.held.as_ref().map(|held| (b, held)));
        let running = held.map(|(body, held)| Running {
            worker: body.worker.id.clone(),
            class: held.task.class.clone(),
            model: held.task.model.clone(),
            units: UNITS,
            due: held.task.due,
            started: held.started,
            attempt: held.task.attempt,
            progress: None,
        });
        let queue = Queue { backlog: backlog.collect(), running: running.collect() };
        let workers = self.bodies.iter().map(|b| b.worker.clone()).collect();
        Seen { queue: self.queue_readable.then_some(queue), workers }
    }

    pub(crate) fn act(&mut self, decision: &Decision) {
        match &decision.action {
            Action::Start { capacity, zone, n, classes, model } => {
                for _ in 0..*n {
                    self.create(*capacity, zone.clone(), classes.clone(), model.clone());
                }
            }
            Action::Retire { worker } => {
                let body = self.body(worker);
                assert!(body.held.is_none(), "{worker} is busy and was to be retired");
                self.bodies.retain(|b| b.worker.id != *worker);
            }
            Action::Hold { worker } => self.body(worker).worker.order = Order::Hold,
            Action::Resume { worker } => self.body(worker).worker.order = Order::Work,
            Action::Doom { worker, .. } => {
                // Whatever it holds doesn't fit into the notice: the hardest case.
                self.give_back(worker);
                self.body(worker).worker.order = Order::Doomed;
            }
            Action::Evict { worker } => {
                self.give_back(worker);
                self.bodies.retain(|b| b.worker.id != *worker);
            }
        }
    }

    fn body(&mut self, id: &WorkerId) -> &mut Body {
        self.bodies.iter_mut().find(|b| b.worker.id == *id).expect("a worker that exists")
    }

    fn give_back(&mut self, id: &WorkerId) {
        if let Some(held) = self.body(id).held.take() {
            self.waiting.push(Task { attempt: held.task.attempt + 1, ..held.task });
            self.tally.interrupted += 1;
            self.changed = true;
        }
    }

    fn create(
        &mut self,
        capacity: Capacity,
        zone: Option<String>,
        classes: Vec<String>,
        warm: Option<String>,
    ) {
        self.created += 1;
        self.tally.starts += 1;
        let worker = Worker {
            id: WorkerId(format!("{}-{:03}", capacity.label(), self.created)),
            capacity,
            zone,
            node: None,
            model: warm.clone(),
            created: self.now,
            phase: Phase::Unscheduled,
            health: Health::Well,
            order: Order::Work,
        };
        self.bodies.push(Body { worker, held: None, classes, warm, ready_at: None });
    }

    fn machines(&mut self) {
        let (now, pace) = (self.now, self.pace);
        for body in &mut self.bodies {
            let worker = &mut body.worker;
            let none = worker.capacity == Capacity::Spot
                && self.short.contains(worker.zone.as_deref().unwrap_or_default());
            match worker.phase {
                Phase::Unscheduled if !none && now.since(worker.created) >= secs(pace.machine) => {
                    worker.phase = Phase::Starting { scheduled: now };
                    worker.node = Some(format!("node-of-{}", worker.id));
                    let load = if body.warm.is_some() { pace.load } else { 0 };
                    body.ready_at = Some(now.plus(secs(pace.boot + load)));
                    self.changed = true;
                }
                Phase::Starting { .. } if body.ready_at.is_some_and(|at| now >= at) => {
                    worker.phase = Phase::Idle { since: now };
                    worker.model = body.warm.clone();
                    let load = if body.warm.is_some() { pace.load } else { 0 };
                    let took = now.since(worker.created) - secs(load);
                    self.memory.estimates.observe(&Sample::Started { capacity: worker.capacity, took });
                    self.changed = true;
                }
                _ => {}
            }
            if let Health::Doomed { deadline } = body.worker.health
                && now >= deadline
            {
                body.worker.health = Health::Gone;
                self.changed = true;
            }
        }
    }

    fn engines(&mut self) {
        let now = self.now;
        for body in &mut self.bodies {
            if body.held.as_ref().is_none_or(|held| held.ends > now) || body.worker.health == Health::Gone {
                continue;
            }
            let Some(held) = body.held.take() else { continue };
            if now <= held.task.due {
                self.tally.in_time += 1;
            } else {
                self.tally.late += 1;
            }
            self.tally.work += self.pace.image;
            let model = held.task.model;
            let estimates = &mut self.memory.estimates;
            if held.loads {
                self.tally.switches += 1;
            }
            let took = secs(self.pace.image);
            estimates.observe(&Sample::Task { model: model.clone(), units: UNITS, took });
            body.worker.model = Some(model);
            body.worker.phase = Phase::Idle { since: now };
            self.changed = true;
        }
    }

    fn claims(&mut self) {
        let now = self.now;
        for body in &mut self.bodies {
            let ready = matches!(body.worker.phase, Phase::Idle { .. }) && body.held.is_none();
            if !ready || body.worker.order != Order::Work || body.worker.health == Health::Gone {
                continue;
            }
            let other = |task: &Task| body.worker.model.as_deref() != Some(&task.model);
            let eligible = (0..self.waiting.len()).filter(|i| body.classes.contains(&self.waiting[*i].class));
            let by_due = |i: &usize| (self.waiting[*i].due, other(&self.waiting[*i]));
            let loaded = eligible.clone().filter(|i| !other(&self.waiting[*i])).min_by_key(by_due);
            let Some(urgent) = eligible.min_by_key(by_due) else { continue };
            // As the queue does: the model that is loaded, unless something else is pressing.
            let pressing = self.waiting[urgent].due < now.plus(URGENT);
            let first = loaded.filter(|_| !pressing).unwrap_or(urgent);
            let task = self.waiting.remove(first);
            let loads = other(&task);
            let whole = self.pace.image + if loads { self.pace.load } else { 0 };
            body.held = Some(Held { task, started: now, ends: now.plus(secs(whole)), loads });
            body.worker.phase = Phase::Busy;
            self.changed = true;
        }
    }

    fn count(&mut self) {
        self.tally.peak = self.tally.peak.max(self.bodies.len());
        for body in self.bodies.iter().filter(|b| b.worker.phase != Phase::Unscheduled) {
            match body.worker.capacity {
                Capacity::Spot => self.tally.spot += 1,
                Capacity::OnDemand => self.tally.on_demand += 1,
            }
        }
    }
}

pub(crate) fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}
