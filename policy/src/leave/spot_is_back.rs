//! Removes busy on-demand workers that spot can do without: they finish what they hold and are then removed. It waits
//! for a while after on-demand workers were last needed, so that no worker is held and resumed in turn.
use std::time::Duration;

use super::Leaving;
use crate::{
    Capacity, Phase, Why, Worker,
    on_demand::{OnDemandNeed, spot_carries},
    situation::Situation,
};

/// How long no on-demand worker is held after one was started or resumed.
const HOLD_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let Situation { view, zones, demand } = leaving.situation;
    let over = leaving.gap.on_demand == OnDemandNeed::NotNeeded;
    if !over || demand.waiting.is_empty() {
        return;
    }
    if let Some(time) =
        view.memory.on_demand_wanted.map(|wanted| wanted.plus(HOLD_PAUSE)).filter(|at| *at > view.now)
    {
        leaving.look_again_at(time);
        return;
    }
    if leaving.gap.is_needed_for_work(capacity) || !spot_carries(view, demand, zones) {
        return;
    }
    let most = leaving.may_go(capacity);
    let first: Vec<&Worker> =
        leaving.by_phase(capacity).into_iter().filter(|w| w.claims()).take(most).collect();
    for worker in first {
        match worker.phase {
            Phase::Busy => leaving.hold(worker, Why::SpotIsBack),
            Phase::Unscheduled { .. } | Phase::Starting { .. } => leaving.retire(worker, Why::SpotIsBack),
            // The idle reasons decide on these, by the waiting work.
            Phase::Idle { .. } | Phase::Failed => {}
        }
    }
}
