//! From what is seen to what is to be done, step by step.
use std::time::Duration;

use crate::{
    Action, Capacity, Decision, Forecast, Held, Memory, Policy, Report, Seen, Time, Why,
    action::Agenda,
    demand::Demand,
    eta::foretell,
    gap::gap,
    idleness::IdleMeter,
    known::Known,
    learn::{Learned, learn},
    leave::leave,
    report, rollout, signs, start,
    view::{Index, View, after},
};

/// While something is under way a plan is made this often.
const SOON: Duration = Duration::from_secs(5);
/// While there is nothing.
const LATER: Duration = Duration::from_secs(60);
/// Never sooner: a plan made at once would see the same.
const LEAST: Duration = Duration::from_millis(250);

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// To be done in this order.
    pub actions: Vec<Decision>,
    /// To be handed to the next plan.
    pub memory: Memory,
    /// Plan again after this, or sooner when something changes.
    pub wake_after: Duration,
    /// What was found.
    pub report: Report,
    /// When the work will be done.
    pub forecast: Forecast,
}

/// Decides what to do. Nothing in the result takes effect by itself: the caller does it, looks again, and plans
/// again.
pub fn plan(now: Time, policy: &Policy, seen: &Seen, memory: &Memory) -> Plan {
    let index = Index::of(seen);
    let given = View::new(now, policy, seen, memory, &index);
    let mut agenda = Agenda::new(now);

    // 1. What the machines' signs ask for is done whatever else is known.
    signs::answer(&given, &mut agenda);
    if seen.queue.is_none() {
        agenda.look_at(now.plus(SOON));
        let report = report::unknown_queue(&given);
        let memory = Memory { held: held(memory, &agenda.decisions), ..memory.clone() };
        let wake_after = agenda.wake_after().max(LEAST);
        let (actions, forecast) = (agenda.decisions, Forecast::default());
        return Plan { actions, memory, wake_after, report, forecast };
    }

    // 2. Learn: who failed, where machines are short, how long things take.
    let Learned { memory, workers, zones, pace } = learn(&given, &seen.refused);
    let workers = after(workers, &agenda.decisions);
    let learned = View { memory: &memory, workers: &workers, pace: &pace, ..given };

    // 3. Count the work.
    let demand = Demand::count(&learned);

    // 4. Demand against supply: what is missing? Workers on hold fill it first, …
    let unaided = Known { view: learned, zones: &zones, demand: &demand };
    let first = gap(&unaided);
    let some_resumed = start::resume(&learned, &first, &mut agenda);
    let resumed = after(workers.clone(), &agenda.decisions);
    let known = Known { view: View { workers: &resumed, ..learned }, ..unaided };
    let missing = if some_resumed { gap(&known) } else { first };

    // 5. … then new ones.
    start::start(&known, &missing, &mut agenda);

    // 6. Who is broken or not needed goes.
    let mut idle = IdleMeter::read(&known.view, &demand);
    leave(&known, &missing, &idle, &mut agenda);
    idle.settle(&agenda.decisions, policy.scaling.idle_after);

    // 7. Say why, and when to look again.
    let forecast = foretell(&known, &missing);
    let report = report::report(&known, &missing, &forecast, &agenda.decisions);
    let under_way = !demand.waiting.is_empty() || !known.view.running().is_empty();
    let usual = if under_way || !missing.missing.is_empty() { SOON } else { LATER };
    let memory = Memory {
        idle,
        inflow: demand.inflow.by_class.clone(),
        inflow_at: Some(now),
        held: held(&memory, &agenda.decisions),
        replacements: rollout::settle(&known.view, &agenda.decisions),
        on_demand_wanted: if wants_on_demand(&agenda) { Some(now) } else { memory.on_demand_wanted },
        ..memory
    };
    let wake_after = agenda.wake_after().min(usual).max(LEAST);
    Plan { actions: agenda.decisions, memory, wake_after, report, forecast }
}

/// Why workers are held, these decisions included.
fn held(memory: &Memory, decisions: &[Decision]) -> std::collections::BTreeMap<crate::WorkerId, Held> {
    let mut held = memory.held.clone();
    for Decision { action, why, .. } in decisions {
        match action {
            Action::Hold { worker } => {
                let reason = match why {
                    Why::AtRisk => Held::AtRisk,
                    Why::Outdated => Held::Outdated,
                    _ => Held::NotNeeded,
                };
                held.insert(worker.clone(), reason);
            }
            Action::Resume { worker } => drop(held.remove(worker)),
            _ => {}
        }
    }
    held
}

/// Whether the work asked for on-demand workers.
fn wants_on_demand(agenda: &Agenda) -> bool {
    agenda.decisions.iter().any(|Decision { action, why, .. }| match action {
        Action::Start { capacity: Capacity::OnDemand, .. } => !matches!(why, Why::Minimum | Why::Replacement),
        _ => *why == Why::NeededAgain,
    })
}
