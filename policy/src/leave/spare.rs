//! Removes a spot worker if the fleet idles in short gaps so much that one worker fewer suffices. The last worker is
//! removed by `idle_after` only, since no other worker could take over its work.
use super::Leaving;
use crate::{Capacity, IdleMeter, Why};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let scaling = &leaving.situation.view.policy.scaling;
    if capacity != Capacity::Spot || leaving.gap.is_needed_for_work(capacity) {
        return;
    }
    if let Some(time) = leaving.meter.next_excess_at(scaling.idle_after) {
        leaving.look_again_at(time);
    }
    let removed =
        leaving.agenda.decisions.iter().filter(|decision| IdleMeter::removes_idle_worker(decision)).count();
    for _ in removed..leaving.meter.excess_workers(scaling.idle_after) {
        let claiming = leaving.staying(capacity).filter(|worker| worker.claims()).count();
        if claiming < 2 || leaving.spare(capacity) == 0 || leaving.up_over_minimum(capacity) == 0 {
            return;
        }
        if let Some(worker) = leaving.idle(capacity).first().copied() {
            leaving.retire(worker, Why::Spare);
        }
    }
}
