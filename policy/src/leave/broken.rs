//! It is up, says that it or its machine is broken, and claims nothing. One that blames the pool while most others work
//! is itself at fault; it is given a while, since others may find out as well.
use std::time::Duration;

use super::Leaving;
use crate::{Capacity, Fault, Phase, Why, failures::pool_at_fault};

/// How long a worker may blame the pool alone.
const ALONE: Duration = Duration::from_secs(60);

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    let outvoted = pool_at_fault(view).is_none();
    for worker in view.placed(capacity) {
        let (Phase::Idle { since }, Some(trouble)) = (worker.phase, &worker.trouble) else { continue };
        let until = since.plus(ALONE);
        match trouble.fault {
            Fault::Pool if !outvoted => {}
            Fault::Pool if view.now < until => leaving.later(until),
            Fault::Worker | Fault::Machine | Fault::Pool => {
                leaving.retire(worker, Why::Broken { said: trouble.message.clone() });
            }
        }
    }
}
