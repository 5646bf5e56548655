//! Properties that hold in every world: zones run short of machines, workers fail, machines stop, pools are suspended,
//! templates change, and work arrives at random times.
use std::collections::{BTreeMap, BTreeSet};

use policy::{
    Action, Capacity, Decision, Health, Order, Phase, Plan, Policy, Seen, Time, Why, Worker, WorkerId,
};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use crate::{
    fixtures::{fleet, pool},
    properties::config,
    world::{Fault, Pace, World, secs},
};

/// All trouble and work come within this time, in seconds; after it every fault is repaired.
const FAULTS_END: u64 = 1200;
/// By this time, in seconds, all work is done and no worker is left beyond the minimum.
const STORY_END: u64 = 4200;

#[derive(Debug, Clone)]
enum Event {
    Images { n: u32, class: &'static str },
    Limit { capacity: Capacity, zone: &'static str, machines: Option<usize> },
    Fault { capacity: Capacity, zone: &'static str, fault: Option<Fault> },
    ZoneHealth { zone: &'static str, notice: Option<u64> },
    Bucket { refuses: bool },
    Suspend(bool),
    Template,
}

fn place() -> impl Strategy<Value = (Capacity, &'static str)> {
    prop_oneof![
        2 => Just((Capacity::Spot, "a")),
        2 => Just((Capacity::Spot, "b")),
        1 => Just((Capacity::OnDemand, "")),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let class = prop_oneof![1 => Just("immediate"), 3 => Just("standard"), 2 => Just("relaxed")];
    let zone = prop_oneof![Just("a"), Just("b")];
    let fault = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Refuses)),
        1 => Just(Some(Fault::NoImage)),
        1 => Just(Some(Fault::Silent)),
        1 => Just(Some(Fault::Broken)),
    ];
    prop_oneof![
        8 => (1..40u32, class).prop_map(|(n, class)| Event::Images { n, class }),
        3 => (place(), proptest::option::of(0..4usize)).prop_map(|((capacity, zone), machines)| {
            Event::Limit { capacity, zone, machines }
        }),
        2 => (place(), fault).prop_map(|((capacity, zone), fault)| Event::Fault { capacity, zone, fault }),
        1 => (zone, proptest::option::of(10..120u64)).prop_map(|(zone, notice)| Event::ZoneHealth { zone, notice }),
        1 => any::<bool>().prop_map(|refuses| Event::Bucket { refuses }),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => Just(Event::Template),
    ]
}

/// The events with the second at which each happens.
type Story = Vec<(u64, Event)>;

fn stories() -> impl Strategy<Value = Story> {
    proptest::collection::vec((0..FAULTS_END, event()), 4..24).prop_map(|mut story| {
        story.sort_by_key(|(at, _)| *at);
        story
    })
}

fn apply(world: &mut World, event: &Event) {
    match event {
        Event::Images { n, class } => world.arrive(*n, class, "sd15"),
        Event::Limit { capacity, zone, machines } => world.limit(*capacity, zone, *machines),
        Event::Fault { capacity, zone, fault } => {
            let place = (*capacity, (*zone).to_owned());
            match fault {
                Some(fault) => drop(world.market.faults.insert(place, *fault)),
                None => drop(world.market.faults.remove(&place)),
            }
        }
        Event::ZoneHealth { zone, notice: Some(s) } => {
            let deadline = world.now.plus(secs(*s));
            world.set_zone_health(zone, Health::Doomed { deadline });
        }
        Event::ZoneHealth { zone, notice: None } => world.set_zone_health(zone, Health::Gone),
        Event::Bucket { refuses } => world.market.bucket_refuses = *refuses,
        Event::Suspend(suspended) => world.policy.suspended = *suspended,
        Event::Template => world.policy.template.push('+'),
    }
    world.change();
}

/// Plays a story, and repairs all faults at the end of the troubled time.
fn play(world: &mut World, story: &Story, mut check: impl FnMut(&Seen, &Policy, &Plan)) {
    let mut events = story.iter().peekable();
    for second in 0..STORY_END {
        while let Some((_, event)) = events.next_if(|(at, _)| *at <= second) {
            apply(world, event);
        }
        if second == FAULTS_END {
            world.market.limits.clear();
            world.market.faults.clear();
            world.market.bucket_refuses = false;
            world.policy.suspended = false;
            world.change();
        }
        if let Some((seen, plan)) = world.tick() {
            check(&seen, &world.policy, &plan);
        }
    }
}

fn a_world(min: u32, reports: bool) -> World {
    let mut policy = pool();
    policy.spot = Some(fleet(min, 20, 900_000, &["a", "b"]));
    policy.scaling.engine_start = secs(120);
    let mut world = World::learned(policy, Pace::default());
    world.market.autoscaler_reports = reports;
    world
}

/// The number of idle workers of a capacity that may claim.
fn idle(seen: &Seen, capacity: Capacity) -> usize {
    let idles = |worker: &&Worker| {
        let may_claim =
            worker.health == Health::Healthy && worker.order == Order::Work && worker.trouble.is_none();
        worker.capacity == capacity && may_claim && matches!(worker.phase, Phase::Idle { .. })
    };
    seen.workers.iter().filter(idles).count()
}

/// The number of waiting tasks that a worker of this capacity may run.
fn waiting(seen: &Seen, policy: &Policy, capacity: Capacity) -> usize {
    let serves = policy.serves(capacity);
    let backlog = seen.queue.iter().flat_map(|queue| &queue.backlog);
    let tasks: u64 = backlog.filter(|bucket| serves.contains(&bucket.class)).map(|bucket| bucket.tasks).sum();
    usize::try_from(tasks).unwrap_or(usize::MAX)
}

/// Whether the plan starts workers of a capacity for work.
fn starts(plan: &Plan, of: Capacity) -> bool {
    plan.actions.iter().any(|Decision { action, why, .. }| {
        matches!(action, Action::Start { capacity, .. } if *capacity == of)
            && !matches!(why, Why::Minimum | Why::Replacement)
    })
}

/// Whether the plan removes workers of a capacity because there are too many.
fn lets_go(seen: &Seen, plan: &Plan, of: Capacity) -> bool {
    plan.actions.iter().any(|Decision { action, why, .. }| {
        let too_many = matches!(
            why,
            Why::Idle { .. } | Why::Spare | Why::NotNeeded | Why::OnDemandOver | Why::SpotIsBack
        );
        let (Action::Retire { worker: id } | Action::Hold { worker: id }) = action else { return false };
        too_many && seen.workers.iter().any(|worker| worker.id == *id && worker.capacity == of)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..config() })]

    /// After any story, once all faults are repaired, every image is made and no worker is left beyond the minimum.
    #[test]
    fn all_work_is_done_in_the_end(story in stories(), min in 0..3u32, reports in any::<bool>()) {
        let mut world = a_world(min, reports);
        play(&mut world, &story, |_, _, _| {});
        prop_assert_eq!(world.unfinished(), 0, "{}", world.log());
        prop_assert_eq!(world.worker_count(), min as usize, "{}", world.log());
        prop_assert_eq!(world.outdated(), 0, "{}", world.log());
    }

    /// No worker starts for work that idle workers can do, nor while others of its capacity are removed because there
    /// are too many.
    #[test]
    fn no_worker_starts_while_another_of_its_capacity_idles_or_is_removed(story in stories(), reports in any::<bool>()) {
        let mut world = a_world(0, reports);
        let mut broken = Vec::new();
        play(&mut world, &story, |seen, policy, plan| {
            for capacity in Capacity::ALL.into_iter().filter(|capacity| starts(plan, *capacity)) {
                let (idle, waiting) = (idle(seen, capacity), waiting(seen, policy, capacity));
                if idle > waiting || (idle > 0 && waiting == 0) || lets_go(seen, plan, capacity) {
                    broken.push(format!("{idle} idle, {waiting} waiting: {:?}", plan.actions));
                }
            }
        });
        prop_assert!(broken.is_empty(), "{broken:#?}\n{}", world.log());
    }

    /// No worker is held because it is not needed, resumed, and held again within a minute.
    #[test]
    fn no_worker_is_held_and_resumed_in_turn(story in stories(), reports in any::<bool>()) {
        let mut world = a_world(0, reports);
        let mut resumed: BTreeMap<WorkerId, Time> = BTreeMap::new();
        let (mut broken, mut now) = (Vec::new(), Time::default());
        play(&mut world, &story, |_, _, plan| {
            for Decision { action, why, look_again } in &plan.actions {
                now = now.max(look_again.minus(secs(5)));
                match action {
                    Action::Resume { worker } if *why == Why::NeededAgain => {
                        resumed.insert(worker.clone(), now);
                    }
                    Action::Hold { worker }
                        if *why == Why::SpotIsBack
                            && resumed.get(worker).is_some_and(|at| now.since(*at) < secs(55)) =>
                    {
                        broken.push(format!("{worker} at {now}"));
                    }
                    _ => {}
                }
            }
        });
        prop_assert!(broken.is_empty(), "{broken:?}\n{}", world.log());
    }

    /// Where no worker comes up, fewer and fewer are started: at most one in ten seconds after three failures in a row,
    /// and hardly any in the end.
    #[test]
    fn a_failing_fleet_backs_off(
        n in 1..300u32,
        fault in prop_oneof![Just(Fault::Refuses), Just(Fault::NoImage), Just(Fault::Silent), Just(Fault::Broken)],
        min in 0..3u32,
    ) {
        let mut world = a_world(min, false);
        world.policy.on_demand = None;
        for zone in ["a", "b"] {
            world.market.faults.insert((Capacity::Spot, zone.into()), fault);
        }
        world.arrive(n, "relaxed", "sd15");
        let (mut starts, mut failed) = (Vec::new(), BTreeSet::new());
        for second in 0..3600u64 {
            let Some((seen, plan)) = world.tick() else { continue };
            let bad = |worker: &&Worker| worker.phase == Phase::Failed || worker.trouble.is_some();
            failed.extend(seen.workers.iter().filter(bad).map(|worker| worker.id.clone()));
            for decision in &plan.actions {
                if let Action::Start { n, .. } = decision.action {
                    starts.extend(std::iter::repeat_n((second, failed.len()), n as usize));
                }
            }
        }
        let doubted: Vec<u64> =
            starts.iter().filter(|(_, failed)| *failed >= 3).map(|(second, _)| *second).collect();
        prop_assert!(doubted.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{starts:?}\n{}", world.log());
        let last_half_hour = doubted.iter().filter(|second| **second >= 1800).count();
        prop_assert!(last_half_hour <= 12, "{starts:?}\n{}", world.log());
        prop_assert!(world.machines(Capacity::Spot) <= 1.max(min as usize), "{}", world.log());
    }
}
