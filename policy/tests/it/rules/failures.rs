//! Rules for workers that do not come up or break.
use policy::{
    Capacity, Fault, Lack, Memory, Phase, Policy, Refused, Sample, Seen, State, Time, Trouble, Worker, plan,
};

use crate::{
    fixtures::{NOW, done, fleet, idle_for, pool, retired, running, seen, started, waiting, worker},
    world::secs,
};

/// A plan for a pool that was planned for a second ago.
fn decide(policy: &Policy, seen: &Seen) -> policy::Plan {
    plan(NOW, policy, seen, &watched())
}

fn watched() -> Memory {
    Memory { inflow_at: Some(NOW.minus(secs(1))), ..Memory::default() }
}

fn trouble(fault: Fault, message: &str) -> Option<Trouble> {
    Some(Trouble { fault, message: message.into() })
}

/// A worker that has been on a machine for `s` seconds.
fn starting(id: &str, capacity: Capacity, s: u64) -> Worker {
    let scheduled = NOW.minus(secs(s));
    Worker { created: scheduled.minus(secs(20)), ..worker(id, capacity, Phase::Starting { scheduled }) }
}

fn failed(id: &str, created: Time) -> Worker {
    let trouble = trouble(Fault::Machine, "OutOfnvidia.com/gpu on node n7");
    Worker { created, trouble, ..worker(id, Capacity::Spot, Phase::Failed) }
}

fn single_zone() -> Policy {
    Policy { spot: Some(fleet(0, 20, 900_000, &[])), ..pool() }
}

#[test]
fn a_worker_that_is_not_up_in_time_is_replaced_elsewhere_and_its_zone_avoided() {
    let after = |s| {
        let work = seen(vec![waiting("relaxed", 3, 500)], vec![], vec![starting("s1", Capacity::Spot, s)]);
        decide(&pool(), &work)
    };
    // 600 s for the engine to start, and 300 s to pull its image.
    assert_eq!(done(&after(890)), []);
    let late = after(910);
    assert_eq!(retired(&late), ["s1"]);
    assert_eq!(late.report.shortages[0].zone, "a");
    assert_eq!(late.report.shortages[0].shortage.lack, Lack::Workers);
    assert_eq!(started(&late, Capacity::Spot), 0, "the next is tried 2 s later");
    assert!(late.wake_after <= secs(2));
    let next = plan(
        NOW.plus(secs(3)),
        &pool(),
        &seen(vec![waiting("relaxed", 3, 500)], vec![], vec![]),
        &late.memory,
    );
    assert_eq!(started(&next, Capacity::Spot), 1);
    assert!(
        next.actions
            .iter()
            .any(|d| matches!(&d.action, policy::Action::Start { zone: Some(zone), .. } if zone == "b"))
    );
}

#[test]
fn a_worker_has_more_time_where_start_ups_are_known_to_be_slow() {
    let mut memory = watched();
    for took in [1100, 1300].into_iter().cycle().take(30) {
        memory.estimates.observe(&Sample::Started { capacity: Capacity::Spot, took: secs(took) });
    }
    let at = |s| {
        let work = seen(vec![waiting("relaxed", 3, 500)], vec![], vec![starting("s1", Capacity::Spot, s)]);
        retired(&plan(NOW, &pool(), &work, &memory)).len()
    };
    assert_eq!((at(1200), at(1600)), (0, 1));
}

#[test]
fn on_demand_workers_follow_the_same_rule() {
    let work = seen(vec![waiting("immediate", 1, 30)], vec![], vec![starting("o1", Capacity::OnDemand, 910)]);
    let plan = decide(&pool(), &work);
    assert_eq!(retired(&plan), ["o1"]);
    assert_eq!(plan.report.shortages[0].capacity, Capacity::OnDemand);
    assert!(!plan.report.ready);
}

#[test]
fn a_worker_that_says_why_it_does_not_come_up_is_not_counted_on_and_goes_sooner() {
    let mut stuck = starting("s1", Capacity::Spot, 40);
    stuck.trouble = trouble(Fault::Machine, "ImagePullBackOff: manifest unknown");
    let work = seen(vec![waiting("standard", 3, 200)], vec![], vec![stuck.clone()]);
    let plan = decide(&single_zone(), &work);
    assert_eq!(started(&plan, Capacity::OnDemand), 1, "falls back");
    assert_eq!(started(&plan, Capacity::Spot), 0, "no further machine for the same");
    let State::StartsFailing { message, .. } = &plan.report.state else { panic!("{:?}", plan.report.state) };
    assert_eq!(message, "ImagePullBackOff: manifest unknown");
    assert!(!plan.report.ready);
    stuck.phase = Phase::Starting { scheduled: NOW.minus(secs(181)) };
    let plan = decide(&single_zone(), &seen(vec![waiting("relaxed", 3, 200)], vec![], vec![stuck]));
    assert_eq!(done(&plan), [("retire", "NeverReady")]);
}

/// Plays a pool whose Pods are refused by the kubelet as soon as they are created; returns the seconds of the starts.
fn refused_by_the_kubelet(seconds: u64, tasks: u64) -> Vec<u64> {
    let (mut memory, mut workers, mut starts) = (Memory::default(), Vec::new(), Vec::new());
    let policy = Policy { on_demand: None, ..single_zone() };
    for second in 0..seconds {
        let now = NOW.plus(secs(second));
        let work = seen(vec![waiting("relaxed", tasks, 590)], vec![], std::mem::take(&mut workers));
        let plan = plan(now, &policy, &work, &memory);
        for _ in 0..started(&plan, Capacity::Spot) {
            starts.push(second);
            workers.push(failed(&format!("w{}", starts.len()), now));
        }
        memory = plan.memory;
    }
    starts
}

#[test]
fn pods_that_the_kubelet_refuses_are_started_less_and_less_often() {
    for tasks in [4, 1000] {
        let starts = refused_by_the_kubelet(1200, tasks);
        let first_round = starts.iter().filter(|at| **at == 0).count();
        let later: Vec<u64> = starts.iter().copied().filter(|at| *at > 0).collect();
        let within_a_minute = starts.len() - starts.iter().filter(|at| **at >= 60).count();
        assert!(within_a_minute <= first_round + 6, "{starts:?}");
        let gaps: Vec<u64> = later.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[1] >= pair[0]), "growing: {gaps:?}");
        let third = starts[2.min(first_round.max(3) - 1)];
        let after_third = later.iter().filter(|at| **at > third).copied().collect::<Vec<_>>();
        assert!(after_third.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{starts:?}");
        assert!(gaps.last().is_some_and(|gap| *gap >= 200), "{gaps:?}");
    }
}

#[test]
fn the_state_quotes_the_failure_and_the_time_of_the_next_try() {
    let workers = ["w1", "w2", "w3"].map(|id| failed(id, NOW.minus(secs(2)))).to_vec();
    let plan = decide(&single_zone(), &seen(vec![waiting("relaxed", 3, 500)], vec![], workers));
    assert_eq!(
        plan.report.state.to_string(),
        "3 workers in a row did not come up, the next one is tried at 2026-01-01T00:00:10Z: \
         OutOfnvidia.com/gpu on node n7"
    );
    assert_eq!(retired(&plan), ["w1", "w2", "w3"], "all of them are removed");
}

#[test]
fn a_failed_worker_counts_once_however_long_it_is_seen() {
    let work = seen(vec![waiting("relaxed", 3, 500)], vec![], vec![failed("w1", NOW)]);
    let first = decide(&single_zone(), &work);
    let again = plan(NOW.plus(secs(1)), &single_zone(), &work, &first.memory);
    assert_eq!(again.memory.failures[&Capacity::Spot], first.memory.failures[&Capacity::Spot]);
}

#[test]
fn a_worker_that_comes_up_ends_the_limit_on_starts() {
    let fails = ["w1", "w2", "w3"].map(|id| failed(id, NOW.minus(secs(30)))).to_vec();
    let memory = decide(&single_zone(), &seen(vec![], vec![], fails)).memory;
    let later = NOW.plus(secs(60));
    let many = || vec![waiting("relaxed", 300, 590)];
    let in_doubt = plan(later, &single_zone(), &seen(many(), vec![], vec![]), &memory);
    assert_eq!(started(&in_doubt, Capacity::Spot), 1, "one at a time");
    let up = Worker { created: NOW, ..worker("w4", Capacity::Spot, idle_for(0)) };
    let trusted = plan(later, &single_zone(), &seen(many(), vec![], vec![up]), &memory);
    assert!(started(&trusted, Capacity::Spot) > 3);
}

#[test]
fn a_corrected_template_is_tried_at_once() {
    let fails = ["w1", "w2", "w3"].map(|id| failed(id, NOW.minus(secs(30)))).to_vec();
    let memory = decide(&single_zone(), &seen(vec![], vec![], fails)).memory;
    let corrected = Policy { template: "corrected".into(), ..single_zone() };
    let work = seen(vec![waiting("relaxed", 300, 590)], vec![], vec![]);
    assert!(started(&plan(NOW, &corrected, &work, &memory), Capacity::Spot) > 3);
}

#[test]
fn refused_starts_are_delayed_and_reported() {
    let why = "pods is forbidden: exceeded quota: gpus".to_owned();
    let (capacity, zone, at) = (Capacity::Spot, None, NOW);
    let refused = vec![Refused { capacity, zone, workers: 5, at, why: why.clone() }];
    let work = Seen { refused, ..seen(vec![waiting("relaxed", 300, 590)], vec![], vec![]) };
    let plan = decide(&single_zone(), &work);
    assert_eq!(started(&plan, Capacity::Spot), 0);
    let failing = &plan.report.failing[0];
    assert_eq!((failing.workers, &failing.message, failing.next_try), (0, &why, Some(NOW.plus(secs(2)))));
    let again =
        policy::plan(NOW.plus(secs(2)), &single_zone(), &Seen { refused: vec![], ..work }, &plan.memory);
    assert!(started(&again, Capacity::Spot) > 3, "no worker exists that might fail");
}

#[test]
fn a_broken_worker_is_not_counted_on_and_is_replaced() {
    let mut broken = worker("s1", Capacity::Spot, idle_for(5));
    broken.trouble = trouble(Fault::Worker, "3 tasks of different jobs failed here");
    let work = seen(vec![waiting("standard", 3, 250)], vec![], vec![broken.clone()]);
    let plan = decide(&single_zone(), &work);
    assert_eq!(done(&plan), [("retire", "Broken")]);
    assert!(plan.report.late.is_empty() || plan.report.wanted.spot == 0, "the plan does not count on it");
    let working = Worker { created: NOW.minus(secs(600)), ..worker("s2", Capacity::Spot, Phase::Busy) };
    let among_working_ones =
        seen(vec![waiting("standard", 60, 250)], vec![running("s2", "standard")], vec![broken, working]);
    let plan = decide(&single_zone(), &among_working_ones);
    assert_eq!(retired(&plan), ["s1"]);
    assert!(started(&plan, Capacity::Spot) > 1, "one broken worker among working ones delays no start");
}

#[test]
fn when_the_pool_is_at_fault_no_machine_is_bought() {
    let blames = |id: &str, s| {
        let trouble = trouble(Fault::Pool, "bucket imagse does not exist");
        Worker { trouble, ..starting(id, Capacity::Spot, s) }
    };
    let work = vec![waiting("standard", 100, 250), waiting("immediate", 2, 20)];
    let workers = vec![blames("s1", 200), blames("s2", 190), blames("s3", 20)];
    let plan = decide(&pool(), &seen(work.clone(), vec![], workers.clone()));
    assert_eq!(done(&plan), [("retire", "PoolAtFault")], "one waits for it, one more for some minutes");
    assert_eq!(retired(&plan), ["s2"]);
    assert_eq!(
        plan.report.state.to_string(),
        "workers can't work, so no more are started: bucket imagse does not exist"
    );
    assert!(!plan.report.ready);
    // It waits without a deadline.
    let ages = decide(&pool(), &seen(work.clone(), vec![], vec![blames("s1", 5000)]));
    assert_eq!(done(&ages), []);
    // A worker that blames the pool while others work is at fault itself.
    let mut outvoted = worker("s1", Capacity::Spot, idle_for(61));
    outvoted.trouble = workers[0].trouble.clone();
    let working = ["w2", "w3"].map(|id| worker(id, Capacity::Spot, Phase::Busy)).to_vec();
    let leases = ["w2", "w3"].map(|id| running(id, "standard")).to_vec();
    let plan = decide(&pool(), &seen(work, leases, [vec![outvoted], working].concat()));
    assert_eq!(retired(&plan), ["s1"]);
    assert!(started(&plan, Capacity::Spot) > 0);
}

#[test]
fn a_corrected_pool_replaces_the_workers_that_blamed_it() {
    let outdated = |id: &str, phase| {
        let trouble = trouble(Fault::Pool, "bucket imagse does not exist");
        let worker = worker(id, Capacity::Spot, phase);
        Worker { trouble, template: policy::Template::Outdated, ..worker }
    };
    let work = vec![waiting("standard", 100, 250)];
    for phase in [Phase::Starting { scheduled: NOW.minus(secs(20)) }, idle_for(5)] {
        let plan = decide(&pool(), &seen(work.clone(), vec![], vec![outdated("s1", phase)]));
        assert_eq!(retired(&plan), ["s1"], "{phase:?}");
        assert!(started(&plan, Capacity::Spot) > 0, "what it said was about the older template");
    }
}

/// What it waits to deliver to the old place is made anew, unless that place is away for a moment only, or the new one
/// does not work either.
#[test]
fn a_corrected_pool_takes_back_what_a_busy_worker_can_not_deliver() {
    let blaming = |id: &str, phase, template| {
        let worker = worker(id, Capacity::Spot, phase);
        Worker { trouble: trouble(Fault::Pool, "bucket imagse does not exist"), template, ..worker }
    };
    let stuck = blaming("s1", Phase::Busy, policy::Template::Outdated);
    let work = |workers| seen(vec![], vec![running("s1", "standard")], workers);
    let blamed = |s| {
        let id = policy::WorkerId("s1".into());
        Memory { blaming_since: [(id, NOW.minus(secs(s)))].into(), ..watched() }
    };
    let decided = |memory: &Memory, workers| done(&plan(NOW, &pool(), &work(workers), memory));
    assert_eq!(decided(&watched(), vec![stuck.clone()]), [], "the bucket may be back in a moment");
    let first = plan(NOW, &pool(), &work(vec![stuck.clone()]), &watched());
    assert_eq!(first.memory.blaming_since, blamed(0).blaming_since);
    assert_eq!(decided(&blamed(60), vec![stuck.clone()]), [("evict", "Outdated")]);
    let changed_now = Memory { template: "older".into(), ..blamed(60) };
    assert_eq!(decided(&changed_now, vec![stuck.clone()]), [], "another template is no correction as such");
    let current = Worker { template: policy::Template::Current, ..stuck.clone() };
    assert_eq!(decided(&blamed(600), vec![current]), [], "nobody else could deliver it");
    let another = blaming("s2", idle_for(5), policy::Template::Current);
    assert_eq!(decided(&blamed(600), vec![stuck, another]), [], "the new place does not work either");
}

#[test]
fn the_start_up_time_begins_again_after_a_restart_and_after_an_unreadable_queue() {
    let at = |memory: &Memory, phase| {
        let worker = worker("s1", Capacity::Spot, phase);
        let work = seen(vec![waiting("relaxed", 9, 500)], vec![], vec![worker]);
        retired(&plan(NOW, &single_zone(), &work, memory)).len()
    };
    let hours_ago = Phase::Starting { scheduled: NOW.minus(secs(9000)) };
    assert_eq!(at(&watched(), hours_ago), 1, "it never came up");
    let last_up = [(policy::WorkerId("s1".into()), NOW.minus(secs(14)))].into();
    assert_eq!(at(&Memory { last_up, ..watched() }, hours_ago), 0, "it was up until a moment ago");
    // Redis was unreadable, and no worker has reported to it yet.
    let blind = Memory { inflow_at: Some(NOW.minus(secs(120))), ..Memory::default() };
    assert_eq!(at(&blind, hours_ago), 0);
    assert_eq!(at(&Memory::default(), hours_ago), 0, "a new leader that knows nothing");
}
