//! Why the plan is what it is, in types. The one source for the pool's conditions, events, metric labels and
//! `lastDecision`: `reason()` is the constant for machines, `Display` the sentence for people.
use std::fmt;

use crate::{
    Action, Capacity, Decision, Forecast, Health, Phase, Time, Why, Worker,
    demand::Bucket,
    gap::Gap,
    on_demand::OnDemand,
    view::View,
    why::{Until, images},
    zones::Zones,
};

/// What the plan found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The pool in one word.
    pub state: State,
    /// Work waiting and running, engine seconds, model loads included.
    pub work_seconds: f64,
    /// Workers that count as capacity now or soon, per capacity.
    pub capacity: Counts,
    /// Workers the plan wants to have, per capacity (what it counts plus what it starts, less what it lets go).
    pub wanted: Counts,
    /// What the pool's machines cost per hour, in millionths of the pool's currency.
    pub cost_per_hour_micros: u64,
    /// What they would cost were they all on demand; at the spot price in a pool without on-demand machines.
    pub on_demand_cost_per_hour_micros: u64,
    /// Tasks that can't be done in time, worst first; known before they are late.
    pub late: Vec<Late>,
    /// Zones without spot machines (the empty name when the pool names none).
    pub short_zones: Vec<String>,
    /// When the plan was made.
    pub now: Time,
}

/// A number per capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// On spot.
    pub spot: u32,
    /// On demand.
    pub on_demand: u32,
}

/// Tasks of a class that can't be done in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// Their class.
    pub class: String,
    /// When the first of them is due.
    pub due: Time,
    /// When the last of them should be done.
    pub done: Option<Time>,
    /// How many.
    pub tasks: u64,
}

/// The pool in one word.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing to do.
    Empty,
    /// The workers there are do the work in time.
    OnTime,
    /// Workers are coming up.
    Growing,
    /// Workers are let go.
    Shrinking,
    /// The first tasks wait for company.
    Gathering {
        /// At the latest until then.
        until: Time,
    },
    /// There is no spot capacity; work that may only run there waits.
    SpotShortage,
    /// Spot is short, on-demand stands in.
    FallenBack,
    /// More workers are wanted than the pool may have.
    AtMaximum {
        /// Of this capacity.
        capacity: Capacity,
    },
    /// Paused: nothing is started.
    Paused,
    /// The queue can't be read: nothing is started, nothing is retired.
    QueueUnknown,
}

impl State {
    /// For conditions and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::OnTime => "OnTime",
            Self::Growing => "Growing",
            Self::Shrinking => "Shrinking",
            Self::Gathering { .. } => "Gathering",
            Self::SpotShortage => "SpotShortage",
            Self::FallenBack => "FallenBack",
            Self::AtMaximum { .. } => "AtMaximum",
            Self::Paused => "Paused",
            Self::QueueUnknown => "QueueUnknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing to do"),
            Self::OnTime => f.write_str("the work will be done in time"),
            Self::Growing => f.write_str("workers are coming up"),
            Self::Shrinking => f.write_str("workers are let go"),
            Self::Gathering { .. } => f.write_str("the first images wait for company"),
            Self::SpotShortage => f.write_str("no spot machines are to be had"),
            Self::FallenBack => f.write_str("no spot machines are to be had, on-demand stands in"),
            Self::AtMaximum { capacity } => {
                write!(f, "more {capacity} workers are wanted than the pool may have")
            }
            Self::Paused => f.write_str("no workers are started"),
            Self::QueueUnknown => f.write_str("the queue can't be read: nothing is started or retired"),
        }
    }
}

impl Report {
    /// The sentence for `lastDecision` and the pool's condition: what is done and why, or how things stand.
    pub fn message(&self, decisions: &[Decision]) -> String {
        let mut parts = changes(decisions);
        if parts.is_empty() {
            parts.push(self.state.to_string());
        }
        parts.extend(self.late.first().map(|late| late.message(self.now)));
        parts.join("; ")
    }
}

/// One sentence per kind of change and reason.
fn changes(decisions: &[Decision]) -> Vec<String> {
    let mut counted: Vec<(String, u32, &Why)> = Vec::new();
    for Decision { action, why } in decisions {
        let (verb, n) = match action {
            Action::Start { capacity, n, .. } => (format!("start {capacity}"), *n),
            other => (other.label().to_owned(), 1),
        };
        match counted.iter_mut().find(|(v, _, w)| *v == verb && w.reason() == why.reason()) {
            Some((_, sum, _)) => *sum += n,
            None => counted.push((verb, n, why)),
        }
    }
    counted.into_iter().map(|(verb, n, why)| format!("{verb} {n}: {why}")).collect()
}

/// What is reported while the queue can't be read.
pub(crate) fn unknown_queue(view: &View) -> Report {
    Report {
        state: State::QueueUnknown,
        work_seconds: 0.0,
        capacity: Counts::of(|capacity| claiming(view, capacity)),
        wanted: Counts::of(|capacity| claiming(view, capacity)),
        cost_per_hour_micros: cost(view),
        on_demand_cost_per_hour_micros: on_demand_cost(view),
        late: Vec::new(),
        short_zones: Vec::new(),
        now: view.now,
    }
}

/// What a plan found.
pub(crate) fn report(
    view: &View,
    demand: &[Bucket],
    zones: &Zones,
    gap: &Gap,
    forecast: &Forecast,
    decisions: &[Decision],
) -> Report {
    let running = view.running().iter().map(|task| crate::demand::remaining(view, task)).sum::<f64>();
    Report {
        state: state(view, demand, zones, gap, decisions),
        work_seconds: demand.iter().map(Bucket::seconds).sum::<f64>() + running,
        capacity: Counts::of(|capacity| claiming(view, capacity)),
        wanted: Counts::of(|capacity| wanted(view, capacity, gap, decisions)),
        cost_per_hour_micros: cost(view),
        on_demand_cost_per_hour_micros: on_demand_cost(view),
        late: late(forecast),
        short_zones: zones.short(),
        now: view.now,
    }
}

/// The first that is true, from the outside in.
fn state(view: &View, demand: &[Bucket], zones: &Zones, gap: &Gap, decisions: &[Decision]) -> State {
    let waits_for_spot = demand.iter().any(|b| b.rule.may_start(Capacity::Spot));
    let stands_in = gap.on_demand == OnDemand::StandsIn
        || gap.missing.iter().any(|m| m.after <= 0.0 && matches!(m.why, Why::FallBack { .. }));
    let retires = decisions.iter().any(|d| matches!(d.action, Action::Retire { .. } | Action::Hold { .. }));
    if view.policy.paused {
        State::Paused
    } else if stands_in && !zones.any_open() {
        State::FallenBack
    } else if waits_for_spot && !zones.any_open() {
        State::SpotShortage
    } else if let Some(capacity) = gap.at_maximum {
        State::AtMaximum { capacity }
    } else if gap.missing.iter().any(|missing| missing.after <= 0.0) {
        State::Growing
    } else if let Some(until) = gap.gather_until {
        State::Gathering { until }
    } else if retires {
        State::Shrinking
    } else if view.workers.iter().any(|worker| worker.is_coming() && worker.claims()) {
        State::Growing
    } else if demand.is_empty() && view.running().is_empty() {
        State::Empty
    } else {
        State::OnTime
    }
}

fn claiming(view: &View, capacity: Capacity) -> usize {
    view.placed(capacity).filter(|worker| worker.claims()).count()
}

fn wanted(view: &View, capacity: Capacity, gap: &Gap, decisions: &[Decision]) -> usize {
    let leaves = |worker: &&Worker| {
        decisions.iter().any(|d| {
            matches!(&d.action, Action::Retire { worker: id } | Action::Hold { worker: id } if *id == worker.id)
        })
    };
    let leaving = view.placed(capacity).filter(|w| w.claims()).filter(leaves).count();
    claiming(view, capacity) + gap.starts(capacity) - leaving
}

/// Of every worker that has a machine, until that is gone.
fn cost(view: &View) -> u64 {
    on_machines(view).filter_map(|w| view.fleet(w.capacity)).map(|fleet| fleet.price_per_hour_micros).sum()
}

fn on_demand_cost(view: &View) -> u64 {
    let fleet = view.fleet(Capacity::OnDemand).or_else(|| view.fleet(Capacity::Spot));
    on_machines(view).filter_map(|_| fleet).map(|fleet| fleet.price_per_hour_micros).sum()
}

fn on_machines<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Worker> {
    let lives = |worker: &&Worker| worker.health != Health::Gone;
    view.workers.iter().filter(|worker| worker.phase != Phase::Unscheduled).filter(lives)
}

/// By class, the class with the most late images first.
fn late(forecast: &Forecast) -> Vec<Late> {
    let mut late: Vec<Late> = Vec::new();
    for eta in forecast.buckets().iter().filter(|eta| eta.late > 0) {
        match late.iter_mut().find(|known| known.class == eta.class) {
            Some(known) => {
                known.tasks += eta.late;
                known.done = known.done.zip(eta.done).map(|(a, b)| a.max(b));
            }
            None => {
                late.push(Late { class: eta.class.clone(), due: eta.due, done: eta.done, tasks: eta.late });
            }
        }
    }
    late.sort_by_key(|late| std::cmp::Reverse(late.tasks));
    late
}

impl Late {
    /// A sentence for people.
    pub fn message(&self, now: Time) -> String {
        let (who, due) = (images(self.tasks), Until(self.due, now));
        match self.done {
            Some(done) => {
                format!("{who} of class {} will be late: due {due}, done {}", self.class, Until(done, now))
            }
            None => {
                format!("{who} of class {} will be late: due {due}, and no capacity is in sight", self.class)
            }
        }
    }
}

impl Counts {
    fn of(count: impl Fn(Capacity) -> usize) -> Self {
        let count = |capacity| u32::try_from(count(capacity)).unwrap_or(u32::MAX);
        Self { spot: count(Capacity::Spot), on_demand: count(Capacity::OnDemand) }
    }
}
