//! Removes workers that are made from an older template and whose replacement is ready.
use super::Leaving;
use crate::{Capacity, Phase, Why, Worker, rollout};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    if view.policy.suspended {
        return;
    }
    let busy_from = view.memory.template_since.plus(view.policy.scaling.rollout_busy_after);
    let outdated: Vec<&Worker> =
        rollout::outdated(view, capacity).filter(|worker| !leaving.removed.contains(&worker.id)).collect();
    let due = rollout::due(leaving.situation, capacity, leaving.gap);
    let spare = leaving.spare(capacity);
    let (busy, idle): (Vec<&Worker>, Vec<&Worker>) =
        outdated.into_iter().partition(|worker| worker.phase == Phase::Busy);
    let idle = idle.into_iter().take(due.min(spare));
    let mut left = due;
    for worker in idle {
        leaving.retire(worker, Why::Outdated);
        left -= 1;
    }
    if view.now < busy_from && !busy.is_empty() {
        leaving.look_again_at(busy_from);
        return;
    }
    for worker in busy.into_iter().take(left) {
        leaving.hold(worker, Why::Outdated);
    }
}
