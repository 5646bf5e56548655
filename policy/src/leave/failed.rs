//! Removes workers that ended, were refused by their machine, or are not up in time.
use super::Leaving;
use crate::{Capacity, Health, Order, Phase, Why, failures::startup_deadline};

pub(super) fn leave(leaving: &mut Leaving, capacity: Capacity) {
    let view = &leaving.situation.view;
    for worker in view.workers.iter().filter(|worker| worker.capacity == capacity) {
        // A worker that was ordered to leave, or whose machine is dead, leaves anyway.
        let stays = worker.health != Health::Gone && matches!(worker.order, Order::Work | Order::Hold);
        match worker.phase {
            Phase::Failed if stays => {
                let message = worker.trouble_message().map(str::to_owned);
                leaving.retire(worker, Why::NeverReady { message });
            }
            Phase::Starting { .. } => {
                leaving.agenda.look_again_at(startup_deadline(view, worker).unwrap_or(view.now));
            }
            _ => {}
        }
    }
}
