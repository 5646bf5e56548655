//! Removes workers that are coming up beyond the number that the waiting tasks, or the on-demand workers to be
//! replaced, can use.
use super::Leaving;
use crate::{Capacity, Why, Worker, on_demand::OnDemandNeed, rollout};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    if leaving.gap.is_needed_for_work(capacity) || view.policy.suspended {
        return;
    }
    let waiting = leaving.situation.demand.waiting_for(capacity).saturating_sub(leaving.idle(capacity).len());
    let replaced = match (capacity, leaving.gap.on_demand) {
        (Capacity::Spot, OnDemandNeed::StandsIn | OnDemandNeed::NotNeeded) => {
            leaving.over_minimum(Capacity::OnDemand)
        }
        _ => 0,
    };
    let used = waiting.max(replaced).max(rollout::unused_replacements(view, capacity));
    let coming: Vec<&Worker> = leaving
        .by_phase(capacity)
        .into_iter()
        .filter(|worker| worker.is_coming_up() && worker.claims())
        .collect();
    let over = coming.len().saturating_sub(used).min(leaving.may_go(capacity));
    for worker in coming.into_iter().take(over) {
        leaving.retire(worker, Why::NotNeeded);
    }
}
