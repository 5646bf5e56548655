//! Whether the on-demand workers there are still needed: they are dear, and would otherwise eat spot's work
//! for ever.
use crate::{
    Capacity, CapacityRule, Class, Memory, Phase, Time,
    demand::{Bucket, there},
    idle::over_minimum,
    need::{Limit, Question},
    supply::{Outlook, Slot, supply},
    view::View,
    zones::Zones,
};

/// What becomes of the on-demand workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDemand {
    /// Needed for work only they may run.
    Kept,
    /// Needed because there is no spot; as soon as there is, they go.
    StandsIn,
    /// Not needed, but what waits is so little that starting spot for it would cost more.
    Finishing,
    /// Not needed: spot is started as if they weren't there.
    Over,
}

pub(crate) fn on_demand(view: &View, demand: &[Bucket], zones: &Zones) -> OnDemand {
    let none_may_go = over_minimum(view, Capacity::OnDemand) == 0;
    if none_may_go || recently(view.memory.on_demand_work, view) || view.max(Capacity::Spot) == 0 {
        return OnDemand::Kept;
    }
    let can_grow = zones.any_open() && view.placed(Capacity::Spot).count() < view.max(Capacity::Spot);
    let carried = spot_carries(view, demand, zones);
    let stands_in = !zones.trusted() && with_machine(view, Capacity::Spot) == 0;
    match (carried, can_grow) {
        (true, _) if stands_in => OnDemand::StandsIn,
        (true, _) => OnDemand::Over,
        (false, false) => OnDemand::StandsIn,
        (false, true) if cheaper_to_finish(view, demand) => OnDemand::Finishing,
        (false, true) => OnDemand::Over,
    }
}

/// Whether the spot workers there are (and the minimum on demand) do all they may run in time.
pub(crate) fn spot_carries(view: &View, demand: &[Bucket], zones: &Zones) -> bool {
    let question = Question {
        view,
        demand,
        slots: without_on_demand(view, supply(view, zones, Outlook::Doubtful)),
        capacity: Capacity::Spot,
        outlook: Outlook::Planned,
        limit: Limit::Soft,
        asks: |bucket| bucket.rule != CapacityRule::OnDemand,
        room: 0,
    };
    let falls_back = |bucket: &Bucket| bucket.rule == CapacityRule::SpotThenOnDemand;
    question.misses().is_none() && !Question { asks: falls_back, ..question }.too_late()
}

/// On-demand workers with a machine that spot does not replace yet: what arrives keeps more busy than there are on spot.
/// Else a fleet would go as soon as the backlog is done, and come back, start-ups and all, when there is one again.
pub(crate) fn kept_busy(view: &View) -> usize {
    let arrives = |capacity: Capacity| -> f64 {
        let for_spot = |class: &&Class| class.capacity != CapacityRule::OnDemand;
        let classes = view.policy.classes.iter().filter(for_spot).filter(|c| c.capacity.may_start(capacity));
        classes.filter_map(|class| view.memory.inflow.get(&class.name)).sum()
    };
    let spot = with_machine(view, Capacity::Spot) as f64;
    let busy = (arrives(Capacity::Spot) - spot).min(arrives(Capacity::OnDemand));
    // `as` saturates and cuts off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let workers = busy as usize;
    workers.min(with_machine(view, Capacity::OnDemand).saturating_sub(view.min(Capacity::OnDemand)))
}

/// How many workers claim, or will once their machine is up, and have one.
fn with_machine(view: &View, capacity: Capacity) -> usize {
    view.placed(capacity).filter(|worker| worker.claims() && worker.phase != Phase::Unscheduled).count()
}

/// All but the on-demand workers beyond the fleet's minimum.
pub(crate) fn without_on_demand<'a>(view: &View, slots: Vec<Slot<'a>>) -> Vec<Slot<'a>> {
    let mut kept = view.min(Capacity::OnDemand);
    slots
        .into_iter()
        .filter(|slot| {
            let keep = slot.capacity == Capacity::Spot || kept > 0;
            if slot.capacity == Capacity::OnDemand {
                kept = kept.saturating_sub(1);
            }
            keep
        })
        .collect()
}

/// When work that must run on demand was last there.
pub(crate) fn last_work(view: &View) -> Option<Time> {
    let is_urgent = |class: &str| view.class(class).is_some_and(|c| c.capacity == CapacityRule::OnDemand);
    let waits = view.backlog().iter().any(|b| b.tasks > 0 && is_urgent(&b.class));
    let runs = view.running().iter().any(|task| is_urgent(&task.class));
    if waits || runs { Some(view.now) } else { forget(view.memory, view) }
}

fn forget(memory: &Memory, view: &View) -> Option<Time> {
    memory.on_demand_work.filter(|_| recently(memory.on_demand_work, view))
}

fn recently(last: Option<Time>, view: &View) -> bool {
    last.is_some_and(|last| view.now.since(last) < view.policy.scaling.idle_after || last == view.now)
}

/// What the higher price of finishing the work on demand comes to, against a spot start-up.
fn cheaper_to_finish(view: &View, demand: &[Bucket]) -> bool {
    let up = view.placed(Capacity::OnDemand).any(|w| matches!(w.phase, Phase::Busy | Phase::Idle { .. }));
    let work: f64 = there(demand).map(Bucket::seconds).sum();
    let extra = work * (view.price(Capacity::OnDemand) - view.price(Capacity::Spot));
    up && extra < view.estimates().start_seconds(Capacity::Spot) * view.price(Capacity::Spot)
}
