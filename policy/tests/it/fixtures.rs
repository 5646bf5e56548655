//! Small pools, workers and backlogs for tests.
use std::collections::BTreeMap;

use policy::{
    Action, Backlog, Capacity, CapacityRule, Class, Decision, Fleet, Machine, Memory, Phase, Plan, Policy,
    Queue, Running, Scaling, Seen, Time, Worker, WorkerId, plan,
};

use crate::world::{UNITS, secs};

pub(crate) const NOW: Time = Time::from_millis(1_767_225_600_000);

pub(crate) const UNSCHEDULED: Phase = Phase::Unscheduled { machine: Machine::Unknown };

pub(crate) fn fleet(min: u32, max: u32, price: u64, zones: &[&str]) -> Fleet {
    let zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
    Fleet { min, max, price_per_hour_micros: price, zones, zone_prices: BTreeMap::new() }
}

pub(crate) fn pool() -> Policy {
    let class = |name: &str, sla, capacity| Class { name: name.into(), sla: secs(sla), capacity };
    Policy {
        classes: vec![
            class("relaxed", 600, CapacityRule::Spot),
            class("immediate", 30, CapacityRule::OnDemand),
            class("standard", 300, CapacityRule::SpotThenOnDemand),
        ],
        spot: Some(fleet(0, 20, 900_000, &["a", "b"])),
        on_demand: Some(fleet(0, 4, 3_060_000, &[])),
        scaling: Scaling::default(),
        suspended: false,
        template: String::new(),
    }
}

pub(crate) fn waiting(class: &str, tasks: u64, due_in: u64) -> Backlog {
    Backlog {
        class: class.into(),
        model: "sd15".into(),
        work: String::new(),
        due: NOW.plus(secs(due_in)),
        tasks,
        units: tasks as f64 * UNITS,
    }
}

/// A worker that was created ten minutes ago. It has a machine, unless its phase says that it has none.
pub(crate) fn worker(id: &str, capacity: Capacity, phase: Phase) -> Worker {
    let placed = !matches!(phase, Phase::Unscheduled { .. });
    Worker {
        zone: Some("a".into()),
        node: placed.then(|| format!("node-{id}")),
        model: Some("sd15".into()),
        phase,
        ..Worker::new(WorkerId(id.into()), capacity, NOW.minus(secs(600)))
    }
}

/// A worker that has waited for a machine for `s` seconds.
pub(crate) fn unscheduled_for(id: &str, capacity: Capacity, s: u64) -> Worker {
    Worker { created: NOW.minus(secs(s)), ..worker(id, capacity, UNSCHEDULED) }
}

pub(crate) fn idle_for(s: u64) -> Phase {
    Phase::Idle { since: NOW.minus(secs(s)) }
}

pub(crate) fn running(worker: &str, class: &str) -> Running {
    Running {
        worker: WorkerId(worker.into()),
        class: class.into(),
        model: "sd15".into(),
        work: String::new(),
        units: UNITS,
        due: NOW.plus(secs(100)),
        started: NOW.minus(secs(2)),
        progress: None,
    }
}

pub(crate) fn seen(backlog: Vec<Backlog>, running: Vec<Running>, workers: Vec<Worker>) -> Seen {
    Seen { queue: Some(Queue { backlog, running }), workers, refused: Vec::new() }
}

pub(crate) fn decide(policy: &Policy, seen: &Seen) -> Plan {
    plan(NOW, policy, seen, &Memory::default())
}

pub(crate) fn started(plan: &Plan, of: Capacity) -> u32 {
    let n = |d: &Decision| match d.action {
        Action::Start { capacity, n, .. } if capacity == of => n,
        _ => 0,
    };
    plan.actions.iter().map(n).sum()
}

pub(crate) fn retired(plan: &Plan) -> Vec<&str> {
    let actions = plan.actions.iter().map(|d| &d.action);
    actions
        .filter_map(|action| match action {
            Action::Retire { worker } => Some(worker.0.as_str()),
            _ => None,
        })
        .collect()
}

/// The label and the reason of each action.
pub(crate) fn done(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    plan.actions.iter().map(|decision| (decision.action.label(), decision.why.reason())).collect()
}
