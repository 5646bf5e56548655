//! It ended, was refused by its machine, or is not up though it should be.
use super::Leaving;
use crate::{Capacity, Health, Order, Phase, Why, failures::up_by};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.known.view;
    for worker in view.workers.iter().filter(|worker| worker.capacity == capacity) {
        // One that is told to leave, or whose machine goes, leaves anyway.
        let ours = worker.health != Health::Gone && matches!(worker.order, Order::Work | Order::Hold);
        match worker.phase {
            Phase::Failed if ours => {
                let said = worker.complaint().map(str::to_owned);
                leaving.retire(worker, Why::NeverReady { said });
            }
            Phase::Starting { .. } => leaving.agenda.look_at(up_by(view, worker).unwrap_or(view.now)),
            _ => {}
        }
    }
}
