//! Bounds the cost of a plan for any legal settings.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use policy::{
    Backlog, Capacity, CapacityRule, Class, Memory, Phase, Policy, Queue, Running, Sample, Seen, Worker,
    WorkerId, plan,
};

use crate::{
    fixtures::{NOW, fleet, idle_for, pool, unscheduled_for, worker},
    world::secs,
};

/// A pool of two classes, one with a short and one with a long promise, and as much work in each as the queue can
/// report. It has 1,100 workers, may start as many again, and work keeps arriving.
fn pool_of_two(short: u64, long: u64, kinds: usize) -> (Policy, Seen, Memory) {
    let class = |name: &str, sla| Class {
        name: name.into(),
        sla: secs(sla),
        capacity: CapacityRule::SpotThenOnDemand,
    };
    let policy = Policy {
        classes: vec![class("short", short), class("long", long)],
        spot: Some(fleet(0, 2000, 900_000, &["a", "b", "c"])),
        on_demand: Some(fleet(0, 2000, 3_060_000, &[])),
        ..pool()
    };
    // The queue reports 32 due times per promise, at least a second apart.
    let backlog = [("short", short), ("long", long)].into_iter().flat_map(|(class, sla)| {
        (0..32 * kinds as u64).map(move |i| Backlog {
            class: class.into(),
            model: format!("model-{}", i % kinds as u64 % 8),
            work: format!("kind-{}", i % kinds as u64),
            due: NOW.plus(Duration::from_millis((1 + i / kinds as u64) * sla * 1000 / 32)),
            tasks: 400,
            units: 8000.0,
        })
    });
    let busy = (0..1000).map(|i| Worker {
        model: Some(format!("model-{}", i % 8)),
        ..worker(&format!("w{i:04}"), [Capacity::Spot, Capacity::OnDemand][i % 2], Phase::Busy)
    });
    let coming = (0..50).map(|i| unscheduled_for(&format!("c{i}"), Capacity::Spot, i % 70));
    let idle = (0..50).map(|i| worker(&format!("i{i}"), Capacity::OnDemand, idle_for(i)));
    let running = (0..1000u64).map(|i| Running {
        worker: WorkerId(format!("w{i:04}")),
        class: "long".into(),
        model: format!("model-{}", i % 8),
        work: "kind-0".into(),
        units: 20.0,
        due: NOW.plus(secs(long / 2)),
        started: NOW.minus(Duration::from_millis(i * 31 % 9000)),
        progress: None,
    });
    let queue = Queue { backlog: backlog.collect(), running: running.collect() };
    let workers = busy.chain(coming).chain(idle).collect();
    let mut memory = Memory {
        inflow: BTreeMap::from([("short".to_owned(), 90.0), ("long".to_owned(), 90.0)]),
        inflow_at: Some(NOW.minus(secs(1))),
        ..Memory::default()
    };
    for i in 0..kinds {
        let (work, model, took) = (format!("kind-{i}"), format!("model-{}", i % 8), secs(8));
        memory.estimates.observe(&Sample::Task { work, model, units: 20.0, took });
    }
    (policy, Seen { queue: Some(queue), workers, ..Seen::default() }, memory)
}

/// The limit for an unoptimised build on a busy machine; an optimised build is about thirty times as fast.
const MOST: Duration = Duration::from_secs(8);

#[test]
fn whatever_the_promises_a_plan_is_made_in_time() {
    for (short, long, kinds) in
        [(300, 600, 1), (30, 43_200, 1), (1, 604_800, 1), (1, 604_800, 100), (300, 600, 100)]
    {
        let (policy, seen, memory) = pool_of_two(short, long, kinds);
        let begun = Instant::now();
        let plan = plan(NOW, &policy, &seen, &memory);
        let took = begun.elapsed();
        println!("{short:>4} s beside {long:>6} s, {kinds:>3} kinds, 1100 workers: {took:.1?}");
        assert!(took < MOST, "{short} s beside {long} s: {took:?}");
        assert!(plan.report.work_seconds > 0.0);
    }
}
