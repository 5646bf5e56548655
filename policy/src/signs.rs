//! Passes the nodes' signs on to the workers, whatever the work is.
use crate::{
    Action, Capacity, Health, HoldReason, Order, Phase, Template, Why, Worker, action::Agenda, view::View,
};

/// Passes each new sign on to its worker, once.
pub(crate) fn pass_on(view: &View, agenda: &mut Agenda) {
    for worker in view.workers {
        if let Some((action, why)) = sign_action(view, worker) {
            agenda.add(action, why);
        }
    }
}

fn sign_action(view: &View, worker: &Worker) -> Option<(Action, Why)> {
    let Worker { id, health, order, .. } = worker;
    Some(match (*health, *order) {
        (Health::Gone, Order::Evicted) => return None,
        (Health::Gone, _) => (Action::Evict { worker: id.clone() }, Why::NodeGone),
        (Health::Doomed { .. }, Order::Doomed | Order::Evicted) => return None,
        // The Pod is deleted before its replacement is created: an autoscaler that saw both would buy two machines.
        (Health::Doomed { deadline }, Order::Work | Order::Hold)
            if is_known_to_hold_nothing(view, worker) =>
        {
            (Action::retire(id), Why::NodeDoomed { deadline })
        }
        (Health::Doomed { deadline }, _) => {
            (Action::Doom { worker: id.clone(), deadline }, Why::NodeDoomed { deadline })
        }
        (Health::AtRisk, Order::Work) => (Action::hold(id), Why::AtRisk),
        (Health::Healthy, Order::Hold) if hold_is_over(view, worker) => (Action::resume(id), Why::RiskPassed),
        _ => return None,
    })
}

/// Whether the worker is known to hold no task. Without the queue this is unknown.
fn is_known_to_hold_nothing(view: &View, worker: &Worker) -> bool {
    view.queue.is_some() && worker.phase != Phase::Busy
}

/// Whether the reason for holding a worker is over. A worker that was not needed is resumed by `start::resume`.
fn hold_is_over(view: &View, worker: &Worker) -> bool {
    match view.memory.held.get(&worker.id) {
        Some(HoldReason::AtRisk) => true,
        Some(HoldReason::Outdated) => worker.template != Template::Outdated,
        Some(HoldReason::NotNeeded) => false,
        // The reason was lost; a spot worker is held for signs only.
        None => worker.capacity == Capacity::Spot,
    }
}
