//! Reports why the plan is what it is. The report is the one source for the pool's conditions, events, metric labels
//! and `lastDecision`: `reason()` is the constant for programs, `Display` the sentence for people.
use crate::{
    Action, Capacity, CapacityRule, Decision, Forecast, Health, Shortage, State, Time, Unserved, Why, Worker,
    demand::remaining_seconds,
    failures::{Gate, pool_at_fault},
    gap::Gap,
    on_demand::OnDemandNeed,
    rollout,
    situation::Situation,
    text::{images, wait, workers},
    view::View,
};

/// What a plan found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The pool's state.
    pub state: State,
    /// Whether the pool does its work, or would do it if there was any.
    pub ready: bool,
    /// Engine seconds of the waiting and running work, model loads included.
    pub work_seconds: f64,
    /// The number of workers that claim, now or once they are up, per capacity.
    pub capacity: Counts,
    /// The number of workers that the plan wants, per capacity: `capacity`, plus those that it starts, less those that
    /// it removes.
    pub wanted: Counts,
    /// The cost of the pool's machines per hour, in millionths of the pool's currency.
    pub cost_per_hour_micros: u64,
    /// The cost of the same machines per hour at the on-demand price, or at the spot price in a pool without on-demand
    /// capacity.
    pub on_demand_cost_per_hour_micros: u64,
    /// Tasks that can't be done in time, by class, the class with the most of them first. They are reported before they
    /// are late.
    pub late: Vec<Late>,
    /// Tasks that wait in classes which the pool does not have.
    pub unserved: Vec<Unserved>,
    /// Zones in which workers do not come up.
    pub shortages: Vec<ZoneShortage>,
    /// Capacities of which workers do not come up.
    pub failing: Vec<Failing>,
}

/// A number of workers per capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The number of spot workers.
    pub spot: u32,
    /// The number of on-demand workers.
    pub on_demand: u32,
}

/// Tasks of a class that can't be done in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// The tasks' class.
    pub class: String,
    /// The time at which the first of them is due.
    pub due: Time,
    /// The time at which the last of them should be done; `None`: the pool has no capacity for them at present.
    pub done: Option<Time>,
    /// The number of late tasks.
    pub tasks: u64,
}

/// A zone in which workers of a capacity do not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneShortage {
    /// The capacity.
    pub capacity: Capacity,
    /// The zone's name; empty if the fleet names no zones.
    pub zone: String,
    /// What the zone lacks, since when, and until when it is avoided.
    pub shortage: Shortage,
}

/// A capacity of which workers do not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The capacity.
    pub capacity: Capacity,
    /// The number of failures in a row; 0: the cluster refuses to create the workers' Pods.
    pub workers: u32,
    /// The message of the last failure.
    pub message: String,
    /// The time of the next try; `None`: a worker is coming up.
    pub next_try: Option<Time>,
}

impl Report {
    /// The sentence for `lastDecision` and the pool's condition: the changes with their reasons, or the state if
    /// nothing changes. It does not change with the time alone.
    pub fn message(&self, decisions: &[Decision]) -> String {
        let mut parts = changes(decisions);
        // With late images, "the work will be done in time" is not the whole truth.
        let contradicts = self.state == State::OnTime && !self.late.is_empty();
        if (parts.is_empty() || !self.ready) && !contradicts {
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
    let mut counted: Vec<(&str, Option<Capacity>, &Why, u32)> = Vec::new();
    for Decision { action, why, .. } in decisions {
        let (verb, capacity, n) = match action {
            Action::Start { capacity, n, .. } => (action.label(), Some(*capacity), *n),
            other => (other.label(), None, 1),
        };
        let same = |(v, c, w, _): &&mut (&str, Option<Capacity>, &Why, u32)| {
            *v == verb && *c == capacity && w.reason() == why.reason()
        };
        match counted.iter_mut().find(same) {
            Some((.., sum)) => *sum += n,
            None => counted.push((verb, capacity, why, n)),
        }
    }
    let sentence = |(verb, capacity, why, n)| format!("{verb} {}: {why}", workers(n, capacity));
    counted.into_iter().map(sentence).collect()
}

/// The report for a plan without a readable queue.
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
        shortages: Vec::new(),
        failing: Vec::new(),
    }
}

/// The report of a plan.
pub(crate) fn report(
    situation: &Situation,
    gap: &Gap,
    forecast: &Forecast,
    decisions: &[Decision],
) -> Report {
    let Situation { view, zones, demand } = situation;
    let running = view.running().iter().map(|task| remaining_seconds(view, task)).sum::<f64>();
    let state = state(situation, gap, decisions);
    let shortages = |capacity| {
        let zones = zones.shortages(capacity);
        zones.map(move |(zone, shortage)| ZoneShortage {
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
        shortages: Capacity::ALL.into_iter().flat_map(shortages).collect(),
        failing: failing(view),
    }
}

/// The pool's state: the first that applies, from causes outside the pool to those inside.
fn state(situation: &Situation, gap: &Gap, decisions: &[Decision]) -> State {
    let Situation { view, demand, .. } = situation;
    let retires = decisions.iter().any(|d| matches!(d.action, Action::Retire { .. } | Action::Hold { .. }));
    let outdated = || Capacity::ALL.into_iter().map(|capacity| rollout::outdated(view, capacity).count());
    if view.policy.suspended {
        State::Suspended
    } else if let Some(message) = pool_at_fault(view) {
        State::PoolAtFault { message: message.to_owned() }
    } else if let Some(failing) = starts_failing(situation, gap) {
        failing
    } else if let Some(shortage) = shortage(situation, gap, decisions) {
        shortage
    } else if let Some(capacity) = gap.at_maximum {
        State::AtMaximum { capacity }
    } else if gap.missing.iter().any(|m| m.after <= 0.0 && m.why != Why::Replacement) {
        State::Growing
    } else if outdated().sum::<usize>() > 0 {
        State::RollingOut { left: u32::try_from(outdated().sum::<usize>()).unwrap_or(u32::MAX) }
    } else if retires {
        State::Shrinking
    } else if Capacity::ALL.into_iter().any(|capacity| view.coming_up(capacity).next().is_some()) {
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

/// The state in which workers do not come up although some are needed, and none is up. A single failure does not count.
fn starts_failing(situation: &Situation, gap: &Gap) -> Option<State> {
    let view = &situation.view;
    let up = view.workers.iter().any(|worker| worker.claims() && worker.is_up());
    let wanted = !situation.demand.waiting.is_empty() || !gap.missing.is_empty();
    let lasts = |failing: &Failing| {
        let gate = Gate::of(view, failing.capacity);
        failing.workers == 0 || gate == Gate::OneAtATime || !gate.is_trusted(view, failing.capacity)
    };
    let failing = failing(view).into_iter().filter(lasts).max_by_key(|failing| failing.workers);
    let Failing { capacity: _, workers, message, next_try } = failing.filter(|_| wanted && !up)?;
    Some(State::StartsFailing { workers, next_try, message })
}

fn failing(view: &View) -> Vec<Failing> {
    let of = |capacity| {
        let gate = Gate::of(view, capacity);
        let next_try = if let Gate::ClosedUntil(time) = gate { Some(time) } else { None };
        let known = view.memory.failures.get(&capacity);
        let (workers, last) = known.map_or((0, ""), |known| (known.workers, &known.why));
        let coming = || view.coming_up(capacity).find_map(|worker| worker.trouble_message());
        let message = coming().unwrap_or(last).to_owned();
        let fails = matches!(gate, Gate::OneAtATime | Gate::ClosedUntil(_));
        fails.then_some(Failing {
            capacity,
            workers: workers.max(u32::from(coming().is_some())),
            message,
            next_try,
        })
    };
    Capacity::ALL.into_iter().filter_map(of).collect()
}

/// The state in which work waits for a capacity that has no machines.
fn shortage(situation: &Situation, gap: &Gap, decisions: &[Decision]) -> Option<State> {
    let Situation { view, zones, demand } = situation;
    let none = |capacity| view.fleet(capacity).is_some() && !zones.any_open(capacity);
    let is_removed = |worker: &Worker| decisions.iter().any(|d| d.action == Action::retire(&worker.id));
    let waiting =
        |capacity| view.in_fleet(capacity).find(|worker| zones.is_stuck(view, worker) && !is_removed(worker));
    let lack =
        |capacity| zones.shortages(capacity).map(|(_, shortage)| shortage.lack).next().unwrap_or_default();
    let message = |capacity| {
        let worker: Option<&Worker> = waiting(capacity);
        let words = worker.and_then(|worker| worker.no_machine.clone());
        words.or_else(|| zones.shortages(capacity).find_map(|(_, shortage)| shortage.message.clone()))
    };
    let falls_back = gap.missing.iter().any(|m| m.after <= 0.0 && matches!(m.why, Why::FallBack { .. }));
    let stands_in = gap.on_demand == OnDemandNeed::StandsIn || falls_back;
    let work = demand.waiting.iter().any(|bucket| bucket.rule.may_start(Capacity::Spot));
    let spot = none(Capacity::Spot) && (work || stands_in);
    let urgent = demand.waiting.iter().any(|bucket| bucket.rule == CapacityRule::OnDemand);
    let on_demand = none(Capacity::OnDemand) && (urgent || waiting(Capacity::OnDemand).is_some());
    let both = || match (message(Capacity::Spot), message(Capacity::OnDemand)) {
        (Some(spot), Some(on_demand)) if spot != on_demand => Some(format!("{spot}; {on_demand}")),
        (spot, on_demand) => spot.or(on_demand),
    };
    let of = |capacity| (lack(capacity), message(capacity));
    Some(match (spot, on_demand) {
        (true, true) => State::NoMachines { lack: lack(Capacity::Spot), message: both() },
        (true, false) => {
            let (lack, message) = of(Capacity::Spot);
            if stands_in {
                State::FallenBack { lack, message }
            } else {
                State::SpotShortage { lack, message }
            }
        }
        (false, true) => {
            let (lack, message) = of(Capacity::OnDemand);
            State::OnDemandShortage { lack, message }
        }
        (false, false) => return None,
    })
}

/// Whether at least some of the work gets done.
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
        | State::Suspended => true,
        State::SpotShortage { .. } | State::OnDemandShortage { .. } | State::NoMachines { .. } => serves(),
        State::StartsFailing { .. }
        | State::PoolAtFault { .. }
        | State::ClassUnknown { .. }
        | State::QueueUnknown => false,
    }
}

fn claiming(view: &View, capacity: Capacity) -> usize {
    view.in_fleet(capacity).filter(|worker| worker.claims()).count()
}

fn wanted(view: &View, capacity: Capacity, gap: &Gap, decisions: &[Decision]) -> usize {
    let is_removed = |worker: &&Worker| {
        decisions.iter().any(|d| {
            matches!(&d.action, Action::Retire { worker: id } | Action::Hold { worker: id } if *id == worker.id)
        })
    };
    let removed = view.in_fleet(capacity).filter(|w| w.claims()).filter(is_removed).count();
    claiming(view, capacity) + gap.starts_now(capacity) - removed
}

/// The cost of all workers that have a machine, until the machine is gone.
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

/// The late tasks by class, the class with the most of them first.
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
    /// The sentence for people.
    pub fn message(&self) -> String {
        let Self { class, due, done, tasks } = self;
        let done = done.map_or_else(
            || "and the pool has no capacity for them".to_owned(),
            |done| format!("done {done}"),
        );
        format!("{} of class {class} will be late: due {due}, {done}", images(*tasks))
    }
}

impl Unserved {
    /// The sentence for people.
    pub fn message(&self) -> String {
        format!("{} in class {}, which the pool does not have", wait(self.tasks), self.class)
    }
}

impl Counts {
    fn of(count: impl Fn(Capacity) -> usize) -> Self {
        let count = |capacity| u32::try_from(count(capacity)).unwrap_or(u32::MAX);
        Self { spot: count(Capacity::Spot), on_demand: count(Capacity::OnDemand) }
    }
}
