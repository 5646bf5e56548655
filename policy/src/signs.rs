//! What the signs of the machines ask for, whatever the work.
use crate::{
    Action, Capacity, Health, Held, Order, Phase, Template, Why, Worker, action::Agenda, view::View,
};

/// Tells workers what becomes of their machines, each once.
pub(crate) fn answer(view: &View, agenda: &mut Agenda) {
    for worker in view.workers {
        if let Some((action, why)) = answer_one(view, worker) {
            agenda.add(action, why);
        }
    }
}

fn answer_one(view: &View, worker: &Worker) -> Option<(Action, Why)> {
    let Worker { id, health, order, .. } = worker;
    Some(match (*health, *order) {
        (Health::Gone, Order::Evicted) => return None,
        (Health::Gone, _) => (Action::Evict { worker: id.clone() }, Why::NodeGone),
        (Health::Doomed { .. }, Order::Doomed | Order::Evicted) => return None,
        // Its Pod goes before a replacement comes: an autoscaler that saw both would buy two machines.
        (Health::Doomed { deadline }, Order::Work | Order::Hold) if holds_nothing(view, worker) => {
            (Action::retire(id), Why::NodeDoomed { deadline })
        }
        (Health::Doomed { deadline }, _) => {
            (Action::Doom { worker: id.clone(), deadline }, Why::NodeDoomed { deadline })
        }
        (Health::AtRisk, Order::Work) => (Action::hold(id), Why::AtRisk),
        (Health::Well, Order::Hold) if may_go_on(view, worker) => (Action::resume(id), Why::RiskPassed),
        _ => return None,
    })
}

/// Without the queue nobody can say.
fn holds_nothing(view: &View, worker: &Worker) -> bool {
    view.queue.is_some() && worker.phase != Phase::Busy
}

/// Whether what a worker was held for is over. Whether one that was not needed is needed again is for the work to tell.
fn may_go_on(view: &View, worker: &Worker) -> bool {
    match view.memory.held.get(&worker.id) {
        Some(Held::AtRisk) => true,
        Some(Held::Outdated) => worker.template != Template::Outdated,
        Some(Held::NotNeeded) => false,
        // Nobody remembers: spot workers are held for nothing else.
        None => worker.capacity == Capacity::Spot,
    }
}
