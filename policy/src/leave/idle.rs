//! It has idled for long, and no task waits for it.
use super::Leaving;
use crate::{Capacity, Phase, Why, Worker};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    if leaving.gap.is_for_work(capacity) {
        return;
    }
    let longest = view.policy.scaling.idle_after;
    // What was expected to keep a worker busy did not come.
    let most = leaving.spare(capacity).min(leaving.up_over_minimum(capacity));
    let since = |worker: &Worker| if let Phase::Idle { since } = worker.phase { since } else { view.now };
    let (long, short): (Vec<&Worker>, Vec<&Worker>) =
        leaving.idle(capacity).into_iter().partition(|worker| view.now.since(since(worker)) >= longest);
    for worker in long.into_iter().take(most) {
        leaving.retire(worker, Why::Idle { since: since(worker) });
    }
    for worker in short {
        leaving.later(since(worker).plus(longest));
    }
}
