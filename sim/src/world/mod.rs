//! Machines, workers and tasks, event by event. Whoever decides is asked as the operator asks the policy: with what can
//! be seen, when something changes and when it asked to be woken, but at most once a second.
mod events;
mod machines;
mod pool;
mod seen;
mod tally;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use policy::{Capacity, Health, Order, Sample, Time, Worker, WorkerId};

pub(crate) use pool::Pool;
pub(crate) use pool::micros;
pub(crate) use tally::{Moment, Outcome, Promise, Session, feasible};

use crate::{
    arrivals::Workload,
    contenders::Scaler,
    lanes::{Grant, Lanes, Name},
    market::Market,
    random::Random,
};
use events::{Event, Events};
use seen::Backlog;

/// Plans are this far apart at least: changes that come together are looked at together.
const BETWEEN_PLANS: Duration = Duration::from_secs(1);
/// How often a moment is written down for the plots.
const BETWEEN_MOMENTS: Duration = Duration::from_secs(300);
/// Work that is not done so long after the last arrival is given up.
const GRACE: Duration = Duration::from_secs(86_400);
/// One task in so many is asked for its estimated completion.
const ESTIMATES: u32 = 20;

/// Everything that stays as it is during a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The pool, and how long things take in it.
    pub(crate) pool: &'a Pool,
    /// Where its machines come from.
    pub(crate) market: &'a Market,
    /// What it has to do.
    pub(crate) work: &'a Workload,
    /// For start-ups and for who is hit by a loss.
    pub(crate) seed: u64,
    /// A zone whose machines all vanish without notice, and when.
    pub(crate) strike: Option<(usize, Time)>,
}

/// A worker, and what only the world knows of it.
#[derive(Debug)]
struct Body {
    seen: Worker,
    zone: Option<usize>,
    classes: Vec<usize>,
    /// Index of the model it has loaded, or is to load while it starts.
    model: Option<usize>,
    held: Option<Held>,
    /// Since when its machine is paid for.
    paid_from: Option<Time>,
    /// It has asked for a machine, and there is none.
    asks: bool,
    /// Nobody hears of it any more.
    silent: bool,
}

/// A task in a worker's hands.
#[derive(Debug, Clone, Copy)]
struct Held {
    grant: Grant,
    started: Time,
    /// Milliseconds of loading its model first.
    load: u64,
    /// Milliseconds of engine time after that.
    exec: u64,
}

/// The world at one moment.
pub(crate) struct World<'a> {
    setup: Setup<'a>,
    now: Time,
    events: Events,
    lanes: Lanes,
    names: Names,
    backlog: Backlog,
    workers: BTreeMap<u32, Body>,
    /// Workers that go on though nobody hears of them.
    cut_off: BTreeSet<u32>,
    created: u32,
    /// Machines each zone would give, losses told of included.
    offered: Vec<u32>,
    /// Engine milliseconds left of each task.
    left: Vec<u64>,
    arrived: usize,
    planned: Option<Time>,
    plan_at: Option<Time>,
    /// Tasks whose estimated completion is asked for with the next plan.
    asked: Vec<u32>,
    /// Workers that got a machine since the last plan.
    placed: Vec<Sample>,
    random: Random,
    outcome: Outcome,
}

/// Names as the queue knows them, by index.
#[derive(Debug)]
struct Names {
    tenants: Vec<Name>,
    models: Vec<Name>,
}

impl<'a> World<'a> {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(setup: Setup<'a>) -> Self {
        let of = |names: &[String]| names.iter().map(|name| Name::of(name)).collect();
        let names = Names { tenants: of(&setup.work.tenants), models: of(&setup.work.models) };
        let start = Time::default();
        let mut world = Self {
            setup,
            now: start,
            events: Events::default(),
            lanes: Lanes::default(),
            names,
            backlog: Backlog::default(),
            workers: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            created: 0,
            offered: setup.market.zones.iter().map(|zone| zone.machines.at(start)).collect(),
            left: setup.work.tasks.iter().map(|task| task.exec).collect(),
            arrived: 0,
            planned: None,
            plan_at: None,
            asked: Vec::new(),
            placed: Vec::new(),
            random: Random::part(setup.seed, 3),
            outcome: Outcome::new(setup.work.tasks.len()),
        };
        world.foresee();
        world
    }

    /// Runs until all work is done and nobody is left, or time is over. A fleet that stays is paid for up to then.
    pub(crate) fn run(mut self, scaler: &mut dyn Scaler) -> Outcome {
        let last = self.setup.work.span().plus(GRACE);
        while let Some((at, event)) = self.events.pop() {
            if at > last || self.is_over() {
                break;
            }
            self.now = at;
            self.happen(event, scaler);
        }
        self.finish()
    }

    fn is_over(&self) -> bool {
        let all = self.arrived == self.left.len() && self.outcome.done == self.left.len();
        all && self.now >= self.setup.work.span() && self.workers.values().all(|body| body.held.is_none())
    }

    /// All that is known from the start to happen.
    fn foresee(&mut self) {
        if let Some(first) = self.setup.work.tasks.first() {
            self.events.push(first.at, Event::Arrive);
        }
        for (zone, place) in self.setup.market.zones.iter().enumerate() {
            for (at, from, to) in place.machines.changes() {
                if to < from {
                    let at = at.minus(self.setup.pool.pace.notice);
                    self.events.push(at, Event::Loss { zone, from, to });
                } else {
                    self.events.push(at, Event::Offer { zone, machines: to });
                }
            }
        }
        if let Some((zone, at)) = self.setup.strike {
            self.events.push(at, Event::Strike { zone });
        }
        self.events.push(self.now, Event::Moment);
        self.plan_soon();
    }

    fn happen(&mut self, event: Event, scaler: &mut dyn Scaler) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Ask(worker) => self.ask(worker),
            Event::Ready(worker) => self.ready(worker, scaler),
            Event::Done(worker, grant) => self.done(worker, grant, scaler),
            Event::Offer { zone, machines } => self.offer(zone, machines),
            Event::Loss { zone, from, to } => self.lose(zone, from, to),
            Event::Stop(worker) => self.stop(worker),
            Event::Strike { zone } => self.strike(zone),
            Event::Silence(worker, held) => self.notice_silence(worker, held),
            Event::Moment => self.note_moment(),
            Event::Plan => self.plan(scaler),
        }
        if scaler.watches() && !matches!(event, Event::Plan | Event::Moment) {
            self.plan_soon();
        }
    }

    /// Looks again as soon as may be.
    fn plan_soon(&mut self) {
        let earliest = self.planned.map_or(self.now, |last| last.plus(BETWEEN_PLANS).max(self.now));
        self.plan_at_latest(earliest);
    }

    fn plan_at_latest(&mut self, at: Time) {
        if self.plan_at.is_none_or(|planned| at < planned) {
            self.plan_at = Some(at);
            self.events.push(at, Event::Plan);
        }
    }

    fn plan(&mut self, scaler: &mut dyn Scaler) {
        if self.plan_at != Some(self.now) {
            return; // one that was put off or brought forward
        }
        self.plan_at = None;
        self.planned = Some(self.now);
        self.ring();
        self.placed.drain(..).for_each(|sample| scaler.learn(&sample));
        let seen = self.seen();
        let decisions = scaler.decide(self.now, &seen);
        self.estimate(scaler);
        for action in &decisions.actions {
            self.act(action);
        }
        self.plan_at_latest(self.now.plus(decisions.wake_after.max(BETWEEN_PLANS)));
    }

    /// Asks when the tasks that came since the last plan will be done.
    fn estimate(&mut self, scaler: &dyn Scaler) {
        let asked = std::mem::take(&mut self.asked);
        if asked.is_empty() {
            return;
        }
        let Some(forecast) = scaler.forecast() else { return };
        for task in asked {
            let asked = &self.setup.work.tasks[task as usize];
            let class = &self.setup.pool.policy.classes[asked.class];
            let model = &self.setup.work.models[asked.model];
            let done = forecast.job_done(&class.name, model, asked.at.plus(class.sla));
            self.outcome.promises.extend(done.map(|done| Promise { task, made: self.now, done }));
        }
    }

    fn note_moment(&mut self) {
        let count = |capacity| {
            let paid = self.workers.values().filter(|body| body.paid_from.is_some());
            paid.filter(|body| body.seen.capacity == capacity).count()
        };
        let moment = Moment {
            at: self.now,
            spot: count(Capacity::Spot),
            on_demand: count(Capacity::OnDemand),
            waiting: self.backlog.tasks(),
        };
        self.outcome.moments.push(moment);
        self.events.push(self.now.plus(BETWEEN_MOMENTS), Event::Moment);
    }

    fn finish(mut self) -> Outcome {
        let end = self.now.max(self.setup.work.span());
        let numbers: Vec<u32> = self.workers.keys().copied().collect();
        self.now = end;
        for number in numbers {
            self.leave(number);
        }
        self.outcome.end = end;
        self.outcome
    }
}

/// A time as the queue counts it. Simulated times are far below 2^63.
fn ms(time: Time) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Body {
    /// Whether it claims, now or when it is through with what it holds.
    fn is_up(&self) -> bool {
        self.seen.is_up()
            && !self.silent
            && self.seen.order == Order::Work
            && self.seen.health == Health::Healthy
    }

    fn claims(&self) -> bool {
        self.is_up() && self.held.is_none()
    }
}

/// A worker's name: in the order in which they were created.
fn worker_id(capacity: Capacity, number: u32) -> WorkerId {
    WorkerId(format!("{}-{number:06}", capacity.label()))
}

/// The number in a worker's name.
fn number_of(id: &WorkerId) -> Option<u32> {
    id.0.rsplit('-').next()?.parse().ok()
}
