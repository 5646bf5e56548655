//! What is missing, and which capacity fills it.
use crate::{
    Capacity, CapacityRule, Health, Held, Order, Phase, Why, Worker,
    demand::Bucket,
    failures::Gate,
    idleness::{over_minimum, spare},
    known::Known,
    need::{Limit, Question, counted, models},
    on_demand::{OnDemand, kept_busy, on_demand, without_on_demand},
    rollout,
    supply::{Prospect, Slot, fresh, supply},
    view::View,
};

/// Workers that are missing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Missing<'a> {
    pub(crate) capacity: Capacity,
    pub(crate) why: Why,
    /// Each with the model it is to warm.
    pub(crate) models: Vec<Option<&'a str>>,
    /// Not to be started before so many seconds; 0: now.
    pub(crate) after: f64,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gap<'a> {
    /// Whether the on-demand workers there are count for what spot may do.
    pub(crate) on_demand: OnDemand,
    pub(crate) missing: Vec<Missing<'a>>,
    /// More would be needed than the fleet may have.
    pub(crate) at_maximum: Option<Capacity>,
}

/// A decision to wait must leave more than this, seconds: plans are made every few seconds.
const LEAST_WAIT: f64 = 15.0;

/// What is missing so that everything is done in time: the minimum, on-demand for what can't wait, spot,
/// and on-demand where spot can't make it any more. Last, replacements of workers made from an older template.
pub(crate) fn gap<'a>(known: &Known<'_, 'a>) -> Gap<'a> {
    let on_demand = on_demand(&known.view, known.demand, known.zones);
    let mut gap = Gap { on_demand, missing: Vec::new(), at_maximum: None };
    if known.view.policy.paused {
        return gap;
    }
    minimum(known, &mut gap);
    urgent(known, &mut gap);
    spot(known, &mut gap);
    take_over(known, &mut gap);
    fall_back(known, &mut gap);
    replacements(known, &mut gap);
    gap
}

fn minimum<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    let (view, zones) = (&known.view, known.zones);
    for capacity in Capacity::ALL {
        let there = view.placed(capacity).filter(|w| w.claims() && !zones.gives_up(view, w)).count();
        let n = view.min(capacity).saturating_sub(there).min(room(known, capacity, gap));
        gap.miss(known, capacity, Why::Minimum, n);
    }
}

/// Tasks that run on demand only come too suddenly for a start-up: their fleet is sized as if there were none.
fn urgent<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    let there = known.demand.foreseen.iter().filter(|bucket| !bucket.expected);
    let urgent: Vec<Bucket> = there.filter(|b| b.rule == CapacityRule::OnDemand).copied().collect();
    let question = Question {
        demand: &urgent,
        capacity: Capacity::OnDemand,
        asks: |_| true,
        ..question(known, gap, Prospect::AtOnce, Limit::Hard)
    };
    let question = Question { room: room(known, Capacity::OnDemand, gap), ..question };
    let why = |bucket: &Bucket| Why::Immediate {
        class: bucket.class.to_owned(),
        tasks: urgent.iter().map(|b| b.tasks).sum(),
    };
    fill(known, &question, why, 0.0, gap);
}

fn spot<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    let asks = |bucket: &Bucket| bucket.rule.may_start(Capacity::Spot);
    let question = Question { asks, ..question(known, gap, Prospect::Planned, Limit::Soft) };
    let (nobody, tasks) = (question.slots.is_empty(), known.demand.tasks());
    let why = |bucket: &Bucket| {
        if nobody && tasks == 1 {
            return Why::FirstWork { tasks };
        }
        let seconds = known.demand.seconds();
        Why::Due { class: bucket.class.to_owned(), tasks, seconds, due: bucket.due }
    };
    fill(known, &question, why, 0.0, gap);
}

/// Spot that takes over from on-demand workers that are busy. They do the work until then, so no start-up presses, and
/// one for each is enough, those coming up included. None while a worker idles: there is not enough to do for those
/// there are.
fn take_over<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    let Known { view, zones, demand } = known;
    let idle = Capacity::ALL.into_iter().any(|capacity| spare(view, demand, capacity) > 0);
    if idle || !matches!(gap.on_demand, OnDemand::Over | OnDemand::StandsIn) {
        return;
    }
    let mut slots = without_on_demand(view, supply(view, zones, Prospect::AtOnce));
    let new = started(known, gap, Prospect::AtOnce);
    slots.extend(new.into_iter().filter(|slot| slot.capacity == Capacity::Spot));
    let coming = || view.coming(Capacity::Spot).filter(|worker| !zones.gives_up(view, worker));
    let busy = view.placed(Capacity::OnDemand).filter(|w| w.claims() && w.phase == Phase::Busy).count();
    let replaced = busy.min(over_minimum(view, Capacity::OnDemand)).saturating_sub(coming().count());
    let with_running = demand.with_running_on_demand(view);
    let question = Question {
        demand: &with_running,
        slots,
        asks: |bucket| bucket.rule.may_start(Capacity::Spot),
        room: room(known, Capacity::Spot, gap).min(replaced.saturating_sub(gap.starts(Capacity::Spot))),
        ..question(known, gap, Prospect::AtOnce, Limit::Soft)
    };
    // What arrives counts as well: little may be waiting just now.
    let waits = coming().filter(|worker| !worker.has_machine()).count();
    let arriving =
        kept_busy(view, demand).saturating_sub(waits + gap.starts(Capacity::Spot)).min(question.room);
    let asked = if demand.waiting.is_empty() { 0 } else { question.answer(0.0).n };
    let models: Vec<_> = question.new_models().into_iter().take(asked.max(arriving)).collect();
    if !models.is_empty() {
        gap.missing.push(Missing { capacity: Capacity::Spot, why: Why::TakeOver, models, after: 0.0 });
    }
}

/// Work that may fall back waits for spot as long as there is hope, and not a moment longer. Without hope on-demand is
/// planned for as spot would be: started early few do, and they pay fewer start-ups.
fn fall_back<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    let Known { view, zones, .. } = known;
    let trusted = Gate::of(view, Capacity::Spot).is_trusted(view, Capacity::Spot);
    let hope = trusted && zones.any_open(Capacity::Spot) && by_maximum(known, Capacity::Spot, gap) > 0;
    let mut slots = supply(view, zones, Prospect::Doubtful);
    slots.extend(started(known, gap, Prospect::Doubtful));
    let question = Question {
        slots,
        capacity: Capacity::OnDemand,
        asks: |bucket| bucket.rule == CapacityRule::SpotThenOnDemand,
        room: room(known, Capacity::OnDemand, gap),
        ..question(known, gap, Prospect::Planned, if hope { Limit::Hard } else { Limit::Soft })
    };
    if question.room == 0 || question.misses().is_none() {
        return;
    }
    let slack = if hope { question.slack() } else { 0.0 };
    let after = if slack > LEAST_WAIT { slack - LEAST_WAIT } else { 0.0 };
    let why = |bucket: &Bucket| Why::FallBack { class: bucket.class.to_owned(), due: bucket.due };
    fill(known, &question, why, after, gap);
}

fn replacements<'a>(known: &Known<'_, 'a>, gap: &mut Gap<'a>) {
    for capacity in Capacity::ALL {
        let n = rollout::missing(known, capacity, gap).min(room(known, capacity, gap));
        gap.miss(known, capacity, Why::Replacement, n);
    }
}

/// Of spot, with those there are and those that the gap asks for so far.
fn question<'v, 'a>(
    known: &'v Known<'_, 'a>,
    gap: &Gap<'a>,
    prospect: Prospect,
    limit: Limit,
) -> Question<'v, 'a> {
    let mut slots = supply(&known.view, known.zones, prospect);
    slots.extend(started(known, gap, prospect));
    Question {
        view: &known.view,
        demand: &known.demand.foreseen,
        slots,
        capacity: Capacity::Spot,
        prospect,
        limit,
        asks: |_| false,
        room: room(known, Capacity::Spot, gap),
    }
}

/// Notes what a question's answer says is missing.
fn fill<'a>(
    known: &Known<'_, 'a>,
    question: &Question<'_, 'a>,
    why: impl Fn(&Bucket) -> Why,
    after: f64,
    gap: &mut Gap<'a>,
) {
    let Some(missed) = question.misses() else { return };
    let (answer, capacity) = (question.answer(after), question.capacity);
    let full = by_maximum(known, capacity, gap) == answer.n;
    if !answer.enough && full {
        gap.at_maximum = gap.at_maximum.or(known.view.fleet(capacity).map(|_| capacity));
    }
    if answer.n > 0 {
        let models = question.new_models().into_iter().take(answer.n).collect();
        gap.missing.push(Missing { capacity, why: why(missed), models, after });
    }
}

/// The workers a gap asks for so far, as they'd come up.
pub(crate) fn started<'a>(known: &Known<'_, 'a>, gap: &Gap<'a>, prospect: Prospect) -> Vec<Slot<'a>> {
    let Known { view, zones, .. } = known;
    let come = |missing: &&Missing| match (missing.capacity, prospect) {
        (_, Prospect::AtOnce | Prospect::Planned) => true,
        (capacity, Prospect::Expected) => {
            zones.any_open(capacity) && Gate::of(view, capacity).is_trusted(view, capacity)
        }
        (Capacity::OnDemand, Prospect::Doubtful) => true,
        (Capacity::Spot, Prospect::Doubtful) => zones.trusted(Capacity::Spot),
        (_, Prospect::WithMachine) => false,
    };
    let slots = |missing: &Missing<'a>| -> Vec<Slot<'a>> {
        let groups = counted(&missing.models).into_iter();
        let slot = |(model, n)| fresh(view, missing.capacity, model, prospect, n);
        groups.map(slot).map(|slot| Slot { free: slot.free + missing.after, ..slot }).collect()
    };
    gap.missing.iter().filter(come).flat_map(slots).collect()
}

/// How many more workers a fleet may start.
fn room(known: &Known, capacity: Capacity, gap: &Gap) -> usize {
    let gate = Gate::of(&known.view, capacity).room(&known.view, known.zones, capacity);
    by_maximum(known, capacity, gap).min(gate.saturating_sub(gap.asks_for(capacity)))
}

/// How many more workers a fleet may have.
pub(crate) fn by_maximum(known: &Known, capacity: Capacity, gap: &Gap) -> usize {
    let Known { view, zones, .. } = known;
    // A held on-demand worker is resumed before another is started, so its place counts as free.
    let taken = view.placed(capacity).filter(|w| !zones.gives_up(view, w) && !resumable(view, w)).count();
    view.max(capacity).saturating_sub(taken + gap.asks_for(capacity))
}

/// A worker that was held because it was no longer needed.
pub(crate) fn resumable(view: &View, worker: &Worker) -> bool {
    let not_needed = || view.memory.held.get(&worker.id).is_none_or(|held| *held == Held::NotNeeded);
    let held = worker.order == Order::Hold && worker.capacity == Capacity::OnDemand;
    held && worker.health == Health::Well && worker.trouble.is_none() && not_needed()
}

impl<'a> Gap<'a> {
    /// Notes that so many are missing now.
    fn miss(&mut self, known: &Known<'_, 'a>, capacity: Capacity, why: Why, n: usize) {
        if n > 0 {
            let there = supply(&known.view, known.zones, Prospect::Planned);
            let models = models(&known.demand.foreseen, &there, capacity, n);
            self.missing.push(Missing { capacity, why, models, after: 0.0 });
        }
    }

    /// How many workers of a capacity it asks for so far.
    pub(crate) fn asks_for(&self, capacity: Capacity) -> usize {
        self.missing.iter().filter(|m| m.capacity == capacity).map(|m| m.models.len()).sum()
    }

    /// Likewise, those to be started now.
    pub(crate) fn starts(&self, capacity: Capacity) -> usize {
        let now = self.missing.iter().filter(|m| m.capacity == capacity && m.after <= 0.0);
        now.map(|m| m.models.len()).sum()
    }

    /// Whether the work asks for more workers of a capacity, now or later.
    pub(crate) fn is_for_work(&self, capacity: Capacity) -> bool {
        let of_work = |m: &&Missing| !matches!(m.why, Why::Minimum | Why::Replacement);
        self.missing.iter().filter(of_work).any(|m| m.capacity == capacity)
    }
}
