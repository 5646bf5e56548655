//! What the nodes' signals ask for, whatever the work.
use crate::{Action, Capacity, Decision, Health, Order, Why, Worker, view::View};

/// Tells workers of the fate of their nodes, each once.
pub(crate) fn heed(view: &View) -> Vec<Decision> {
    view.workers.iter().filter_map(|worker| heed_one(view, worker)).collect()
}

fn heed_one(view: &View, worker: &Worker) -> Option<Decision> {
    let id = worker.id.clone();
    let (action, why) = match (worker.health, worker.order) {
        (Health::Gone, Order::Evicted) => return None,
        (Health::Gone, _) => (Action::Evict { worker: id }, Why::NodeGone),
        (Health::Doomed { .. }, Order::Doomed | Order::Evicted) => return None,
        (Health::Doomed { deadline }, _) => {
            (Action::Doom { worker: id, deadline }, Why::NodeDoomed { deadline, now: view.now })
        }
        (Health::AtRisk, Order::Work) => (Action::Hold { worker: id }, Why::AtRisk),
        // A held on-demand worker may be one that isn't needed; it is resumed when it is.
        (Health::Well, Order::Hold) if worker.capacity == Capacity::Spot => {
            (Action::Resume { worker: id }, Why::RiskPassed)
        }
        _ => return None,
    };
    Some(Decision { action, why })
}
