//! From what is seen to what is to be done, step by step.
use std::time::Duration;

use crate::{
    Decision, Forecast, Memory, Policy, Report, Seen, Time,
    demand::demand,
    eta::foretell,
    gap::gap,
    health, idle, inflow, on_demand, report,
    retire::retire,
    start,
    view::{View, told},
    wake,
    zones::Zones,
};

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
    // What the nodes say is passed on whatever else is known.
    let view = View::new(now, policy, seen, memory);
    let mut actions = health::heed(&view);
    if seen.queue.is_none() {
        let report = report::unknown_queue(&view);
        let forecast = Forecast::default();
        return Plan { actions, memory: memory.clone(), wake_after: wake::SOON, report, forecast };
    }

    // Learn, and look again with what was learned and told.
    let mut memory = memory.clone();
    let zones = Zones::learn(&view);
    zones.remember(&view, &mut memory);
    memory.on_demand_work = on_demand::last_work(&view);
    let view = View { memory: &memory.clone(), workers: &told(view.workers, &actions), ..view };

    // Demand against supply: what is missing? Workers on hold fill it first, then new ones.
    let demand = demand(&view);
    inflow::read(&view, &demand, &mut memory);
    let view = View { memory: &memory.clone(), ..view };
    let foreseen = inflow::foresee(&view, &demand, &memory.inflow);
    let mut missing = gap(&view, &foreseen, &zones);
    let resumed = start::resume(&view, &missing);
    let view = View { workers: &told(view.workers, &resumed), ..view };
    if !resumed.is_empty() {
        missing = gap(&view, &foreseen, &zones);
    }
    memory.gather_until = missing.gather_until;
    actions.extend(resumed);
    actions.extend(start::start(&view, &missing, &zones));

    // What is superfluous goes.
    memory.idle = idle::read(&view, &demand);
    actions.extend(retire(&view, &foreseen, &zones, &missing, &memory.idle));
    memory.idle.settle(&actions, policy.scaling.idle_after);

    // Say why, and when to look again.
    let forecast = foretell(&view, &foreseen, &zones, &missing);
    let report = report::report(&view, &demand, &zones, &missing, &forecast, &actions);
    let wake_after = wake::after(&view, &demand, &missing, &memory.idle);
    Plan { actions, memory, wake_after, report, forecast }
}
