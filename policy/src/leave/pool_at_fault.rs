//! Removes workers that wait for something that all workers need and that is broken. One of them stays to show when it
//! works again, and so do those of the fleet's minimum.
use std::time::Duration;

use super::Leaving;
use crate::{Capacity, Fault, Phase, Why, failures::pool_at_fault};

/// How long the other workers wait before they are removed.
const LONGEST_WAIT: Duration = Duration::from_secs(3 * 60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let Some(message) = pool_at_fault(view) else { return };
    let blaming = |worker: &&crate::Worker| worker.is_in_fleet() && worker.blames(Fault::Pool);
    // The witness is the worker that is furthest: one that is up before one that is coming up, then the oldest.
    let witness = view.workers.iter().filter(blaming).min_by_key(|w| (!w.is_up(), w.created, &w.id));
    let members = view.in_fleet(capacity).count();
    let mut may_go = members.saturating_sub(view.min(capacity));
    for worker in view.in_fleet(capacity).filter(blaming) {
        let since = match worker.phase {
            Phase::Starting { scheduled } => scheduled,
            Phase::Idle { since } => since,
            Phase::Unscheduled { .. } | Phase::Failed | Phase::Busy => continue,
        };
        if may_go == 0 || witness.is_some_and(|witness| witness.id == worker.id) {
            continue;
        }
        if view.now < since.plus(LONGEST_WAIT) {
            leaving.look_again_at(since.plus(LONGEST_WAIT));
        } else {
            may_go -= 1;
            leaving.retire(worker, Why::PoolAtFault { message: message.to_owned() });
        }
    }
}
