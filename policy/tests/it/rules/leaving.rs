//! Rules for which workers are removed, and which signs are passed on.
use std::collections::BTreeMap;

use policy::{
    Action, Capacity, Decision, Health, HoldReason, Memory, Order, Phase, Seen, State, Worker, plan,
};

use crate::{
    fixtures::{
        NOW, UNSCHEDULED, decide, done, fleet, idle_for, pool, retired, running, seen, unscheduled_for,
        waiting, worker,
    },
    world::secs,
};

#[test]
fn idle_workers_go_down_to_the_minimum_the_ones_on_empty_nodes_first() {
    let mut policy = pool();
    policy.spot = Some(fleet(1, 20, 900_000, &["a", "b"]));
    let mut workers: Vec<Worker> =
        ["w1", "w2", "w3"].iter().map(|id| worker(id, Capacity::Spot, idle_for(61))).collect();
    workers[0].node = Some("shared".into());
    workers[1].node = Some("shared".into());
    let plan = decide(&policy, &seen(vec![], vec![], workers));
    assert_eq!(retired(&plan), ["w3", "w1"]);
}

#[test]
fn an_unreadable_queue_changes_nothing_but_signs_are_passed_on() {
    let mut doomed = worker("w1", Capacity::Spot, Phase::Busy);
    doomed.health = Health::Doomed { deadline: NOW.plus(secs(120)) };
    let workers = vec![doomed, worker("w2", Capacity::Spot, idle_for(3600))];
    let plan = decide(&pool(), &Seen { queue: None, workers, ..Seen::default() });
    assert_eq!(plan.actions.len(), 1);
    assert!(matches!(plan.actions[0].action, Action::Doom { .. }));
    assert_eq!(plan.report.state, State::QueueUnknown);
}

#[test]
fn signs_are_passed_on_once() {
    let with = |health, order| {
        let mut worker = worker("w1", Capacity::Spot, Phase::Busy);
        (worker.health, worker.order) = (health, order);
        let plan = decide(&pool(), &seen(vec![], vec![running("w1", "standard")], vec![worker]));
        let sign = |d: &&Decision| !matches!(d.action, Action::Start { .. });
        plan.actions.iter().find(sign).map(|d| (d.action.label(), d.why.reason()))
    };
    let doomed = Health::Doomed { deadline: NOW.plus(secs(30)) };
    assert_eq!(with(doomed, Order::Work), Some(("doom", "NodeDoomed")));
    assert_eq!(with(doomed, Order::Doomed), None);
    assert_eq!(with(Health::AtRisk, Order::Work), Some(("hold", "AtRisk")));
    assert_eq!(with(Health::AtRisk, Order::Hold), None);
    assert_eq!(with(Health::Healthy, Order::Hold), Some(("resume", "RiskPassed")));
    assert_eq!(with(Health::Gone, Order::Doomed), Some(("evict", "NodeGone")));
    assert_eq!(with(Health::Gone, Order::Evicted), None);
}

#[test]
fn on_demand_goes_when_spot_carries_the_work() {
    let workers = vec![
        worker("o1", Capacity::OnDemand, Phase::Busy),
        worker("s1", Capacity::Spot, Phase::Busy),
        worker("s2", Capacity::Spot, Phase::Busy),
    ];
    let leases = ["o1", "s1", "s2"].map(|id| running(id, "standard")).to_vec();
    let plan = decide(&pool(), &seen(vec![waiting("standard", 4, 250)], leases, workers));
    assert_eq!(done(&plan), [("hold", "SpotIsBack")]);
}

#[test]
fn on_demand_that_what_arrives_may_keep_busy_goes_once_it_is_idle_for_long() {
    let memory = Memory {
        inflow: BTreeMap::from([("standard".to_owned(), 3.0)]),
        inflow_at: Some(NOW),
        ..Memory::default()
    };
    let goes = |phase| {
        let seen = seen(vec![], vec![], vec![worker("od", Capacity::OnDemand, phase)]);
        !retired(&plan(NOW, &pool(), &seen, &memory)).is_empty()
    };
    assert!(!goes(idle_for(5)), "between two jobs");
    assert!(goes(idle_for(60)), "after a burst that nothing follows");
    assert!(goes(UNSCHEDULED), "no machine is bought for work that is only expected");
}

#[test]
fn a_suspended_pool_keeps_only_workers_that_finish_a_task() {
    let mut policy = pool();
    policy.suspended = true;
    policy.spot = Some(fleet(2, 20, 900_000, &["a", "b"]));
    let workers = vec![
        unscheduled_for("unscheduled", Capacity::Spot, 10),
        worker("starting", Capacity::OnDemand, Phase::Starting { scheduled: NOW.minus(secs(30)) }),
        worker("idle", Capacity::Spot, idle_for(61)),
        worker("just-idle", Capacity::Spot, idle_for(2)),
        worker("busy", Capacity::Spot, Phase::Busy),
    ];
    let work = vec![waiting("standard", 40, 200), waiting("immediate", 2, 20)];
    let plan = decide(&policy, &seen(work, vec![running("busy", "standard")], workers));
    assert_eq!(retired(&plan), ["starting", "unscheduled", "idle"]);
    assert_eq!(plan.actions.len(), 3, "nothing is started");
    assert_eq!(plan.report.state, State::Suspended);
    assert!(plan.forecast.buckets().iter().all(|eta| eta.done.is_none()), "nothing is begun");
}

#[test]
fn a_worker_whose_node_may_go_comes_back_and_one_that_is_not_needed_does_not() {
    let mut held = worker("w1", Capacity::OnDemand, Phase::Busy);
    held.order = Order::Hold;
    let work = || vec![running("w1", "standard")];
    let why = |reason, health| {
        let worker = Worker { health, ..held.clone() };
        let memory = Memory { held: [(held.id.clone(), reason)].into(), ..Memory::default() };
        done(&plan(NOW, &pool(), &seen(vec![], work(), vec![worker]), &memory))
    };
    assert_eq!(why(HoldReason::AtRisk, Health::AtRisk), []);
    assert_eq!(why(HoldReason::AtRisk, Health::Healthy), [("resume", "RiskPassed")]);
    assert_eq!(why(HoldReason::NotNeeded, Health::Healthy), []);
}

#[test]
fn a_doomed_worker_that_holds_nothing_goes_before_its_replacement_comes() {
    let doomed = Health::Doomed { deadline: NOW.plus(secs(120)) };
    let workers = ["w1", "w2"].map(|id| Worker { health: doomed, ..worker(id, Capacity::Spot, idle_for(3)) });
    let mut workers = workers.to_vec();
    workers[1].phase = Phase::Busy;
    let policy = policy::Policy { spot: Some(fleet(2, 20, 900_000, &["a", "b"])), ..pool() };
    let plan = decide(&policy, &seen(vec![], vec![running("w2", "standard")], workers));
    let expected = [("retire", "NodeDoomed"), ("doom", "NodeDoomed"), ("start", "Minimum")];
    assert_eq!(done(&plan)[..3], expected);
}

#[test]
fn workers_without_a_machine_are_removed_first() {
    let workers = vec![
        worker("warm", Capacity::OnDemand, Phase::Busy),
        unscheduled_for("cold", Capacity::OnDemand, 20),
        worker("s1", Capacity::Spot, Phase::Busy),
        worker("s2", Capacity::Spot, Phase::Busy),
    ];
    let leases = ["warm", "s1", "s2"].map(|id| running(id, "standard")).to_vec();
    let plan = decide(&pool(), &seen(vec![waiting("standard", 4, 250)], leases, workers));
    assert_eq!(done(&plan), [("retire", "SpotIsBack"), ("hold", "SpotIsBack")]);
    assert_eq!(retired(&plan), ["cold"]);
}

#[test]
fn spot_without_a_machine_carries_no_work() {
    let workers = vec![
        worker("o1", Capacity::OnDemand, Phase::Busy),
        unscheduled_for("s1", Capacity::Spot, 5),
        unscheduled_for("s2", Capacity::Spot, 5),
    ];
    let work = seen(vec![waiting("standard", 20, 280)], vec![running("o1", "standard")], workers);
    assert!(!done(&decide(&pool(), &work)).iter().any(|(action, _)| *action == "hold"));
}

#[test]
fn no_worker_is_held_soon_after_on_demand_was_needed() {
    let workers = vec![
        worker("o1", Capacity::OnDemand, Phase::Busy),
        worker("s1", Capacity::Spot, Phase::Busy),
        worker("s2", Capacity::Spot, Phase::Busy),
    ];
    let leases = ["o1", "s1", "s2"].map(|id| running(id, "standard")).to_vec();
    let seen = seen(vec![waiting("standard", 4, 250)], leases, workers);
    let at = |s| {
        let memory = Memory { on_demand_wanted: Some(NOW.minus(secs(s))), ..Memory::default() };
        plan(NOW, &pool(), &seen, &memory)
    };
    assert_eq!(done(&at(20)), []);
    assert_eq!(done(&at(60)), [("hold", "SpotIsBack")]);
}
