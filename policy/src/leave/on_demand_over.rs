//! It runs on demand, idles, and nothing needs on-demand workers any more.
use super::Leaving;
use crate::{Capacity, Why, on_demand::OnDemand};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let over = matches!(leaving.gap.on_demand, OnDemand::Over | OnDemand::Finishing);
    if capacity != Capacity::OnDemand || !over || leaving.gap.is_for_work(capacity) {
        return;
    }
    let most = leaving.spare(capacity).min(leaving.may_go(capacity)).min(leaving.up_over_minimum(capacity));
    for worker in leaving.idle(capacity).into_iter().take(most) {
        leaving.retire(worker, Why::OnDemandOver);
    }
}
