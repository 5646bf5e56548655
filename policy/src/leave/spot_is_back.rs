//! It runs on demand, is busy, and spot can do without it: it finishes what it holds, and goes then. Not so soon after
//! it, or another, was found to be needed: nobody is held and resumed in turn.
use std::time::Duration;

use super::Leaving;
use crate::{
    Capacity, Phase, Why, Worker,
    known::Known,
    on_demand::{OnDemand, spot_carries},
};

/// How long a worker that was started or resumed on demand is not held again.
const CALM: Duration = Duration::from_secs(60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let Known { view, zones, demand } = leaving.known;
    let over = leaving.gap.on_demand == OnDemand::Over;
    if !over || demand.waiting.is_empty() {
        return;
    }
    if let Some(calm) =
        view.memory.on_demand_wanted.map(|wanted| wanted.plus(CALM)).filter(|at| *at > view.now)
    {
        leaving.later(calm);
        return;
    }
    if leaving.gap.is_for_work(capacity) || !spot_carries(view, demand, zones) {
        return;
    }
    let most = leaving.may_go(capacity);
    let first: Vec<&Worker> =
        leaving.by_phase(capacity).into_iter().filter(|w| w.claims()).take(most).collect();
    for worker in first {
        match worker.phase {
            Phase::Busy => leaving.hold(worker, Why::SpotIsBack),
            Phase::Unscheduled { .. } | Phase::Starting { .. } => leaving.retire(worker, Why::SpotIsBack),
            // Whether it goes is for the work to tell that waits.
            Phase::Idle { .. } | Phase::Failed => {}
        }
    }
}
