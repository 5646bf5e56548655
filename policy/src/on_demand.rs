//! Decides whether the existing on-demand workers are still needed. They are expensive, and without this decision they
//! would keep doing work that spot can do.
use crate::{
    Capacity, CapacityRule, Phase,
    demand::{Bucket, Demand},
    failures::Gate,
    idleness::over_minimum,
    learn::is_recent,
    need::{Limit, Question},
    supply::{Assumption, Slot, supply},
    view::View,
    zones::Zones,
};

/// Whether the work needs the existing on-demand workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDemandNeed {
    /// They are needed for work that only they may run, or by the fleet's minimum.
    Needed,
    /// They stand in for spot and are removed as soon as spot has machines.
    StandsIn,
    /// They are not needed, but so little work waits that starting spot for it would cost more.
    Finishing,
    /// They are not needed: the plan starts spot workers as if they did not exist.
    NotNeeded,
}

pub(crate) fn on_demand_need(view: &View, demand: &Demand, zones: &Zones) -> OnDemandNeed {
    let none_may_go = over_minimum(view, Capacity::OnDemand) == 0;
    let had_work = view.memory.on_demand_work.is_some_and(|last| is_recent(view, last));
    if none_may_go || had_work || view.max(Capacity::Spot) == 0 {
        return OnDemandNeed::Needed;
    }
    let trusted = Gate::of(view, Capacity::Spot).is_trusted(view, Capacity::Spot);
    let room = view.in_fleet(Capacity::Spot).count() < view.max(Capacity::Spot);
    let can_grow = zones.any_open(Capacity::Spot) && room && trusted;
    let carried = spot_carries(view, demand, zones);
    let stands_in = !zones.has_no_shortage(Capacity::Spot) && with_machine(view, Capacity::Spot) == 0;
    match (carried, can_grow) {
        (true, _) if stands_in => OnDemandNeed::StandsIn,
        (true, _) => OnDemandNeed::NotNeeded,
        (false, false) => OnDemandNeed::StandsIn,
        (false, true) if cheaper_to_finish(view, demand) => OnDemandNeed::Finishing,
        (false, true) => OnDemandNeed::NotNeeded,
    }
}

/// Whether the spot workers that have a machine, with the on-demand minimum, do all work that spot may run in time.
pub(crate) fn spot_carries(view: &View, demand: &Demand, zones: &Zones) -> bool {
    let question = Question {
        view,
        demand: &demand.with_arrivals,
        slots: without_on_demand(view, supply(view, zones, Assumption::WithMachine)),
        capacity: Capacity::Spot,
        assumption: Assumption::Planned,
        limit: Limit::Soft,
        required: |bucket| bucket.rule != CapacityRule::OnDemand,
        room: 0,
    };
    let falls_back = |bucket: &Bucket| bucket.rule == CapacityRule::SpotThenOnDemand;
    question.first_missed().is_none() && !Question { required: falls_back, ..question }.is_unreachable()
}

/// The number of on-demand workers that arriving work keeps busy, because the spot workers with a machine do not
/// suffice for it. Without this number the on-demand fleet would be removed after each backlog and started again for
/// the next one.
pub(crate) fn kept_busy(view: &View, demand: &Demand) -> usize {
    let arrives = |capacity| demand.inflow.for_spot(view, capacity);
    let spot = with_machine(view, Capacity::Spot) as f64;
    let busy = (arrives(Capacity::Spot) - spot).min(arrives(Capacity::OnDemand));
    // `as` saturates and rounds down.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let workers = busy as usize;
    workers.min(with_machine(view, Capacity::OnDemand).saturating_sub(view.min(Capacity::OnDemand)))
}

/// The number of workers that have a machine and claim tasks, now or once they are up.
fn with_machine(view: &View, capacity: Capacity) -> usize {
    view.in_fleet(capacity).filter(|worker| worker.claims() && worker.has_machine()).count()
}

/// The slots without the on-demand workers beyond the fleet's minimum.
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

/// Whether finishing the work on demand costs less than a spot start-up.
fn cheaper_to_finish(view: &View, demand: &Demand) -> bool {
    let up = view.in_fleet(Capacity::OnDemand).any(|w| matches!(w.phase, Phase::Busy | Phase::Idle { .. }));
    let extra = demand.seconds() * (view.price(Capacity::OnDemand) - view.price(Capacity::Spot));
    up && extra < view.pace.start_seconds(Capacity::Spot) * view.price(Capacity::Spot)
}
