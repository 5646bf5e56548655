//! One rule, one test.
use std::collections::BTreeMap;

use policy::{
    Action, Backlog, Capacity, CapacityRule, Class, Decision, Fleet, Health, Memory, Order, Phase, Plan,
    Policy, Queue, Running, Scaling, Seen, State, Time, Why, Worker, WorkerId, plan,
};

use crate::world::{UNITS, secs};

pub(crate) const NOW: Time = Time::from_millis(10_000_000);

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
        paused: false,
    }
}

pub(crate) fn waiting(class: &str, tasks: u64, due_in: u64) -> Backlog {
    let units = tasks as f64 * UNITS;
    Backlog { class: class.into(), model: "sd15".into(), due: NOW.plus(secs(due_in)), tasks, units }
}

pub(crate) fn worker(id: &str, capacity: Capacity, phase: Phase) -> Worker {
    Worker {
        id: WorkerId(id.into()),
        capacity,
        zone: Some("a".into()),
        node: Some(format!("node-{id}")),
        model: Some("sd15".into()),
        created: NOW.minus(secs(600)),
        phase,
        health: Health::Well,
        order: Order::Work,
    }
}

pub(crate) fn idle_for(s: u64) -> Phase {
    Phase::Idle { since: NOW.minus(secs(s)) }
}

pub(crate) fn running(worker: &str, class: &str) -> Running {
    Running {
        worker: WorkerId(worker.into()),
        class: class.into(),
        model: "sd15".into(),
        units: UNITS,
        due: NOW.plus(secs(100)),
        started: NOW.minus(secs(2)),
        attempt: 1,
        progress: None,
    }
}

fn seen(backlog: Vec<Backlog>, running: Vec<Running>, workers: Vec<Worker>) -> Seen {
    Seen { queue: Some(Queue { backlog, running }), workers }
}

fn decide(policy: &Policy, seen: &Seen) -> Plan {
    plan(NOW, policy, seen, &Memory::default())
}

pub(crate) fn started(plan: &Plan, of: Capacity) -> u32 {
    let n = |d: &Decision| match d.action {
        Action::Start { capacity, n, .. } if capacity == of => n,
        _ => 0,
    };
    plan.actions.iter().map(n).sum()
}

fn retired(plan: &Plan) -> Vec<&str> {
    let actions = plan.actions.iter().map(|d| &d.action);
    actions
        .filter_map(|action| match action {
            Action::Retire { worker } => Some(worker.0.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn as_many_workers_as_the_due_times_ask_for_and_no_more() {
    // 120 s of start-up, 10 s of load: one image each fits three times into what is left of five minutes.
    let few = decide(&pool(), &seen(vec![waiting("standard", 2, 300)], vec![], vec![]));
    assert_eq!(started(&few, Capacity::Spot), 1);
    let many = decide(&pool(), &seen(vec![waiting("standard", 100, 300)], vec![], vec![]));
    let relaxed = decide(&pool(), &seen(vec![waiting("relaxed", 100, 600)], vec![], vec![]));
    assert!(started(&many, Capacity::Spot) > started(&relaxed, Capacity::Spot));
    assert!(started(&relaxed, Capacity::Spot) > 1);
    assert_eq!(started(&many, Capacity::OnDemand), 0, "spot first");
}

#[test]
fn long_promises_count_on_being_overtaken() {
    let pair = ["w1", "w2"].map(|id| worker(id, Capacity::Spot, idle_for(0)));
    let relaxed = seen(vec![waiting("relaxed", 80, 540)], vec![], pair.to_vec());
    assert_eq!(started(&decide(&pool(), &relaxed), Capacity::Spot), 0, "two are done with it in good time");
    // Unless each second brings three seconds of work that is due before it.
    let inflow = BTreeMap::from([("standard".to_owned(), 3.0)]);
    let memory = Memory { inflow, inflow_at: Some(NOW), ..Memory::default() };
    assert!(started(&plan(NOW, &pool(), &relaxed, &memory), Capacity::Spot) > 0);
    // What is overtaken by nothing needs no more.
    let standard = seen(vec![waiting("standard", 8, 300)], vec![], pair.to_vec());
    assert_eq!(started(&plan(NOW, &pool(), &standard, &memory), Capacity::Spot), 0);
}

#[test]
fn cheap_zones_come_first_and_those_that_cost_hardly_more() {
    let mut policy = pool();
    let prices = [("a", 1_200_000), ("b", 900_000), ("c", 930_000)];
    let zone_prices = prices.map(|(zone, price)| (zone.to_owned(), price)).into();
    policy.spot = Some(Fleet { zone_prices, ..fleet(0, 20, 900_000, &["a", "b", "c"]) });
    let zones = |plan: &Plan| -> Vec<(String, u32)> {
        let start = |d: &Decision| match &d.action {
            Action::Start { zone, n, .. } => Some((zone.clone()?, *n)),
            _ => None,
        };
        plan.actions.iter().filter_map(start).collect()
    };
    let work = seen(vec![waiting("standard", 45, 300)], vec![], vec![]);
    let chosen = zones(&decide(&policy, &work));
    assert_eq!(chosen.iter().map(|(zone, _)| zone.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert!(chosen[0].1.abs_diff(chosen[1].1) <= 1, "{chosen:?}");
    // Where the cheap ones lost a machine lately, the dear one is better than none.
    let losses = [("b", NOW), ("c", NOW)].map(|(zone, at)| (zone.to_owned(), at)).into();
    let after_losses = plan(NOW, &policy, &work, &Memory { losses, ..Memory::default() });
    assert_eq!(zones(&after_losses)[0].0, "a");
}

#[test]
fn new_workers_spread_over_zones_and_warm_the_models_that_wait() {
    let mut other = waiting("standard", 50, 300);
    other.model = "sdxl".into();
    let plan = decide(&pool(), &seen(vec![waiting("standard", 50, 300), other], vec![], vec![]));
    let count = |want: &dyn Fn(&Option<String>, &Option<String>) -> bool| -> u32 {
        let n = |d: &Decision| match &d.action {
            Action::Start { zone, model, n, .. } if want(zone, model) => *n,
            _ => 0,
        };
        plan.actions.iter().map(n).sum()
    };
    let (a, b) =
        (count(&|zone, _| zone.as_deref() == Some("a")), count(&|zone, _| zone.as_deref() == Some("b")));
    assert!(a.abs_diff(b) <= 1, "{a} in a, {b} in b");
    let (one, two) =
        (count(&|_, m| m.as_deref() == Some("sd15")), count(&|_, m| m.as_deref() == Some("sdxl")));
    assert!(one.abs_diff(two) <= 1, "{one} with sd15, {two} with sdxl");
}

#[test]
fn a_zone_that_lost_workers_is_avoided() {
    let mut dead = worker("w1", Capacity::Spot, Phase::Busy);
    dead.health = Health::Gone;
    let plan = decide(&pool(), &seen(vec![], vec![running("w1", "standard")], vec![dead]));
    assert_eq!(plan.actions[0].action, Action::Evict { worker: WorkerId("w1".into()) });
    assert!(matches!(&plan.actions[1].action, Action::Start { zone: Some(zone), n: 1, .. } if zone == "b"));
}

#[test]
fn what_comes_up_counts() {
    let coming = worker("w1", Capacity::Spot, Phase::Starting { scheduled: NOW.minus(secs(10)) });
    let plan = decide(&pool(), &seen(vec![waiting("relaxed", 5, 500)], vec![], vec![coming]));
    assert_eq!(plan.actions, []);
    assert_eq!(plan.report.state, State::Growing);
}

#[test]
fn immediate_work_gets_on_demand_at_once_unless_one_is_free_soon() {
    let work = || vec![waiting("immediate", 1, 30)];
    assert_eq!(started(&decide(&pool(), &seen(work(), vec![], vec![])), Capacity::OnDemand), 1);
    let spot = worker("s1", Capacity::Spot, idle_for(1));
    assert_eq!(started(&decide(&pool(), &seen(work(), vec![], vec![spot])), Capacity::OnDemand), 1);
    let idle = worker("o1", Capacity::OnDemand, idle_for(1));
    assert_eq!(decide(&pool(), &seen(work(), vec![], vec![idle])).actions, []);
    let busy = worker("o1", Capacity::OnDemand, Phase::Busy);
    let plan = decide(&pool(), &seen(work(), vec![running("o1", "immediate")], vec![busy]));
    assert_eq!(plan.actions, [], "it is free in six seconds");
}

#[test]
fn standard_work_waits_for_spot_while_there_is_hope_and_slack() {
    let mut stuck = worker("s1", Capacity::Spot, Phase::Unscheduled);
    stuck.created = NOW.minus(secs(100));
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
    assert_eq!(without_hope.report.state, State::FallenBack);
    let relaxed = at(165, &single_zone, "relaxed");
    assert_eq!(started(&relaxed, Capacity::OnDemand), 0, "relaxed never does");
    assert_eq!(relaxed.report.state, State::SpotShortage);
}

#[test]
fn a_stuck_worker_is_replaced_in_another_zone() {
    let mut stuck = worker("s1", Capacity::Spot, Phase::Unscheduled);
    stuck.created = NOW.minus(secs(80));
    let plan = decide(&pool(), &seen(vec![waiting("relaxed", 1, 500)], vec![], vec![stuck]));
    assert_eq!(retired(&plan), ["s1"]);
    assert!(
        plan.actions.iter().any(
            |d| matches!(&d.action, Action::Start { zone: Some(zone), n: 1, .. } if zone.as_str() == "b")
        )
    );
    assert_eq!(plan.report.short_zones, ["a"]);
    assert_eq!(plan.memory.shortages["a"].until, NOW.plus(secs(120)));
}

#[test]
fn shortages_that_repeat_are_remembered_longer() {
    let mut memory = Memory::default();
    let (mut at, mut single_zone) = (NOW, pool());
    single_zone.spot = Some(fleet(0, 20, 900_000, &["a"]));
    let mut stuck = worker("s1", Capacity::Spot, Phase::Unscheduled);
    stuck.created = NOW.minus(secs(80));
    let world = seen(vec![waiting("relaxed", 1, 100_000)], vec![], vec![stuck.clone()]);
    let mut spans = Vec::new();
    for _ in 0..6 {
        memory = plan(at, &single_zone, &world, &memory).memory;
        let until = memory.shortages["a"].until;
        spans.push(until.since(at).as_secs());
        at = until;
    }
    assert_eq!(spans, [120, 240, 480, 960, 1920, 1920]);
    stuck.phase = Phase::Starting { scheduled: at };
    let found = seen(vec![], vec![], vec![stuck]);
    assert!(plan(at, &single_zone, &found, &memory).memory.shortages.is_empty(), "a machine ends it");
}

#[test]
fn in_a_pool_that_names_no_zones_a_machine_anywhere_ends_the_shortage() {
    let mut anywhere = pool();
    anywhere.spot = Some(fleet(0, 20, 900_000, &[]));
    let mut stuck = worker("s1", Capacity::Spot, Phase::Unscheduled);
    (stuck.created, stuck.zone, stuck.node) = (NOW.minus(secs(80)), None, None);
    let short = plan(NOW, &anywhere, &seen(vec![], vec![], vec![stuck.clone()]), &Memory::default());
    assert_eq!(short.report.short_zones, [""]);
    let at = NOW.plus(secs(10));
    (stuck.phase, stuck.zone) = (Phase::Starting { scheduled: at }, Some("eu-1a".into()));
    assert!(
        plan(at, &anywhere, &seen(vec![], vec![], vec![stuck]), &short.memory).memory.shortages.is_empty()
    );
}

#[test]
fn only_workers_with_a_machine_cost() {
    let workers = vec![
        worker("s1", Capacity::Spot, Phase::Busy),
        worker("s2", Capacity::Spot, Phase::Unscheduled),
        worker("d1", Capacity::OnDemand, idle_for(1)),
    ];
    let report = decide(&pool(), &seen(vec![], vec![], workers)).report;
    assert_eq!(report.cost_per_hour_micros, 900_000 + 3_060_000);
    assert_eq!(report.on_demand_cost_per_hour_micros, 2 * 3_060_000);
}

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
fn an_unreadable_queue_changes_nothing_but_signals_are_heeded() {
    let mut doomed = worker("w1", Capacity::Spot, Phase::Busy);
    doomed.health = Health::Doomed { deadline: NOW.plus(secs(120)) };
    let workers = vec![doomed, worker("w2", Capacity::Spot, idle_for(3600))];
    let plan = decide(&pool(), &Seen { queue: None, workers });
    assert_eq!(plan.actions.len(), 1);
    assert!(matches!(plan.actions[0].action, Action::Doom { .. }));
    assert_eq!(plan.report.state, State::QueueUnknown);
}

#[test]
fn signals_are_passed_on_once() {
    let with = |health, order| {
        let mut worker = worker("w1", Capacity::Spot, Phase::Busy);
        (worker.health, worker.order) = (health, order);
        let plan = decide(&pool(), &seen(vec![], vec![running("w1", "standard")], vec![worker]));
        let told = |d: &&Decision| !matches!(d.action, Action::Start { .. });
        plan.actions.iter().find(told).map(|d| (d.action.label(), d.why.reason()))
    };
    let doomed = Health::Doomed { deadline: NOW.plus(secs(30)) };
    assert_eq!(with(doomed, Order::Work), Some(("doom", "NodeDoomed")));
    assert_eq!(with(doomed, Order::Doomed), None);
    assert_eq!(with(Health::AtRisk, Order::Work), Some(("hold", "AtRisk")));
    assert_eq!(with(Health::AtRisk, Order::Hold), None);
    assert_eq!(with(Health::Well, Order::Hold), Some(("resume", "RiskPassed")));
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
    let hold = Action::Hold { worker: WorkerId("o1".into()) };
    assert_eq!(plan.actions, [Decision { action: hold, why: Why::SpotIsBack }]);
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
    assert!(goes(Phase::Unscheduled), "no machine is bought for work that is only expected");
}

#[test]
fn a_held_on_demand_worker_is_resumed_before_another_is_started() {
    let mut held = worker("o1", Capacity::OnDemand, Phase::Busy);
    held.order = Order::Hold;
    let work = vec![waiting("immediate", 1, 30)];
    let plan = decide(&pool(), &seen(work, vec![running("o1", "standard")], vec![held]));
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(plan.actions[0].why, Why::NeededAgain);
}

#[test]
fn those_that_will_be_late_are_told_at_once() {
    let plan = decide(&pool(), &seen(vec![waiting("immediate", 1, 30)], vec![], vec![]));
    let late = &plan.report.late[0];
    assert_eq!((late.class.as_str(), late.tasks), ("immediate", 1));
    assert_eq!(late.message(NOW), "1 image of class immediate will be late: due in 30s, done in 2m18s");
    let mut no_on_demand = pool();
    no_on_demand.on_demand = None;
    let plan = decide(&no_on_demand, &seen(vec![waiting("immediate", 1, 30)], vec![], vec![]));
    assert_eq!(plan.actions, []);
    assert_eq!(plan.report.late[0].done, None, "nothing may run it");
}

#[test]
fn the_forecast_counts_whole_images_on_the_workers_there_are() {
    let workers = vec![worker("s1", Capacity::Spot, Phase::Busy), worker("s2", Capacity::Spot, idle_for(1))];
    let seen = seen(vec![waiting("standard", 3, 290)], vec![running("s1", "standard")], workers);
    let forecast = decide(&pool(), &seen).forecast;
    // s2 is free now, s1 in six seconds; 8 s an image: 8, 14, 16.
    let done = forecast.job_done("standard", "sd15", NOW.plus(secs(290))).expect("a worker");
    assert!(done.since(NOW).abs_diff(secs(16)) < secs(1) / 10, "{:?}", done.since(NOW));
}

#[test]
fn every_capacity_serves_what_it_may() {
    assert_eq!(pool().serves(Capacity::Spot), ["standard", "relaxed"]);
    assert_eq!(pool().serves(Capacity::OnDemand), ["immediate", "standard", "relaxed"]);
}

#[test]
fn memory_survives_a_new_leader() {
    let mut stuck = worker("s1", Capacity::Spot, Phase::Unscheduled);
    stuck.created = NOW.minus(secs(80));
    let memory = decide(&pool(), &seen(vec![waiting("relaxed", 1, 500)], vec![], vec![stuck])).memory;
    let text = serde_json::to_string(&memory).expect("memory is plain data");
    assert_eq!(serde_json::from_str::<Memory>(&text).expect("what was written"), memory);
    assert_eq!(serde_json::from_str::<Memory>("{}").expect("nothing yet"), Memory::default());
}
