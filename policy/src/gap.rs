//! Finds how many workers are missing, and which capacity provides them.
use crate::{
    Capacity, CapacityRule, Health, HoldReason, Order, Phase, Why, Worker,
    demand::Bucket,
    failures::Gate,
    idleness::{over_minimum, spare},
    need::{Limit, Question, models, workers_per_model},
    on_demand::{OnDemandNeed, kept_busy, on_demand_need, without_on_demand},
    rollout,
    situation::Situation,
    supply::{Assumption, Slot, new_slot, supply},
    view::View,
};

/// Workers of one capacity that are missing for one reason.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Missing<'a> {
    pub(crate) capacity: Capacity,
    pub(crate) why: Why,
    /// One entry per missing worker: the model that it loads first.
    pub(crate) models: Vec<Option<&'a str>>,
    /// The number of seconds after which the workers are started; 0: now.
    pub(crate) after: f64,
}

/// All workers that are missing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gap<'a> {
    /// Whether work that may run on spot still needs the existing on-demand workers.
    pub(crate) on_demand: OnDemandNeed,
    pub(crate) missing: Vec<Missing<'a>>,
    /// A capacity of which the work needs more workers than the fleet may have.
    pub(crate) at_maximum: Option<Capacity>,
}

/// The shortest wait worth planning, in seconds; plans are made every few seconds anyway.
const SHORTEST_WAIT: f64 = 15.0;

/// Finds the workers that are missing for all work to be done in time: first the minimum, then on-demand workers for
/// urgent work, spot workers, and on-demand workers where spot can't finish in time. Replacements of workers made from
/// an older template come last.
pub(crate) fn gap<'a>(situation: &Situation<'_, 'a>) -> Gap<'a> {
    let on_demand = on_demand_need(&situation.view, situation.demand, situation.zones);
    let mut gap = Gap { on_demand, missing: Vec::new(), at_maximum: None };
    if situation.view.policy.suspended {
        return gap;
    }
    add_minimum(situation, &mut gap);
    add_urgent(situation, &mut gap);
    add_spot(situation, &mut gap);
    add_take_over(situation, &mut gap);
    add_fall_back(situation, &mut gap);
    add_replacements(situation, &mut gap);
    gap
}

fn add_minimum<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    let (view, zones) = (&situation.view, situation.zones);
    for capacity in Capacity::ALL {
        let existing = view.in_fleet(capacity).filter(|w| w.claims() && !zones.is_replaced(view, w)).count();
        let n = view.min(capacity).saturating_sub(existing).min(room(situation, capacity, gap));
        gap.add(situation, capacity, Why::Minimum, n);
    }
}

/// Adds on-demand workers for classes that run on demand only. Their tasks can't wait for a start-up, so the fleet is
/// sized as if workers started at once.
fn add_urgent<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    let waiting = situation.demand.with_arrivals.iter().filter(|bucket| !bucket.expected);
    let urgent: Vec<Bucket> = waiting.filter(|b| b.rule == CapacityRule::OnDemand).copied().collect();
    let question = Question {
        demand: &urgent,
        capacity: Capacity::OnDemand,
        required: |_| true,
        ..question(situation, gap, Assumption::AtOnce, Limit::Hard)
    };
    let question = Question { room: room(situation, Capacity::OnDemand, gap), ..question };
    let why = |bucket: &Bucket| Why::Immediate {
        class: bucket.class.to_owned(),
        tasks: urgent.iter().map(|b| b.tasks).sum(),
    };
    add_answer(situation, &question, why, 0.0, gap);
}

fn add_spot<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    let required = |bucket: &Bucket| bucket.rule.may_start(Capacity::Spot);
    let question = Question { required, ..question(situation, gap, Assumption::Planned, Limit::Soft) };
    let (no_workers, tasks) = (question.slots.is_empty(), situation.demand.tasks());
    let why = |bucket: &Bucket| {
        if no_workers && tasks == 1 {
            return Why::FirstWork { tasks };
        }
        let seconds = situation.demand.seconds();
        Why::Due { class: bucket.class.to_owned(), tasks, seconds, due: bucket.due }
    };
    add_answer(situation, &question, why, 0.0, gap);
}

/// Adds spot workers that take over from busy on-demand workers. The on-demand workers do the work until then, so the
/// start-up time does not matter, and one spot worker for each of them suffices. Workers that are coming up count.
/// While a worker idles none is started, because there is not enough work for the existing workers.
fn add_take_over<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    let Situation { view, zones, demand } = situation;
    let idle = Capacity::ALL.into_iter().any(|capacity| spare(view, demand, capacity) > 0);
    if idle || !matches!(gap.on_demand, OnDemandNeed::NotNeeded | OnDemandNeed::StandsIn) {
        return;
    }
    let mut slots = without_on_demand(view, supply(view, zones, Assumption::AtOnce));
    let new = planned_slots(situation, gap, Assumption::AtOnce);
    slots.extend(new.into_iter().filter(|slot| slot.capacity == Capacity::Spot));
    let coming = || view.coming_up(Capacity::Spot).filter(|worker| !zones.is_replaced(view, worker));
    let busy = view.in_fleet(Capacity::OnDemand).filter(|w| w.claims() && w.phase == Phase::Busy).count();
    let replaced = busy.min(over_minimum(view, Capacity::OnDemand)).saturating_sub(coming().count());
    let with_running = demand.with_running_on_demand(view);
    let question = Question {
        demand: &with_running,
        slots,
        required: |bucket| bucket.rule.may_start(Capacity::Spot),
        room: room(situation, Capacity::Spot, gap)
            .min(replaced.saturating_sub(gap.starts_now(Capacity::Spot))),
        ..question(situation, gap, Assumption::AtOnce, Limit::Soft)
    };
    // Arriving work counts as well, since little may be waiting at this moment.
    let waits = coming().filter(|worker| !worker.has_machine()).count();
    let arriving =
        kept_busy(view, demand).saturating_sub(waits + gap.starts_now(Capacity::Spot)).min(question.room);
    let asked = if demand.waiting.is_empty() { 0 } else { question.answer(0.0).n };
    let models: Vec<_> = question.new_models().into_iter().take(asked.max(arriving)).collect();
    if !models.is_empty() {
        gap.missing.push(Missing { capacity: Capacity::Spot, why: Why::TakeOver, models, after: 0.0 });
    }
}

/// Adds on-demand workers for work that may fall back. While spot machines may become available, they start at the last
/// moment at which the work can still be done in time. Otherwise they are planned like spot workers: an early start
/// needs fewer workers and fewer start-ups.
fn add_fall_back<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    let Situation { view, zones, .. } = situation;
    let trusted = Gate::of(view, Capacity::Spot).is_trusted(view, Capacity::Spot);
    let spot_may_come =
        trusted && zones.any_open(Capacity::Spot) && room_below_maximum(situation, Capacity::Spot, gap) > 0;
    let mut slots = supply(view, zones, Assumption::Doubtful);
    slots.extend(planned_slots(situation, gap, Assumption::Doubtful));
    let question = Question {
        slots,
        capacity: Capacity::OnDemand,
        required: |bucket| bucket.rule == CapacityRule::SpotThenOnDemand,
        room: room(situation, Capacity::OnDemand, gap),
        ..question(situation, gap, Assumption::Planned, if spot_may_come { Limit::Hard } else { Limit::Soft })
    };
    if question.room == 0 || question.first_missed().is_none() {
        return;
    }
    let slack = if spot_may_come { question.slack() } else { 0.0 };
    let after = if slack > SHORTEST_WAIT { slack - SHORTEST_WAIT } else { 0.0 };
    let why = |bucket: &Bucket| Why::FallBack { class: bucket.class.to_owned(), due: bucket.due };
    add_answer(situation, &question, why, after, gap);
}

fn add_replacements<'a>(situation: &Situation<'_, 'a>, gap: &mut Gap<'a>) {
    for capacity in Capacity::ALL {
        let n = rollout::missing(situation, capacity, gap).min(room(situation, capacity, gap));
        gap.add(situation, capacity, Why::Replacement, n);
    }
}

/// The question for spot workers, given the existing workers and those that the gap has so far.
fn question<'v, 'a>(
    situation: &'v Situation<'_, 'a>,
    gap: &Gap<'a>,
    assumption: Assumption,
    limit: Limit,
) -> Question<'v, 'a> {
    let mut slots = supply(&situation.view, situation.zones, assumption);
    slots.extend(planned_slots(situation, gap, assumption));
    Question {
        view: &situation.view,
        demand: &situation.demand.with_arrivals,
        slots,
        capacity: Capacity::Spot,
        assumption,
        limit,
        required: |_| false,
        room: room(situation, Capacity::Spot, gap),
    }
}

/// Adds the workers that a question's answer asks for.
fn add_answer<'a>(
    situation: &Situation<'_, 'a>,
    question: &Question<'_, 'a>,
    why: impl Fn(&Bucket) -> Why,
    after: f64,
    gap: &mut Gap<'a>,
) {
    let Some(missed) = question.first_missed() else { return };
    let (answer, capacity) = (question.answer(after), question.capacity);
    let at_maximum = room_below_maximum(situation, capacity, gap) == answer.n;
    if !answer.enough && at_maximum {
        gap.at_maximum = gap.at_maximum.or(situation.view.fleet(capacity).map(|_| capacity));
    }
    if answer.n > 0 {
        let models = question.new_models().into_iter().take(answer.n).collect();
        gap.missing.push(Missing { capacity, why: why(missed), models, after });
    }
}

/// The workers that the gap has so far, and when each is free.
pub(crate) fn planned_slots<'a>(
    situation: &Situation<'_, 'a>,
    gap: &Gap<'a>,
    assumption: Assumption,
) -> Vec<Slot<'a>> {
    let Situation { view, zones, .. } = situation;
    let is_counted = |missing: &&Missing| match (missing.capacity, assumption) {
        (_, Assumption::AtOnce | Assumption::Planned) => true,
        (capacity, Assumption::Expected) => {
            zones.any_open(capacity) && Gate::of(view, capacity).is_trusted(view, capacity)
        }
        (Capacity::OnDemand, Assumption::Doubtful) => true,
        (Capacity::Spot, Assumption::Doubtful) => zones.has_no_shortage(Capacity::Spot),
        (_, Assumption::WithMachine) => false,
    };
    let slots = |missing: &Missing<'a>| -> Vec<Slot<'a>> {
        let groups = workers_per_model(&missing.models).into_iter();
        let slot = |(model, n)| new_slot(view, missing.capacity, model, assumption, n);
        groups.map(slot).map(|slot| Slot { free_in: slot.free_in + missing.after, ..slot }).collect()
    };
    gap.missing.iter().filter(is_counted).flat_map(slots).collect()
}

/// The number of workers that a fleet may start in addition.
fn room(situation: &Situation, capacity: Capacity, gap: &Gap) -> usize {
    let gate = Gate::of(&situation.view, capacity).room(&situation.view, situation.zones, capacity);
    room_below_maximum(situation, capacity, gap).min(gate.saturating_sub(gap.requested(capacity)))
}

/// The number of workers that a fleet may have in addition.
pub(crate) fn room_below_maximum(situation: &Situation, capacity: Capacity, gap: &Gap) -> usize {
    let Situation { view, zones, .. } = situation;
    // A held on-demand worker is resumed before another one is started, so its place counts as free.
    let taken =
        view.in_fleet(capacity).filter(|w| !zones.is_replaced(view, w) && !is_resumable(view, w)).count();
    view.max(capacity).saturating_sub(taken + gap.requested(capacity))
}

/// Whether a worker is held because it was not needed, and can work again.
pub(crate) fn is_resumable(view: &View, worker: &Worker) -> bool {
    let not_needed = || view.memory.held.get(&worker.id).is_none_or(|held| *held == HoldReason::NotNeeded);
    let held = worker.order == Order::Hold && worker.capacity == Capacity::OnDemand;
    held && worker.health == Health::Healthy && worker.trouble.is_none() && not_needed()
}

impl<'a> Gap<'a> {
    /// Adds workers that are missing now.
    fn add(&mut self, situation: &Situation<'_, 'a>, capacity: Capacity, why: Why, n: usize) {
        if n > 0 {
            let existing = supply(&situation.view, situation.zones, Assumption::Planned);
            let models = models(&situation.demand.with_arrivals, &existing, capacity, n);
            self.missing.push(Missing { capacity, why, models, after: 0.0 });
        }
    }

    /// The number of workers of a capacity in the gap.
    pub(crate) fn requested(&self, capacity: Capacity) -> usize {
        self.missing.iter().filter(|m| m.capacity == capacity).map(|m| m.models.len()).sum()
    }

    /// The number of workers of a capacity in the gap that are started now.
    pub(crate) fn starts_now(&self, capacity: Capacity) -> usize {
        let now = self.missing.iter().filter(|m| m.capacity == capacity && m.after <= 0.0);
        now.map(|m| m.models.len()).sum()
    }

    /// Whether work needs more workers of a capacity, now or later.
    pub(crate) fn is_needed_for_work(&self, capacity: Capacity) -> bool {
        let of_work = |m: &&Missing| !matches!(m.why, Why::Minimum | Why::Replacement);
        self.missing.iter().filter(of_work).any(|m| m.capacity == capacity)
    }
}
