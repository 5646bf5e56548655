//! Rules for reports and messages.
use policy::{Capacity, Memory, Phase, Unserved, plan};

use crate::{
    fixtures::{NOW, UNSCHEDULED, decide, idle_for, pool, running, seen, unscheduled_for, waiting, worker},
    world::secs,
};

#[test]
fn only_workers_with_a_machine_cost() {
    let workers = vec![
        worker("s1", Capacity::Spot, Phase::Busy),
        worker("s2", Capacity::Spot, UNSCHEDULED),
        worker("d1", Capacity::OnDemand, idle_for(1)),
    ];
    let report = decide(&pool(), &seen(vec![], vec![], workers)).report;
    assert_eq!(report.cost_per_hour_micros, 900_000 + 3_060_000);
    assert_eq!(report.on_demand_cost_per_hour_micros, 2 * 3_060_000);
}

#[test]
fn late_tasks_are_reported_before_they_are_late() {
    let plan = decide(&pool(), &seen(vec![waiting("immediate", 1, 30)], vec![], vec![]));
    let late = &plan.report.late[0];
    assert_eq!((late.class.as_str(), late.tasks), ("immediate", 1));
    assert_eq!(
        late.message(),
        "1 image of class immediate will be late: due 2026-01-01T00:00:30Z, done 2026-01-01T00:02:18Z"
    );
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
    // s2 is free now and s1 in six seconds; at 8 s an image they are done after 8, 14 and 16 s.
    let done = forecast.job_done("standard", "sd15", NOW.plus(secs(290))).expect("a worker");
    assert!(done.since(NOW).abs_diff(secs(16)) < secs(1) / 10, "{:?}", done.since(NOW));
}

#[test]
fn memory_survives_a_new_leader() {
    let stuck = unscheduled_for("s1", Capacity::Spot, 80);
    let memory = decide(&pool(), &seen(vec![waiting("relaxed", 1, 500)], vec![], vec![stuck])).memory;
    let text = serde_json::to_string(&memory).expect("memory is plain data");
    assert_eq!(serde_json::from_str::<Memory>(&text).expect("what was written"), memory);
    assert_eq!(serde_json::from_str::<Memory>("{}").expect("nothing yet"), Memory::default());
}

#[test]
fn images_of_a_class_that_the_pool_does_not_have_are_reported() {
    let gone = waiting("overnight", 5, 500);
    let alone = decide(&pool(), &seen(vec![gone.clone()], vec![], vec![]));
    assert_eq!(alone.report.state.reason(), "ClassUnknown");
    assert_eq!(
        alone.report.message(&alone.actions),
        "5 images wait in class overnight, which the pool does not have"
    );
    assert!(!alone.report.ready);
    assert_eq!(alone.actions, []);
    let beside = decide(&pool(), &seen(vec![gone, waiting("standard", 1, 290)], vec![], vec![]));
    assert_eq!(beside.report.unserved, [Unserved { class: "overnight".into(), tasks: 5 }]);
    assert_eq!(
        beside.report.message(&beside.actions),
        "start 1 spot worker: an image waits and the pool has no workers; \
         5 images wait in class overnight, which the pool does not have"
    );
}

#[test]
fn messages_do_not_change_with_the_time_alone() {
    let stuck = unscheduled_for("s1", Capacity::Spot, 80);
    let mut policy = pool();
    policy.spot = Some(crate::fixtures::fleet(0, 1, 900_000, &["a"]));
    policy.on_demand = None;
    let work = seen(vec![waiting("standard", 400, 290)], vec![], vec![stuck]);
    let mut memory = Memory::default();
    let mut messages: Vec<String> = Vec::new();
    for second in 0..100 {
        let plan = plan(NOW.plus(secs(second)), &policy, &work, &memory);
        messages.push(plan.report.message(&plan.actions));
        memory = plan.memory;
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
}
