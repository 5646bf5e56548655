//! Step 3: what is missing, and which capacity fills it.
use crate::{
    Capacity, CapacityRule, Health, Order, Phase, Time, Why, Worker,
    demand::{Bucket, there, with_running_on_demand},
    idle::over_minimum,
    need::{Limit, Question, models},
    on_demand::{OnDemand, kept_busy, on_demand, without_on_demand},
    supply::{Outlook, Slot, fresh, supply},
    view::View,
    zones::Zones,
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
    /// Until when the first tasks of an empty fleet wait for company.
    pub(crate) gather_until: Option<Time>,
    /// More would be needed than the fleet may have.
    pub(crate) at_maximum: Option<Capacity>,
}

/// A decision to wait must leave more than this, seconds: plans are made every few seconds.
const LEAST_WAIT: f64 = 15.0;

/// What is missing so that everything is done in time: the minimum, on-demand for what can't wait, spot,
/// and on-demand where spot can't make it any more.
pub(crate) fn gap<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones) -> Gap<'a> {
    let on_demand = on_demand(view, demand, zones);
    let mut gap = Gap { on_demand, missing: Vec::new(), gather_until: None, at_maximum: None };
    if view.policy.paused {
        return gap;
    }
    minimum(view, demand, zones, &mut gap);
    urgent(view, demand, zones, &mut gap);
    spot(view, demand, zones, &mut gap);
    take_over(view, demand, zones, &mut gap);
    fall_back(view, demand, zones, &mut gap);
    gap
}

/// Tasks that run on demand only come too suddenly for a start-up: their fleet is sized as if there were none.
fn urgent<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones, gap: &mut Gap<'a>) {
    let urgent: Vec<Bucket> = there(demand).filter(|b| b.rule == CapacityRule::OnDemand).copied().collect();
    let mut slots = supply(view, zones, Outlook::AtOnce);
    slots.extend(started(view, gap, zones, Outlook::AtOnce));
    let question = Question {
        view,
        demand: &urgent,
        slots,
        capacity: Capacity::OnDemand,
        outlook: Outlook::AtOnce,
        limit: Limit::Hard,
        asks: |_| true,
        room: room(view, zones, Capacity::OnDemand, gap),
    };
    let why = |bucket: &Bucket| Why::Immediate {
        class: bucket.class.to_owned(),
        tasks: urgent.iter().map(|b| b.tasks).sum(),
    };
    fill(&question, why, 0.0, gap);
}

fn spot<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones, gap: &mut Gap<'a>) {
    let mut slots = supply(view, zones, Outlook::Planned);
    slots.extend(started(view, gap, zones, Outlook::Planned));
    let nobody = slots.is_empty();
    let room = room(view, zones, Capacity::Spot, gap);
    let asks = |bucket: &Bucket| bucket.rule.may_start(Capacity::Spot);
    let (capacity, limit) = (Capacity::Spot, Limit::Soft);
    let question = Question { view, demand, slots, capacity, outlook: Outlook::Planned, limit, asks, room };
    let after = if nobody && question.misses().is_some() { gather(&question, gap) } else { 0.0 };
    let tasks = there(demand).map(|b| b.tasks).sum();
    let why = |bucket: &Bucket| {
        if nobody && tasks == 1 {
            return Why::FirstWork { tasks };
        }
        let seconds = there(demand).map(Bucket::seconds).sum();
        Why::Due { class: bucket.class.to_owned(), tasks, seconds, due: bucket.due, now: view.now }
    };
    fill(&question, why, after, gap);
}

/// Spot that takes over from on-demand workers that are up. They do the work until then, so no start-up presses, and one
/// for each is enough, those coming up included.
fn take_over<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones, gap: &mut Gap<'a>) {
    if !matches!(gap.on_demand, OnDemand::Over | OnDemand::StandsIn) {
        return;
    }
    let mut slots = without_on_demand(view, supply(view, zones, Outlook::AtOnce));
    let new = started(view, gap, zones, Outlook::AtOnce);
    slots.extend(new.into_iter().filter(|slot| slot.capacity == Capacity::Spot));
    let coming =
        || view.placed(Capacity::Spot).filter(|w| w.claims() && w.is_coming() && !zones.abandons(view, w));
    let up = view.placed(Capacity::OnDemand).filter(|w| w.claims() && !w.is_coming()).count();
    let replaced = up.min(over_minimum(view, Capacity::OnDemand)).saturating_sub(coming().count());
    let question = Question {
        view,
        demand: &with_running_on_demand(view, demand),
        slots,
        capacity: Capacity::Spot,
        outlook: Outlook::AtOnce,
        limit: Limit::Soft,
        asks: |bucket| bucket.rule.may_start(Capacity::Spot),
        room: room(view, zones, Capacity::Spot, gap).min(replaced.saturating_sub(gap.starts(Capacity::Spot))),
    };
    // What arrives counts as well: little may be waiting just now.
    let waits = coming().filter(|worker| worker.phase == Phase::Unscheduled).count();
    let arriving = kept_busy(view).saturating_sub(waits + gap.starts(Capacity::Spot)).min(question.room);
    let n = question.answer(0.0).n.max(arriving);
    let models: Vec<_> = question.new_slots(0.0).iter().take(n).map(|slot| slot.model).collect();
    if !models.is_empty() {
        gap.missing.push(Missing { capacity: Capacity::Spot, why: Why::TakeOver, models, after: 0.0 });
    }
}

/// How long the first tasks of an empty fleet may wait for company.
fn gather(question: &Question, gap: &mut Gap) -> f64 {
    let view = question.view;
    if view.policy.scaling.patience.is_zero() {
        return 0.0;
    }
    let until = view.memory.gather_until.unwrap_or(view.now.plus(view.policy.scaling.patience));
    let patience = view.until(until);
    let slack = if patience > 0.0 { question.slack() } else { 0.0 };
    if patience <= 0.0 || slack <= LEAST_WAIT {
        return 0.0;
    }
    gap.gather_until = Some(until);
    patience.min(slack - LEAST_WAIT)
}

/// Work that may fall back waits for spot as long as there is hope, and not a moment longer. Without hope on-demand is
/// planned for as spot would be: started early few do, and they pay fewer start-ups.
fn fall_back<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones, gap: &mut Gap<'a>) {
    let mut slots = supply(view, zones, Outlook::Doubtful);
    slots.extend(started(view, gap, zones, Outlook::Doubtful));
    let hope = zones.any_open() && room(view, zones, Capacity::Spot, gap) > 0;
    let question = Question {
        view,
        demand,
        slots,
        capacity: Capacity::OnDemand,
        outlook: Outlook::Planned,
        limit: if hope { Limit::Hard } else { Limit::Soft },
        asks: |bucket| bucket.rule == CapacityRule::SpotThenOnDemand,
        room: room(view, zones, Capacity::OnDemand, gap),
    };
    // While the first tasks wait for company there is time.
    if gap.gather_until.is_some() || question.misses().is_none() || question.room == 0 {
        return;
    }
    let slack = if hope { question.slack() } else { 0.0 };
    let after = if slack > LEAST_WAIT { slack - LEAST_WAIT } else { 0.0 };
    let why =
        |bucket: &Bucket| Why::FallBack { class: bucket.class.to_owned(), left: bucket.due.since(view.now) };
    fill(&question, why, after, gap);
}

fn minimum<'a>(view: &View<'a>, demand: &[Bucket<'a>], zones: &Zones, gap: &mut Gap<'a>) {
    for capacity in Capacity::ALL {
        let there = view.placed(capacity).filter(|w| w.claims() && !zones.abandons(view, w)).count();
        let n = view.min(capacity).saturating_sub(there).min(room(view, zones, capacity, gap));
        if n > 0 {
            let models = models(demand, &supply(view, zones, Outlook::Planned), capacity, n);
            gap.missing.push(Missing { capacity, why: Why::Minimum, models, after: 0.0 });
        }
    }
}

/// Notes what a question's answer says is missing.
fn fill<'a>(question: &Question<'_, 'a>, why: impl Fn(&Bucket) -> Why, after: f64, gap: &mut Gap<'a>) {
    let Some(missed) = question.misses() else { return };
    let answer = question.answer(after);
    if !answer.enough && answer.n == question.room {
        gap.at_maximum = gap.at_maximum.or(question.view.fleet(question.capacity).map(|_| question.capacity));
    }
    if answer.n > 0 {
        let models = question.new_slots(after).iter().take(answer.n).map(|slot| slot.model).collect();
        gap.missing.push(Missing { capacity: question.capacity, why: why(missed), models, after });
    }
}

/// The workers a gap asks for so far, as they'd come up.
pub(crate) fn started<'a>(view: &View<'a>, gap: &Gap<'a>, zones: &Zones, outlook: Outlook) -> Vec<Slot<'a>> {
    let come = |missing: &&Missing| match (missing.capacity, outlook) {
        (Capacity::OnDemand, _) | (_, Outlook::AtOnce | Outlook::Planned) => true,
        (Capacity::Spot, Outlook::Expected) => zones.any_open(),
        (Capacity::Spot, Outlook::Doubtful) => zones.trusted(),
    };
    let slots = |missing: &Missing<'a>| -> Vec<Slot<'a>> {
        let slot = |model: &Option<&'a str>| fresh(view, missing.capacity, *model, outlook);
        let late = |slot: Slot<'a>| Slot { free: slot.free + missing.after, ..slot };
        missing.models.iter().map(slot).map(late).collect()
    };
    gap.missing.iter().filter(come).flat_map(slots).collect()
}

/// How many more workers a fleet may have.
fn room(view: &View, zones: &Zones, capacity: Capacity, gap: &Gap) -> usize {
    // A held on-demand worker is resumed before another is started, so its place counts as free.
    let taken = view.placed(capacity).filter(|w| !zones.abandons(view, w) && !resumable(w)).count();
    view.max(capacity).saturating_sub(taken + gap.asks_for(capacity))
}

/// A worker that was held because it was no longer needed.
pub(crate) fn resumable(worker: &Worker) -> bool {
    worker.capacity == Capacity::OnDemand && worker.health == Health::Well && worker.order == Order::Hold
}

impl Gap<'_> {
    /// How many workers of a capacity it asks for so far.
    pub(crate) fn asks_for(&self, capacity: Capacity) -> usize {
        self.missing.iter().filter(|m| m.capacity == capacity).map(|m| m.models.len()).sum()
    }

    /// Likewise, those to be started now.
    pub(crate) fn starts(&self, capacity: Capacity) -> usize {
        let now = self.missing.iter().filter(|m| m.capacity == capacity && m.after <= 0.0);
        now.map(|m| m.models.len()).sum()
    }
}
