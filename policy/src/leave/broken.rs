//! Removes workers that are up, report that they or their machine are broken, and claim nothing. A worker that blames
//! the pool while most others work is at fault itself; it stays for a while, since the others may run into the same
//! fault.
use std::time::Duration;

use super::Leaving;
use crate::{Capacity, Fault, Phase, Why, failures::pool_at_fault};

/// How long a worker may blame the pool alone.
const BLAME_ALONE_FOR: Duration = Duration::from_secs(60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    let outvoted = pool_at_fault(view).is_none();
    for worker in view.in_fleet(capacity) {
        let (Phase::Idle { since }, Some(trouble)) = (worker.phase, &worker.trouble) else { continue };
        let until = since.plus(BLAME_ALONE_FOR);
        match trouble.fault {
            Fault::Pool if !outvoted => {}
            Fault::Pool if view.now < until => leaving.look_again_at(until),
            Fault::Worker | Fault::Machine | Fault::Pool => {
                leaving.retire(worker, Why::Broken { message: trouble.message.clone() });
            }
        }
    }
}
