//! Removes idle on-demand workers when no work needs them any longer.
use super::Leaving;
use crate::{Capacity, Why, on_demand::OnDemandNeed};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let over = matches!(leaving.gap.on_demand, OnDemandNeed::NotNeeded | OnDemandNeed::Finishing);
    if capacity != Capacity::OnDemand || !over || leaving.gap.is_needed_for_work(capacity) {
        return;
    }
    let most = leaving.spare(capacity).min(leaving.may_go(capacity)).min(leaving.up_over_minimum(capacity));
    for worker in leaving.idle(capacity).into_iter().take(most) {
        leaving.retire(worker, Why::OnDemandOver);
    }
}
