//! Rules for zones that are short of machines, of either capacity.
use policy::{Action, Capacity, Lack, Machine, Memory, Phase, Plan, Policy, Sample, State, plan};

use crate::{
    fixtures::{NOW, decide, fleet, pool, retired, seen, started, unscheduled_for, waiting},
    world::secs,
};

fn short(plan: &Plan) -> Vec<(Capacity, &str, Lack)> {
    plan.report
        .shortages
        .iter()
        .map(|short| (short.capacity, short.zone.as_str(), short.shortage.lack))
        .collect()
}

#[test]
fn standard_work_waits_for_spot_while_there_is_hope_and_slack() {
    let stuck = unscheduled_for("s1", Capacity::Spot, 100);
    let at = |due_in, policy: &Policy, class| {
        decide(policy, &seen(vec![waiting(class, 1, due_in)], vec![], vec![stuck.clone()]))
    };
    let two_zones = pool();
    assert_eq!(
        started(&at(290, &two_zones, "standard"), Capacity::OnDemand),
        0,
        "the other zone may have machines"
    );
    assert_eq!(started(&at(165, &two_zones, "standard"), Capacity::OnDemand), 1, "the last moment");
    let mut single_zone = pool();
    single_zone.spot = Some(fleet(0, 20, 900_000, &["a"]));
    let without_hope = at(290, &single_zone, "standard");
    assert_eq!(started(&without_hope, Capacity::OnDemand), 1);
    assert_eq!(without_hope.report.state, State::FallenBack { lack: Lack::Machines, message: None });
    let relaxed = at(165, &single_zone, "relaxed");
    assert_eq!(started(&relaxed, Capacity::OnDemand), 0, "relaxed never does");
    assert_eq!(relaxed.report.state, State::SpotShortage { lack: Lack::Machines, message: None });
}

#[test]
fn a_stuck_worker_is_replaced_in_another_zone() {
    let stuck = unscheduled_for("s1", Capacity::Spot, 80);
    let plan = decide(&pool(), &seen(vec![waiting("relaxed", 1, 500)], vec![], vec![stuck]));
    assert_eq!(retired(&plan), ["s1"]);
    assert!(
        plan.actions.iter().any(
            |d| matches!(&d.action, Action::Start { zone: Some(zone), n: 1, .. } if zone.as_str() == "b")
        )
    );
    assert_eq!(short(&plan), [(Capacity::Spot, "a", Lack::Machines)]);
    assert_eq!(plan.memory.short[&Capacity::Spot]["a"].until, NOW.plus(secs(120)));
}

#[test]
fn shortages_that_repeat_are_remembered_longer() {
    let mut memory = Memory::default();
    let (mut at, mut single_zone) = (NOW, pool());
    single_zone.spot = Some(fleet(0, 20, 900_000, &["a"]));
    let mut stuck = unscheduled_for("s1", Capacity::Spot, 80);
    let world = seen(vec![waiting("relaxed", 1, 100_000)], vec![], vec![stuck.clone()]);
    let mut spans = Vec::new();
    for _ in 0..6 {
        memory = plan(at, &single_zone, &world, &memory).memory;
        let until = memory.short[&Capacity::Spot]["a"].until;
        spans.push(until.since(at).as_secs());
        at = until;
    }
    assert_eq!(spans, [120, 240, 480, 960, 1920, 1920]);
    stuck.phase = Phase::Starting { scheduled: at };
    let found = seen(vec![], vec![], vec![stuck]);
    assert!(plan(at, &single_zone, &found, &memory).memory.short.is_empty(), "a machine ends it");
}

#[test]
fn in_a_pool_that_names_no_zones_a_machine_anywhere_ends_the_shortage() {
    let mut anywhere = pool();
    anywhere.spot = Some(fleet(0, 20, 900_000, &[]));
    let mut stuck = unscheduled_for("s1", Capacity::Spot, 80);
    stuck.zone = None;
    let first = plan(NOW, &anywhere, &seen(vec![], vec![], vec![stuck.clone()]), &Memory::default());
    assert_eq!(short(&first), [(Capacity::Spot, "", Lack::Machines)]);
    let at = NOW.plus(secs(10));
    (stuck.phase, stuck.zone) = (Phase::Starting { scheduled: at }, Some("eu-1a".into()));
    assert!(plan(at, &anywhere, &seen(vec![], vec![], vec![stuck]), &first.memory).memory.short.is_empty());
}

#[test]
fn a_refusal_by_the_autoscaler_counts_at_once() {
    let mut refused = unscheduled_for("s1", Capacity::Spot, 1);
    refused.phase = Phase::Unscheduled { machine: Machine::Refused };
    refused.no_machine = Some("NodePool spot: InsufficientCapacity".into());
    let plan = decide(&pool(), &seen(vec![waiting("relaxed", 1, 500)], vec![], vec![refused.clone()]));
    assert_eq!(retired(&plan), ["s1"]);
    assert_eq!(short(&plan), [(Capacity::Spot, "a", Lack::Machines)]);
    assert!(plan.actions.iter().any(|d| d.why.to_string().contains("NodePool spot: InsufficientCapacity")));
    let single_zone = Policy { spot: Some(fleet(0, 20, 900_000, &["a"])), ..pool() };
    let nowhere = decide(&single_zone, &seen(vec![waiting("standard", 1, 290)], vec![], vec![refused]));
    assert_eq!(started(&nowhere, Capacity::OnDemand), 1);
    assert_eq!(
        nowhere.report.state.to_string(),
        "no spot machines are available, so on-demand workers stand in: NodePool spot: InsufficientCapacity"
    );
}

#[test]
fn a_machine_that_was_bought_is_on_its_way() {
    let launched = |s: u64| {
        let mut worker = unscheduled_for("s1", Capacity::Spot, s);
        worker.phase = Phase::Unscheduled { machine: Machine::Launched { at: worker.created.plus(secs(1)) } };
        decide(&pool(), &seen(vec![waiting("standard", 1, 300)], vec![], vec![worker]))
    };
    for s in [90, 300, 590] {
        let plan = launched(s);
        assert_eq!(short(&plan), [], "{s} s");
        assert_eq!(retired(&plan), [""; 0]);
        assert_eq!(started(&plan, Capacity::Spot), 0, "no second machine");
    }
    assert_eq!(started(&launched(90), Capacity::OnDemand), 0);
    // A machine that never joins the cluster.
    assert_eq!(short(&launched(610)), [(Capacity::Spot, "a", Lack::Joining)]);
    assert_eq!(retired(&launched(610)), ["s1"]);
}

#[test]
fn where_new_machines_take_long_waiting_long_is_no_shortage() {
    let mut memory = Memory::default();
    memory.estimates.observe(&Sample::Placed { capacity: Capacity::Spot, took: secs(480) });
    memory.estimates.observe(&Sample::Started { capacity: Capacity::Spot, took: secs(560) });
    let at = |s, memory: &Memory| {
        let waits = unscheduled_for("s1", Capacity::Spot, s);
        plan(NOW, &pool(), &seen(vec![waiting("standard", 1, 1000)], vec![], vec![waits]), memory)
    };
    assert_eq!(short(&at(400, &memory)), []);
    assert_eq!(started(&at(400, &memory), Capacity::OnDemand), 0);
    assert_eq!(short(&at(721, &memory)), [(Capacity::Spot, "a", Lack::Machines)]);
    assert_eq!(
        short(&at(76, &Memory::default())),
        [(Capacity::Spot, "a", Lack::Machines)],
        "not learned yet"
    );
}

#[test]
fn on_demand_is_not_infinite() {
    let mut policy = pool();
    policy.on_demand = Some(fleet(0, 4, 3_060_000, &["a", "b"]));
    let stuck = unscheduled_for("o1", Capacity::OnDemand, 80);
    let work = seen(vec![waiting("immediate", 1, 30)], vec![], vec![stuck.clone()]);
    let plan = decide(&policy, &work);
    assert_eq!(retired(&plan), ["o1"]);
    assert_eq!(short(&plan), [(Capacity::OnDemand, "a", Lack::Machines)]);
    assert!(
        plan.actions.iter().any(|d| matches!(&d.action, Action::Start { zone: Some(z), .. } if z == "b"))
    );
    policy.on_demand = Some(fleet(0, 4, 3_060_000, &[]));
    let nowhere = decide(&policy, &work);
    assert_eq!(nowhere.report.state, State::OnDemandShortage { lack: Lack::Machines, message: None });
    assert_eq!(nowhere.report.late[0].done, None, "the forecast tells the truth");
    assert!(!nowhere.report.ready);
    assert_eq!(retired(&nowhere), [""; 0], "it waits: that costs nothing");
}

#[test]
fn when_both_capacities_are_short_both_messages_are_reported() {
    let waits = |id: &str, capacity| {
        let mut worker = unscheduled_for(id, capacity, 80);
        worker.no_machine =
            Some(format!("all available instance types exceed limits for nodepool {capacity}"));
        worker
    };
    let mut policy = pool();
    policy.spot = Some(fleet(0, 20, 900_000, &[]));
    let workers = vec![waits("s1", Capacity::Spot), waits("o1", Capacity::OnDemand)];
    let plan = decide(&policy, &seen(vec![waiting("standard", 2, 200)], vec![], workers));
    assert_eq!(
        plan.report.state.to_string(),
        "no spot machines are available, and on-demand workers wait for machines too: \
         all available instance types exceed limits for nodepool spot; \
         all available instance types exceed limits for nodepool on-demand"
    );
    assert!(!plan.report.ready);
}
