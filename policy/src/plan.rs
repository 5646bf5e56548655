//! From what is seen to what is to be done, step by step.
use std::time::Duration;

use crate::{
    Decision, Memory, Policy, Report, Seen, Time, demand::demand, eta::foretell, gap::gap, health, idle,
    on_demand, report, retire::retire, start, view::View, wake, zones::Zones,
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
}

/// Decides what to do. Nothing in the result takes effect by itself: the caller does it, looks again, and plans
/// again.
pub fn plan(now: Time, policy: &Policy, seen: &Seen, memory: &Memory) -> Plan {
    let view = View { now, policy, seen, memory };
    let mut actions = health::heed(&view);
    if seen.queue.is_none() {
        let report = report::unknown_queue(&view);
        return Plan { actions, memory: memory.clone(), wake_after: wake::SOON, report };
    }

    let mut memory = memory.clone();
    let zones = Zones::learn(&view);
    memory.shortages = zones.remembered(&view);
    memory.on_demand_work = on_demand::last_work(&view);
    let view = View { memory: &memory.clone(), ..view };

    let demand = demand(&view);
    memory.idle = idle::read(&view, &demand);
    let on_demand = on_demand::on_demand(&view, &demand, &zones);
    let gap = gap(&view, &demand, &zones, on_demand);
    memory.gather_until = gap.gather_until;

    actions.extend(start::fill(&view, &gap, &zones));
    actions.extend(retire(&view, &demand, &zones, &gap, on_demand, &memory.idle));
    memory.idle.settle(&actions);

    let forecast = foretell(&view, &demand, &zones, &gap);
    let report = report::report(&view, &demand, &zones, &gap, &forecast, &actions);
    let wake_after = wake::after(&view, &demand, &gap);
    Plan { actions, memory, wake_after, report }
}
