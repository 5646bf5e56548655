//! The spot fleet idles in short gaps, so much that it can do with one less. The last worker goes by `idle_after` only:
//! there is nobody to take over its work.
use super::Leaving;
use crate::{Capacity, IdleMeter, Why};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let scaling = &leaving.known.view.policy.scaling;
    if capacity != Capacity::Spot || leaving.gap.is_for_work(capacity) {
        return;
    }
    if let Some(full) = leaving.meter.full_at(scaling.idle_after) {
        leaving.later(full);
    }
    let paid = leaving.agenda.decisions.iter().filter(|decision| IdleMeter::is_paid_by(decision)).count();
    for _ in paid..leaving.meter.too_many(scaling.idle_after) {
        let claiming = leaving.staying(capacity).filter(|worker| worker.claims()).count();
        if claiming < 2 || leaving.spare(capacity) == 0 || leaving.up_over_minimum(capacity) == 0 {
            return;
        }
        if let Some(worker) = leaving.idle(capacity).first().copied() {
            leaving.retire(worker, Why::Spare);
        }
    }
}
