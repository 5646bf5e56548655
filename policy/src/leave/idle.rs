//! Removes workers that have idled for longer than `idle_after` while no task waits for them.
use super::Leaving;
use crate::{Capacity, Phase, Why, Worker};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    if leaving.gap.is_needed_for_work(capacity) {
        return;
    }
    let longest = view.policy.scaling.idle_after;
    // Expected work does not keep these workers: it did not come for `idle_after`.
    let most = leaving.spare(capacity).min(leaving.up_over_minimum(capacity));
    let since = |worker: &Worker| if let Phase::Idle { since } = worker.phase { since } else { view.now };
    let (long, short): (Vec<&Worker>, Vec<&Worker>) =
        leaving.idle(capacity).into_iter().partition(|worker| view.now.since(since(worker)) >= longest);
    for worker in long.into_iter().take(most) {
        leaving.retire(worker, Why::Idle { since: since(worker) });
    }
    for worker in short {
        leaving.look_again_at(since(worker).plus(longest));
    }
}
