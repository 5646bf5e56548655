//! What all workers need is broken, and they wait for it. One of them is enough to tell when it is well again; those of
//! the fleet's minimum wait as well.
use std::time::Duration;

use super::Leaving;
use crate::{Capacity, Fault, Phase, Why, failures::pool_at_fault};

/// How long the others wait.
const PATIENCE: Duration = Duration::from_secs(3 * 60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    let Some(said) = pool_at_fault(view) else { return };
    let blaming = |worker: &&crate::Worker| worker.takes_a_place() && worker.blames(Fault::Pool);
    // The one that is furthest: up before coming up, then the first that was created.
    let witness = view.workers.iter().filter(blaming).min_by_key(|w| (!w.is_up(), w.created, &w.id));
    let there = view.placed(capacity).count();
    let mut may_go = there.saturating_sub(view.min(capacity));
    for worker in view.placed(capacity).filter(blaming) {
        let since = match worker.phase {
            Phase::Starting { scheduled } => scheduled,
            Phase::Idle { since } => since,
            Phase::Unscheduled { .. } | Phase::Failed | Phase::Busy => continue,
        };
        if may_go == 0 || witness.is_some_and(|witness| witness.id == worker.id) {
            continue;
        }
        if view.now < since.plus(PATIENCE) {
            leaving.later(since.plus(PATIENCE));
        } else {
            may_go -= 1;
            leaving.retire(worker, Why::PoolAtFault { said: said.to_owned() });
        }
    }
}
