//! Why the plan is what it is, in types. The one source for the pool's conditions, events, metric labels and
//! `lastDecision`: `reason()` is the constant for machines, `Display` the sentence for people.
use crate::{
    Action, Capacity, CapacityRule, Decision, Forecast, Health, Shortage, State, Time, Unserved, Why, Worker,
    demand::remaining,
    failures::{Gate, pool_at_fault},
    gap::Gap,
    known::Known,
    on_demand::OnDemand,
    rollout,
    view::View,
    words::images,
};

/// What the plan found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The pool in one word.
    pub state: State,
    /// Whether the pool does its work, or would if there was any.
    pub ready: bool,
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
    /// Tasks that wait in classes which the pool does not have.
    pub unserved: Vec<Unserved>,
    /// Where no workers come up.
    pub short: Vec<Short>,
    /// Capacities of which workers do not come up.
    pub failing: Vec<Failing>,
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

/// A zone in which no workers of a capacity come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// The capacity.
    pub capacity: Capacity,
    /// The zone; empty when the fleet names none.
    pub zone: String,
    /// What it lacks, since when, and until when it is avoided.
    pub shortage: Shortage,
}

/// A capacity of which workers do not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The capacity.
    pub capacity: Capacity,
    /// So many in a row; 0: the cluster refuses to create them.
    pub workers: u32,
    /// Why the last one did not, in the words of who says so.
    pub said: String,
    /// When the next is tried; none: it is coming up.
    pub next_try: Option<Time>,
}

impl Report {
    /// The sentence for `lastDecision` and the pool's condition: what is done and why, or how things stand. It does not
    /// change by the clock alone.
    pub fn message(&self, decisions: &[Decision]) -> String {
        let mut parts = changes(decisions);
        if parts.is_empty() || !self.ready {
            parts.push(self.state.to_string());
        }
        if !matches!(self.state, State::ClassUnknown { .. }) {
            parts.extend(self.unserved.iter().map(Unserved::message));
        }
        parts.extend(self.late.first().map(Late::message));
        parts.join("; ")
    }
}

/// One sentence per kind of change and reason.
fn changes(decisions: &[Decision]) -> Vec<String> {
    let mut counted: Vec<(String, u32, &Why)> = Vec::new();
    for Decision { action, why, .. } in decisions {
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
        ready: false,
        work_seconds: 0.0,
        capacity: Counts::of(|capacity| claiming(view, capacity)),
        wanted: Counts::of(|capacity| claiming(view, capacity)),
        cost_per_hour_micros: cost(view),
        on_demand_cost_per_hour_micros: on_demand_cost(view),
        late: Vec::new(),
        unserved: Vec::new(),
        short: Vec::new(),
        failing: Vec::new(),
    }
}

/// What a plan found.
pub(crate) fn report(known: &Known, gap: &Gap, forecast: &Forecast, decisions: &[Decision]) -> Report {
    let Known { view, zones, demand } = known;
    let running = view.running().iter().map(|task| remaining(view, task)).sum::<f64>();
    let state = state(known, gap, decisions);
    let short = |capacity| {
        let zones = zones.short(capacity);
        zones.map(move |(zone, shortage)| Short {
            capacity,
            zone: zone.to_owned(),
            shortage: shortage.clone(),
        })
    };
    Report {
        ready: is_ready(view, &state),
        state,
        work_seconds: demand.seconds() + running,
        capacity: Counts::of(|capacity| claiming(view, capacity)),
        wanted: Counts::of(|capacity| wanted(view, capacity, gap, decisions)),
        cost_per_hour_micros: cost(view),
        on_demand_cost_per_hour_micros: on_demand_cost(view),
        late: late(forecast),
        unserved: demand.unserved.clone(),
        short: Capacity::ALL.into_iter().flat_map(short).collect(),
        failing: failing(view),
    }
}

/// The first that is true, from the outside in.
fn state(known: &Known, gap: &Gap, decisions: &[Decision]) -> State {
    let Known { view, demand, .. } = known;
    let retires = decisions.iter().any(|d| matches!(d.action, Action::Retire { .. } | Action::Hold { .. }));
    let outdated = || Capacity::ALL.into_iter().map(|capacity| rollout::outdated(view, capacity).count());
    if view.policy.paused {
        State::Paused
    } else if let Some(said) = pool_at_fault(view) {
        State::PoolAtFault { said: said.to_owned() }
    } else if let Some(failing) = fails(known, gap) {
        failing
    } else if let Some(shortage) = shortage(known, gap, decisions) {
        shortage
    } else if let Some(capacity) = gap.at_maximum {
        State::AtMaximum { capacity }
    } else if gap.missing.iter().any(|m| m.after <= 0.0 && m.why != Why::Replacement) {
        State::Growing
    } else if outdated().sum::<usize>() > 0 {
        State::RollingOut { left: u32::try_from(outdated().sum::<usize>()).unwrap_or(u32::MAX) }
    } else if retires {
        State::Shrinking
    } else if Capacity::ALL.into_iter().any(|capacity| view.coming(capacity).next().is_some()) {
        State::Growing
    } else if !demand.waiting.is_empty() || !view.running().is_empty() {
        State::OnTime
    } else if let Some(most) = demand.unserved.iter().max_by_key(|unserved| unserved.tasks) {
        let tasks = demand.unserved.iter().map(|unserved| unserved.tasks).sum();
        State::ClassUnknown { class: most.class.clone(), tasks }
    } else {
        State::Empty
    }
}

/// Whether workers do not come up, none is there, and some are wanted. One that failed says little.
fn fails(known: &Known, gap: &Gap) -> Option<State> {
    let view = &known.view;
    let up = view.workers.iter().any(|worker| worker.claims() && worker.is_up());
    let wanted = !known.demand.waiting.is_empty() || !gap.missing.is_empty();
    let lasts = |failing: &Failing| {
        let gate = Gate::of(view, failing.capacity);
        failing.workers == 0 || gate == Gate::OneAtATime || !gate.is_trusted(view, failing.capacity)
    };
    let failing = failing(view).into_iter().filter(lasts).max_by_key(|failing| failing.workers);
    let Failing { capacity: _, workers, said, next_try } = failing.filter(|_| wanted && !up)?;
    Some(State::StartsFailing { workers, next_try, said })
}

fn failing(view: &View) -> Vec<Failing> {
    let of = |capacity| {
        let gate = Gate::of(view, capacity);
        let next_try = if let Gate::ClosedUntil(time) = gate { Some(time) } else { None };
        let known = view.memory.failures.get(&capacity);
        let (workers, last) = known.map_or((0, ""), |known| (known.workers, &known.why));
        let coming = || view.coming(capacity).find_map(|worker| worker.complaint());
        let said = coming().unwrap_or(last).to_owned();
        let fails = matches!(gate, Gate::OneAtATime | Gate::ClosedUntil(_));
        fails.then_some(Failing {
            capacity,
            workers: workers.max(u32::from(coming().is_some())),
            said,
            next_try,
        })
    };
    Capacity::ALL.into_iter().filter_map(of).collect()
}

/// What is short of the machines that work waits for.
fn shortage(known: &Known, gap: &Gap, decisions: &[Decision]) -> Option<State> {
    let Known { view, zones, demand } = known;
    let none = |capacity| view.fleet(capacity).is_some() && !zones.any_open(capacity);
    let goes = |worker: &Worker| decisions.iter().any(|d| d.action == Action::retire(&worker.id));
    let waiting =
        |capacity| view.placed(capacity).find(|worker| zones.hopeless(view, worker) && !goes(worker));
    let lack = |capacity| zones.short(capacity).map(|(_, shortage)| shortage.lack).next().unwrap_or_default();
    let said = |capacity| {
        let worker: Option<&Worker> = waiting(capacity);
        let words = worker.and_then(|worker| worker.no_machine.clone());
        words.or_else(|| zones.short(capacity).find_map(|(_, shortage)| shortage.said.clone()))
    };
    let falls_back = gap.missing.iter().any(|m| m.after <= 0.0 && matches!(m.why, Why::FallBack { .. }));
    let stands_in = gap.on_demand == OnDemand::StandsIn || falls_back;
    let work = demand.waiting.iter().any(|bucket| bucket.rule.may_start(Capacity::Spot));
    let spot = none(Capacity::Spot) && (work || stands_in);
    let urgent = demand.waiting.iter().any(|bucket| bucket.rule == CapacityRule::OnDemand);
    let on_demand = none(Capacity::OnDemand) && (urgent || waiting(Capacity::OnDemand).is_some());
    let both = || match (said(Capacity::Spot), said(Capacity::OnDemand)) {
        (Some(spot), Some(on_demand)) if spot != on_demand => Some(format!("{spot}; {on_demand}")),
        (spot, on_demand) => spot.or(on_demand),
    };
    let of = |capacity| (lack(capacity), said(capacity));
    Some(match (spot, on_demand) {
        (true, true) => State::NoMachines { lack: lack(Capacity::Spot), said: both() },
        (true, false) => {
            let (lack, said) = of(Capacity::Spot);
            if stands_in { State::FallenBack { lack, said } } else { State::SpotShortage { lack, said } }
        }
        (false, true) => {
            let (lack, said) = of(Capacity::OnDemand);
            State::OnDemandShortage { lack, said }
        }
        (false, false) => return None,
    })
}

/// Whether the work there is gets done, some of it at least.
fn is_ready(view: &View, state: &State) -> bool {
    let serves = || view.workers.iter().any(|worker| worker.claims() && worker.is_up());
    match state {
        State::Empty
        | State::OnTime
        | State::Growing
        | State::RollingOut { .. }
        | State::Shrinking
        | State::FallenBack { .. }
        | State::AtMaximum { .. }
        | State::Paused => true,
        State::SpotShortage { .. } | State::OnDemandShortage { .. } | State::NoMachines { .. } => serves(),
        State::StartsFailing { .. }
        | State::PoolAtFault { .. }
        | State::ClassUnknown { .. }
        | State::QueueUnknown => false,
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
    view.workers.iter().filter(|worker| worker.has_machine()).filter(lives)
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
    pub fn message(&self) -> String {
        let Self { class, due, done, tasks } = self;
        let done =
            done.map_or_else(|| "and no capacity is in sight".to_owned(), |done| format!("done {done}"));
        format!("{} of class {class} will be late: due {due}, {done}", images(*tasks))
    }
}

impl Unserved {
    /// A sentence for people.
    pub fn message(&self) -> String {
        format!("{} of class {} wait, which the pool does not have", images(self.tasks), self.class)
    }
}

impl Counts {
    fn of(count: impl Fn(Capacity) -> usize) -> Self {
        let count = |capacity| u32::try_from(count(capacity)).unwrap_or(u32::MAX);
        Self { spot: count(Capacity::Spot), on_demand: count(Capacity::OnDemand) }
    }
}
