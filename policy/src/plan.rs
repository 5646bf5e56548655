//! Makes a plan from a snapshot, step by step.
use std::time::Duration;

use crate::{
    Action, Capacity, Decision, Forecast, HoldReason, Memory, Policy, Report, Seen, Time, Why,
    action::Agenda,
    demand::Demand,
    eta::forecast,
    gap::gap,
    idleness::IdleMeter,
    learn::{Learned, learn},
    leave::leave,
    report, rollout, signs,
    situation::Situation,
    start,
    view::{Index, View, with_orders},
};

/// The longest time between plans while something is under way.
const INTERVAL_UNDER_WAY: Duration = Duration::from_secs(5);
/// The longest time between plans while nothing is under way.
const INTERVAL_AT_REST: Duration = Duration::from_secs(60);
/// The shortest time between plans: an earlier plan would have the same input.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);

/// The result of one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The actions, in the order in which the caller carries them out.
    pub actions: Vec<Decision>,
    /// The memory that the caller gives to the next plan.
    pub memory: Memory,
    /// The longest time until the next plan. The caller plans sooner when something changes.
    pub wake_after: Duration,
    /// What the plan found.
    pub report: Report,
    /// When the work will be done.
    pub forecast: Forecast,
}

/// Decides what to do now. The result has no effect by itself: the caller carries out the actions, takes a new snapshot
/// and plans again.
pub fn plan(now: Time, policy: &Policy, seen: &Seen, memory: &Memory) -> Plan {
    let index = Index::of(seen);
    let observed = View::new(now, policy, seen, memory, &index);
    let mut agenda = Agenda::new(now);

    // 1. The nodes' signs are passed on, whatever else is known.
    signs::pass_on(&observed, &mut agenda);
    if seen.queue.is_none() {
        agenda.look_again_at(now.plus(INTERVAL_UNDER_WAY));
        let report = report::unknown_queue(&observed);
        let memory = Memory { held: held(memory, &agenda.decisions), ..memory.clone() };
        let wake_after = agenda.wake_after().max(SHORTEST_INTERVAL);
        let (actions, forecast) = (agenda.decisions, Forecast::default());
        return Plan { actions, memory, wake_after, report, forecast };
    }

    // 2. Learn which workers failed, which zones are short of machines and how long things take.
    let Learned { memory, workers, zones, pace } = learn(&observed, &seen.refused);
    let workers = with_orders(workers, &agenda.decisions);
    let learned = View { memory: &memory, workers: &workers, pace: &pace, ..observed };

    // 3. Count the work.
    let demand = Demand::count(&learned);

    // 4. Compare demand with supply to find the missing workers. Held workers are resumed first, …
    let before = Situation { view: learned, zones: &zones, demand: &demand };
    let first_gap = gap(&before);
    let some_resumed = start::resume(&learned, &first_gap, &mut agenda);
    let resumed = with_orders(workers.clone(), &agenda.decisions);
    let situation = Situation { view: View { workers: &resumed, ..learned }, ..before };
    let gap = if some_resumed { gap(&situation) } else { first_gap };

    // 5. … and then new ones are started.
    start::start(&situation, &gap, &mut agenda);

    // 6. Remove broken workers and those that are not needed.
    let mut idle = IdleMeter::read(&situation.view, &demand);
    leave(&situation, &gap, &idle, &mut agenda);
    idle.settle(&agenda.decisions, policy.scaling.idle_after);

    // 7. Report why, and when the next plan is due.
    let forecast = forecast(&situation, &gap);
    let report = report::report(&situation, &gap, &forecast, &agenda.decisions);
    let under_way = !demand.waiting.is_empty() || !situation.view.running().is_empty();
    let usual = if under_way || !gap.missing.is_empty() { INTERVAL_UNDER_WAY } else { INTERVAL_AT_REST };
    let memory = Memory {
        idle,
        inflow: demand.inflow.by_class.clone(),
        inflow_at: Some(now),
        held: held(&memory, &agenda.decisions),
        replacements: rollout::replacements_after(&situation.view, &agenda.decisions),
        on_demand_wanted: if wants_on_demand(&agenda) { Some(now) } else { memory.on_demand_wanted },
        ..memory
    };
    let wake_after = agenda.wake_after().min(usual).max(SHORTEST_INTERVAL);
    Plan { actions: agenda.decisions, memory, wake_after, report, forecast }
}

/// The reason why each worker is held, after these decisions.
fn held(memory: &Memory, decisions: &[Decision]) -> std::collections::BTreeMap<crate::WorkerId, HoldReason> {
    let mut held = memory.held.clone();
    for Decision { action, why, .. } in decisions {
        match action {
            Action::Hold { worker } => {
                let reason = match why {
                    Why::AtRisk => HoldReason::AtRisk,
                    Why::Outdated => HoldReason::Outdated,
                    _ => HoldReason::NotNeeded,
                };
                held.insert(worker.clone(), reason);
            }
            Action::Resume { worker } => drop(held.remove(worker)),
            _ => {}
        }
    }
    held
}

/// Whether the plan starts or resumes on-demand workers for work.
fn wants_on_demand(agenda: &Agenda) -> bool {
    agenda.decisions.iter().any(|Decision { action, why, .. }| match action {
        Action::Start { capacity: Capacity::OnDemand, .. } => !matches!(why, Why::Minimum | Why::Replacement),
        _ => *why == Why::NeededAgain,
    })
}
