//! Whether the on-demand workers there are still needed: they are dear, and would otherwise eat spot's work
//! for ever.
use crate::{
    Capacity, CapacityRule, Phase,
    demand::{Bucket, Demand},
    failures::Gate,
    idleness::over_minimum,
    learn::is_recent,
    need::{Limit, Question},
    supply::{Prospect, Slot, supply},
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

pub(crate) fn on_demand(view: &View, demand: &Demand, zones: &Zones) -> OnDemand {
    let none_may_go = over_minimum(view, Capacity::OnDemand) == 0;
    let had_work = view.memory.on_demand_work.is_some_and(|last| is_recent(view, last));
    if none_may_go || had_work || view.max(Capacity::Spot) == 0 {
        return OnDemand::Kept;
    }
    let trusted = Gate::of(view, Capacity::Spot).is_trusted(view, Capacity::Spot);
    let room = view.placed(Capacity::Spot).count() < view.max(Capacity::Spot);
    let can_grow = zones.any_open(Capacity::Spot) && room && trusted;
    let carried = spot_carries(view, demand, zones);
    let stands_in = !zones.trusted(Capacity::Spot) && with_machine(view, Capacity::Spot) == 0;
    match (carried, can_grow) {
        (true, _) if stands_in => OnDemand::StandsIn,
        (true, _) => OnDemand::Over,
        (false, false) => OnDemand::StandsIn,
        (false, true) if cheaper_to_finish(view, demand) => OnDemand::Finishing,
        (false, true) => OnDemand::Over,
    }
}

/// Whether the spot workers that have a machine (and the minimum on demand) do all they may run in time.
pub(crate) fn spot_carries(view: &View, demand: &Demand, zones: &Zones) -> bool {
    let question = Question {
        view,
        demand: &demand.foreseen,
        slots: without_on_demand(view, supply(view, zones, Prospect::WithMachine)),
        capacity: Capacity::Spot,
        prospect: Prospect::Planned,
        limit: Limit::Soft,
        asks: |bucket| bucket.rule != CapacityRule::OnDemand,
        room: 0,
    };
    let falls_back = |bucket: &Bucket| bucket.rule == CapacityRule::SpotThenOnDemand;
    question.misses().is_none() && !Question { asks: falls_back, ..question }.too_late()
}

/// On-demand workers with a machine that spot does not replace yet: what arrives keeps more busy than there are on spot.
/// Else a fleet would go as soon as the backlog is done, and come back, start-ups and all, when there is one again.
pub(crate) fn kept_busy(view: &View, demand: &Demand) -> usize {
    let arrives = |capacity| demand.inflow.for_spot(view, capacity);
    let spot = with_machine(view, Capacity::Spot) as f64;
    let busy = (arrives(Capacity::Spot) - spot).min(arrives(Capacity::OnDemand));
    // `as` saturates and cuts off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let workers = busy as usize;
    workers.min(with_machine(view, Capacity::OnDemand).saturating_sub(view.min(Capacity::OnDemand)))
}

/// How many workers claim, or will once their machine is up, and have one.
fn with_machine(view: &View, capacity: Capacity) -> usize {
    view.placed(capacity).filter(|worker| worker.claims() && worker.has_machine()).count()
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

/// What the higher price of finishing the work on demand comes to, against a spot start-up.
fn cheaper_to_finish(view: &View, demand: &Demand) -> bool {
    let up = view.placed(Capacity::OnDemand).any(|w| matches!(w.phase, Phase::Busy | Phase::Idle { .. }));
    let extra = demand.seconds() * (view.price(Capacity::OnDemand) - view.price(Capacity::Spot));
    up && extra < view.pace.start_seconds(Capacity::Spot) * view.price(Capacity::Spot)
}
