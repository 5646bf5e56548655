//! Properties that hold for every input.
use std::collections::BTreeMap;

use policy::{
    Action, Backlog, Capacity, Decision, Estimates, Health, IdleMeter, Lack, Memory, Order, Phase, Plan,
    Policy, Queue, Running, Sample, Seen, Shortage, Worker, WorkerId, plan,
};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::test_runner::RngSeed;

use crate::{
    fixtures::{NOW, UNSCHEDULED, fleet, pool, running, started, waiting, worker},
    world::{Pace, World, secs},
};

fn backlog() -> impl Strategy<Value = Backlog> {
    let class = prop_oneof![Just("immediate"), Just("standard"), Just("relaxed")];
    (class, any::<bool>(), 1..60u64, 0..700u64).prop_map(|(class, other, tasks, due_in)| {
        let mut backlog = waiting(class, tasks, due_in);
        if other {
            backlog.model = "sdxl".into();
        }
        backlog
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(UNSCHEDULED),
        (0..100u64).prop_map(|s| Phase::Starting { scheduled: NOW.minus(secs(s)) }),
        (0..100u64).prop_map(|s| Phase::Idle { since: NOW.minus(secs(s)) }),
        Just(Phase::Busy),
    ]
}

fn health() -> impl Strategy<Value = (Health, Order)> {
    let doomed = Health::Doomed { deadline: NOW.plus(secs(60)) };
    prop_oneof![
        8 => Just((Health::Healthy, Order::Work)),
        1 => Just((Health::Healthy, Order::Hold)),
        1 => Just((Health::Healthy, Order::Retire)),
        1 => Just((Health::AtRisk, Order::Work)),
        1 => Just((doomed, Order::Work)),
        1 => Just((doomed, Order::Doomed)),
        1 => Just((Health::Gone, Order::Work)),
    ]
}

fn workers() -> impl Strategy<Value = Vec<Worker>> {
    let one = (any::<bool>(), phase(), health(), any::<bool>(), 100..400u64);
    proptest::collection::vec(one, 0..12).prop_map(|drawn| {
        let mut counts: BTreeMap<Capacity, u32> = BTreeMap::new();
        let mut workers = Vec::new();
        for (i, (spot, phase, (health, order), in_b, age)) in drawn.into_iter().enumerate() {
            let capacity = if spot { Capacity::Spot } else { Capacity::OnDemand };
            let count = counts.entry(capacity).or_default();
            if capacity == Capacity::OnDemand && *count >= 4 {
                continue;
            }
            *count += 1;
            let mut worker = worker(&format!("w{i}"), capacity, phase);
            (worker.health, worker.order) = (health, order);
            worker.zone = Some(if in_b { "b" } else { "a" }.into());
            worker.created = NOW.minus(secs(if phase == UNSCHEDULED { age / 5 } else { age }));
            workers.push(worker);
        }
        workers
    })
}

fn seen() -> impl Strategy<Value = Seen> {
    (proptest::collection::vec(backlog(), 0..6), workers()).prop_map(|(backlog, workers)| {
        let busy = workers.iter().filter(|w| w.phase == Phase::Busy);
        let class = |w: &Worker| if w.capacity == Capacity::Spot { "standard" } else { "immediate" };
        let running: Vec<Running> = busy.map(|w| running(&w.id.0, class(w))).collect();
        Seen { queue: Some(Queue { backlog, running }), workers, ..Seen::default() }
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0..3u32, 0..2u32, any::<bool>()).prop_map(|(spot, on_demand, suspended)| {
        let mut policy = pool();
        policy.spot = Some(fleet(spot, 20, 900_000, &["a", "b"]));
        policy.on_demand = Some(fleet(on_demand, 4, 3_060_000, &[]));
        policy.suspended = suspended;
        policy
    })
}

fn memories() -> impl Strategy<Value = Memory> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0..300u32).prop_map(|(short, lost, urgent, idle)| {
        let mut memory = Memory::default();
        if short {
            let (since, until) = (NOW.minus(secs(60)), NOW.plus(secs(60)));
            let shortage = Shortage { since, until, times: 1, lack: Lack::Machines, message: None };
            memory.short.entry(Capacity::Spot).or_default().insert("a".into(), shortage);
        }
        if lost {
            memory.losses.insert("b".into(), NOW.minus(secs(20)));
        }
        memory.on_demand_work = urgent.then_some(NOW.minus(secs(30)));
        memory.idle = IdleMeter { seconds: f64::from(idle), at: NOW, idle: 1 };
        memory
    })
}

/// The snapshot right after the plan was carried out.
fn carried_out(seen: &Seen, plan: &Plan) -> Seen {
    let mut seen = seen.clone();
    for (i, Decision { action, .. }) in plan.actions.iter().enumerate() {
        let set_order = |seen: &mut Seen, id: &WorkerId, order| {
            seen.workers.iter_mut().filter(|w| w.id == *id).for_each(|w| w.order = order);
        };
        match action {
            Action::Start { capacity, zone, n, model, .. } => {
                for j in 0..*n {
                    let mut new = worker(&format!("new-{i}-{j}"), *capacity, UNSCHEDULED);
                    (new.zone, new.node, new.model, new.created) = (zone.clone(), None, model.clone(), NOW);
                    seen.workers.push(new);
                }
            }
            Action::Retire { worker } => seen.workers.retain(|w| w.id != *worker),
            Action::Hold { worker } => set_order(&mut seen, worker, Order::Hold),
            Action::Resume { worker } => set_order(&mut seen, worker, Order::Work),
            Action::Doom { worker, .. } => set_order(&mut seen, worker, Order::Doomed),
            Action::Evict { worker } => set_order(&mut seen, worker, Order::Evicted),
        }
    }
    seen
}

/// Runs the same cases each time; `PROPTEST_RNG_SEED` selects others.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match config.rng_seed {
        RngSeed::Random => ProptestConfig { rng_seed: RngSeed::Fixed(1), ..config },
        RngSeed::Fixed(_) => config,
    }
}

fn places(seen: &Seen, capacity: Capacity) -> usize {
    let counts = |w: &&Worker| {
        w.capacity == capacity
            && !matches!(w.health, Health::Doomed { .. } | Health::Gone)
            && !matches!(w.order, Order::Doomed | Order::Evicted)
    };
    seen.workers.iter().filter(counts).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..config() })]

    #[test]
    fn never_retires_a_busy_worker(policy in policies(), seen in seen()) {
        for decision in plan(NOW, &policy, &seen, &Memory::default()).actions {
            if let Action::Retire { worker } = decision.action {
                let worker = seen.workers.iter().find(|w| w.id == worker).expect("a worker that exists");
                prop_assert!(worker.phase != Phase::Busy);
            }
        }
    }

    #[test]
    fn never_more_than_the_maximum(policy in policies(), seen in seen()) {
        let after = carried_out(&seen, &plan(NOW, &policy, &seen, &Memory::default()));
        for (capacity, max) in [(Capacity::Spot, 20), (Capacity::OnDemand, 4)] {
            prop_assert!(places(&after, capacity) <= max);
        }
    }

    #[test]
    fn starts_nothing_while_suspended(policy in policies(), seen in seen()) {
        let policy = Policy { suspended: true, ..policy };
        let plan = plan(NOW, &policy, &seen, &Memory::default());
        prop_assert_eq!(started(&plan, Capacity::Spot) + started(&plan, Capacity::OnDemand), 0);
    }

    #[test]
    fn same_input_same_plan(policy in policies(), seen in seen()) {
        let memory = Memory::default();
        prop_assert_eq!(plan(NOW, &policy, &seen, &memory), plan(NOW, &policy, &seen, &memory));
    }

    /// A plan that was carried out leaves nothing to do. So a crash between plan and memory, or a second plan at once,
    /// does no harm.
    #[test]
    fn a_plan_carried_out_asks_for_nothing_more(policy in policies(), seen in seen(), memory in memories()) {
        let first = plan(NOW, &policy, &seen, &memory);
        let after = carried_out(&seen, &first);
        let second = plan(NOW, &policy, &after, &first.memory);
        prop_assert!(second.actions.is_empty(), "first {:#?}\nthen {:#?}", first.actions, second.actions);
    }

    /// This holds for one class and model only: where capacities can stand in for each other, more work that needs
    /// on-demand workers can make spot workers unnecessary.
    #[test]
    fn more_work_never_means_fewer_workers(
        mut seen in seen(),
        class in prop_oneof![Just("immediate"), Just("relaxed")],
        extra in 1..40u64,
        which in any::<proptest::sample::Index>(),
    ) {
        let policy = pool();
        let kind = if class == "relaxed" { Capacity::Spot } else { Capacity::OnDemand };
        seen.workers.retain(|worker| worker.capacity == kind);
        let mut queue = seen.queue.take().unwrap_or_default();
        queue.running.retain(|task| seen.workers.iter().any(|worker| worker.id == task.worker));
        for bucket in &mut queue.backlog {
            (bucket.class, bucket.model) = (class.to_owned(), "sd15".to_owned());
        }
        let mut more = queue.clone();
        if !more.backlog.is_empty() {
            let which = which.index(more.backlog.len());
            let bucket = &mut more.backlog[which];
            bucket.units *= (bucket.tasks + extra) as f64 / bucket.tasks as f64;
            bucket.tasks += extra;
        }
        let wanted = |queue| {
            let seen = Seen { queue: Some(queue), ..seen.clone() };
            let wanted = plan(NOW, &policy, &seen, &Memory::default()).report.wanted;
            wanted.spot + wanted.on_demand
        };
        let (before, after) = (wanted(queue), wanted(more));
        prop_assert!(after >= before, "{before} then {after}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..config() })]

    /// After any work every image is made and the fleet is at its minimum.
    #[test]
    fn without_work_the_fleet_ends_at_its_minimum(
        arrivals in proptest::collection::vec((0..600u64, 1..30u32, 0..3usize), 1..12),
        min in 0..3u32,
        dies in 0..900u64,
    ) {
        let mut policy = pool();
        policy.spot = Some(fleet(min, 20, 900_000, &["a", "b"]));
        let mut world = World::learned(policy, Pace::default());
        for second in 0..2400 {
            for (_, n, class) in arrivals.iter().filter(|(at, ..)| *at == second) {
                world.arrive(*n, ["immediate", "standard", "relaxed"][*class], "sd15");
            }
            if second == dies {
                world.set_zone_health("a", Health::Gone);
            }
            world.tick();
        }
        prop_assert_eq!(world.unfinished(), 0);
        prop_assert_eq!(world.worker_count(), min as usize);
    }

    /// A constant load gives a constant fleet: after the first ten minutes hardly any worker starts or is removed.
    #[test]
    fn a_constant_load_does_not_flap(every in 2..40u64, relaxed in any::<bool>(), image in 3..20u64) {
        let mut world = World::learned(pool(), Pace { image, ..Pace::default() });
        let class = if relaxed { "relaxed" } else { "standard" };
        let mut settled = 0;
        for second in 0..7200 {
            if second % every == 0 {
                world.arrive(1, class, "sd15");
            }
            if second == 600 {
                settled = world.tally.starts;
            }
            world.tick();
        }
        let churn = world.tally.starts - settled;
        prop_assert!(churn <= 8, "{churn} starts in 110 minutes");
        prop_assert_eq!(world.tally.late, 0);
    }
}

/// A fleet whose size is always slightly off neither idles much nor is late.
#[test]
fn machines_are_paid_for_work_not_for_waiting() {
    for (per_step, class) in [(2u32, "standard"), (4, "relaxed")] {
        let mut world = World::learned(pool(), Pace::default());
        // A bursty load with a fixed mean: 0 to 2 × `per_step` images every 3 s, each 8 s of work.
        let mut dice = 12_345_u32;
        for second in 0..2 * 3600 {
            if second % 3 == 0 {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                world.arrive((dice >> 16) % (2 * per_step + 1), class, "sd15");
            }
            world.tick();
        }
        let paid = world.tally.spot as f64 / world.tally.work as f64;
        assert!(paid <= 1.05, "{per_step} {class}: {paid:.3} machine seconds for a second of work");
        assert_eq!(world.tally.late, 0);
    }
}

#[test]
fn a_long_backlog_is_planned_quickly() {
    let mut estimates = Estimates::default();
    for model in ["sd15", "sdxl", "flux"] {
        let (model, took) = (model.to_owned(), secs(8));
        estimates.observe(&Sample::Task { work: String::new(), model, units: 20.0, took });
    }
    let backlog = (0..300u64).map(|i| Backlog {
        class: if i % 2 == 0 { "relaxed" } else { "standard" }.into(),
        model: ["sd15", "sdxl", "flux"][usize::try_from(i % 3).unwrap_or(0)].into(),
        work: String::new(),
        due: NOW.plus(secs(2 * i)),
        tasks: 400,
        units: 8000.0,
    });
    let workers = (0..100).map(|i| worker(&format!("w{i}"), Capacity::Spot, Phase::Busy));
    let seen = Seen {
        queue: Some(Queue { backlog: backlog.collect(), running: Vec::new() }),
        workers: workers.collect(),
        ..Seen::default()
    };
    let mut policy = pool();
    policy.spot = Some(fleet(0, 200, 900_000, &["a", "b"]));
    let begun = std::time::Instant::now();
    let plan = plan(NOW, &policy, &seen, &Memory { estimates, ..Memory::default() });
    assert_eq!(started(&plan, Capacity::Spot), 100);
    // The limit for an unoptimised build on a busy machine; an optimised build is about thirty times as fast.
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
}
