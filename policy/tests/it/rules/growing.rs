//! Rules for when and where workers are started.
use std::collections::BTreeMap;

use policy::{
    Action, Backlog, Capacity, Decision, Estimates, Fleet, Health, Memory, Order, Phase, Plan, Sample, State,
    WorkerId, plan,
};

use crate::{
    fixtures::{
        NOW, decide, done, fleet, idle_for, pool, retired, running, seen, started, unscheduled_for, waiting,
        worker,
    },
    world::secs,
};

#[test]
fn as_many_workers_as_the_due_times_ask_for_and_no_more() {
    // After 120 s of start-up and 10 s to load the model, one worker makes several images within five minutes.
    let few = decide(&pool(), &seen(vec![waiting("standard", 2, 300)], vec![], vec![]));
    assert_eq!(started(&few, Capacity::Spot), 1);
    let many = decide(&pool(), &seen(vec![waiting("standard", 100, 300)], vec![], vec![]));
    let relaxed = decide(&pool(), &seen(vec![waiting("relaxed", 100, 600)], vec![], vec![]));
    assert!(started(&many, Capacity::Spot) > started(&relaxed, Capacity::Spot));
    assert!(started(&relaxed, Capacity::Spot) > 1);
    assert_eq!(started(&many, Capacity::OnDemand), 0, "spot first");
}

#[test]
fn the_plan_expects_work_that_overtakes_long_promises() {
    let pair = ["w1", "w2"].map(|id| worker(id, Capacity::Spot, idle_for(0)));
    let relaxed = seen(vec![waiting("relaxed", 80, 540)], vec![], pair.to_vec());
    assert_eq!(started(&decide(&pool(), &relaxed), Capacity::Spot), 0, "two are done with it in good time");
    // Now each second brings three seconds of work that is due earlier.
    let inflow = BTreeMap::from([("standard".to_owned(), 3.0)]);
    let memory = Memory { inflow, inflow_at: Some(NOW), ..Memory::default() };
    assert!(started(&plan(NOW, &pool(), &relaxed, &memory), Capacity::Spot) > 0);
    // Tasks that no other class overtakes need no more workers.
    let standard = seen(vec![waiting("standard", 8, 300)], vec![], pair.to_vec());
    assert_eq!(started(&plan(NOW, &pool(), &standard, &memory), Capacity::Spot), 0);
}

#[test]
fn cheap_zones_and_those_of_about_the_same_price_are_chosen_first() {
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
    // If the cheap zones lost a machine lately, the expensive zone is better.
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
fn workers_that_are_coming_up_count() {
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
fn a_held_on_demand_worker_is_resumed_before_another_is_started() {
    let mut held = worker("o1", Capacity::OnDemand, Phase::Busy);
    held.order = Order::Hold;
    let work = vec![waiting("immediate", 1, 30)];
    let plan = decide(&pool(), &seen(work, vec![running("o1", "standard")], vec![held]));
    assert_eq!(done(&plan), [("resume", "NeededAgain")]);
}

#[test]
fn every_capacity_serves_what_it_may() {
    assert_eq!(pool().serves(Capacity::Spot), ["standard", "relaxed"]);
    assert_eq!(pool().serves(Capacity::OnDemand), ["immediate", "standard", "relaxed"]);
}

#[test]
fn no_spot_worker_takes_over_while_a_worker_idles() {
    // The end of a job: the last pictures are made on demand, no task waits, and spot idles.
    let memory = Memory {
        inflow: BTreeMap::from([("standard".to_owned(), 6.0)]),
        inflow_at: Some(NOW),
        ..Memory::default()
    };
    let busy = || ["o1", "o2", "o3"].map(|id| worker(id, Capacity::OnDemand, Phase::Busy)).to_vec();
    let leases = || ["o1", "o2", "o3"].map(|id| running(id, "standard")).to_vec();
    let with = |idle| plan(NOW, &pool(), &seen(vec![], leases(), [busy(), vec![idle]].concat()), &memory);
    assert_eq!(started(&with(worker("s1", Capacity::Spot, idle_for(3))), Capacity::Spot), 0);
    assert_eq!(started(&with(worker("o4", Capacity::OnDemand, idle_for(3))), Capacity::Spot), 0);
    let all_busy = plan(NOW, &pool(), &seen(vec![], leases(), busy()), &memory);
    assert!(started(&all_busy, Capacity::Spot) > 0, "work arrives, and spot is to do it");
    let nothing_arrives = plan(NOW, &pool(), &seen(vec![], leases(), busy()), &Memory::default());
    assert_eq!(started(&nothing_arrives, Capacity::Spot), 0, "they will be through before spot is up");
}

#[test]
fn a_slow_first_picture_corrects_the_estimate_before_it_is_done() {
    let mut first = running("w1", "standard");
    let others = |s: u64| {
        let mut first = first.clone();
        first.started = NOW.minus(secs(s));
        let workers = vec![worker("w1", Capacity::Spot, Phase::Busy)];
        let work = seen(vec![waiting("standard", 9, 300 - s)], vec![first], workers);
        started(&decide(&pool(), &work), Capacity::Spot)
    };
    assert_eq!(others(5), 0, "8 s are guessed");
    assert!(others(45) >= 2, "{}", others(45));
    // A tenth of its steps shows the same.
    first.progress = Some((3, 30));
    first.started = NOW.minus(secs(25));
    let workers = vec![worker("w1", Capacity::Spot, Phase::Busy)];
    let work = seen(vec![waiting("standard", 9, 275)], vec![first], workers);
    assert!(started(&decide(&pool(), &work), Capacity::Spot) >= 4);
}

#[test]
fn kinds_of_work_are_planned_by_their_own_pace() {
    let mut estimates = Estimates::default();
    let sample = |work: &str, units, s| {
        let (work, model) = (work.to_owned(), "sd15".to_owned());
        Sample::Task { work, model, units, took: secs(s) }
    };
    for _ in 0..10 {
        estimates.observe(&sample("image/sd15", 20.0, 3));
        estimates.observe(&sample("workflow/sd15/ab12", 1.0, 60));
    }
    let memory = Memory { estimates, ..Memory::default() };
    let workers = |work: &str, units| {
        let backlog = Backlog { work: work.into(), units: 20.0 * units, ..waiting("relaxed", 20, 500) };
        started(&plan(NOW, &pool(), &seen(vec![backlog], vec![], vec![]), &memory), Capacity::Spot)
    };
    assert_eq!(workers("image/sd15", 20.0), 1);
    assert!(workers("workflow/sd15/ab12", 1.0) >= 5);
}

#[test]
fn a_worker_is_not_started_twice_for_work_that_another_idle_one_takes() {
    let idle = worker("s1", Capacity::Spot, idle_for(1));
    let coming = unscheduled_for("s2", Capacity::Spot, 3);
    let work = seen(vec![waiting("standard", 1, 299)], vec![], vec![idle, coming]);
    let plan = decide(&pool(), &work);
    assert_eq!(started(&plan, Capacity::Spot), 0);
    assert_eq!(retired(&plan), ["s2"], "its work is taken before it comes up");
}
