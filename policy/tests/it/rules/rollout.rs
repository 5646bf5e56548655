//! Rules for workers made from an older template.
use policy::{Capacity, Memory, Phase, Policy, Template, Worker, plan};

use crate::{
    fixtures::{
        NOW, decide, done, fleet, idle_for, pool, retired, running, seen, started, unscheduled_for, waiting,
        worker,
    },
    world::{Pace, World, secs},
};

fn outdated(worker: Worker) -> Worker {
    Worker { template: Template::Outdated, ..worker }
}

#[test]
fn an_outdated_worker_that_is_not_up_yet_is_replaced_at_once() {
    let coming = unscheduled_for("s1", Capacity::Spot, 5);
    let work = |worker| seen(vec![waiting("relaxed", 3, 500)], vec![], vec![worker]);
    let plan = |worker| decide(&pool(), &work(worker));
    let replaced = [("start", "FirstWork"), ("retire", "Outdated")];
    for template in [Template::Outdated, Template::Moved] {
        let got = plan(Worker { template, ..coming.clone() });
        assert_eq!(got.actions.len(), 2, "{:?}", got.actions);
        assert_eq!(done(&got)[1], replaced[1]);
        assert_eq!(started(&got, Capacity::Spot), 1);
    }
    let elsewhere = plan(Worker { zone: Some("z".into()), ..coming.clone() });
    assert_eq!(retired(&elsewhere), ["s1"], "the fleet has no such zone any more");
    let starting = Phase::Starting { scheduled: NOW.minus(secs(2)) };
    let on_a_machine = Worker { template: Template::Moved, ..worker("s1", Capacity::Spot, starting) };
    assert_eq!(done(&plan(on_a_machine)), [], "it got where it should");
    let starting = Phase::Starting { scheduled: NOW.minus(secs(2)) };
    assert_eq!(retired(&plan(outdated(worker("s1", Capacity::Spot, starting)))), ["s1"]);
}

#[test]
fn a_replacement_is_ready_before_one_goes() {
    let policy = Policy { spot: Some(fleet(20, 40, 900_000, &["a", "b"])), ..pool() };
    let old = (0..20).map(|i| outdated(worker(&format!("old-{i:02}"), Capacity::Spot, idle_for(5))));
    let mut workers: Vec<Worker> = old.collect();
    let first = decide(&policy, &seen(vec![], vec![], workers.clone()));
    assert_eq!(done(&first), [("start", "Replacement")]);
    assert_eq!(started(&first, Capacity::Spot), 2, "a tenth");
    let new = ["new-1", "new-2"].map(|id| worker(id, Capacity::Spot, Phase::Starting { scheduled: NOW }));
    workers.extend(new);
    let coming = plan(NOW, &policy, &seen(vec![], vec![], workers.clone()), &first.memory);
    assert_eq!(done(&coming), [], "they are not ready");
    workers[20].phase = idle_for(0);
    let one_ready = plan(NOW, &policy, &seen(vec![], vec![], workers.clone()), &coming.memory);
    assert_eq!(done(&one_ready), [("retire", "Outdated")]);
}

#[test]
fn busy_workers_are_replaced_too_but_later() {
    let policy = Policy { spot: Some(fleet(3, 40, 900_000, &["a", "b"])), ..pool() };
    let old = |i| outdated(worker(&format!("old-{i}"), Capacity::Spot, Phase::Busy));
    let workers: Vec<Worker> = (0..3).map(old).chain([worker("new", Capacity::Spot, Phase::Busy)]).collect();
    let leases = ["old-0", "old-1", "old-2", "new"].map(|id| running(id, "relaxed")).to_vec();
    let seen = seen(vec![waiting("relaxed", 30, 500)], leases, workers);
    let since = |s| {
        let memory = Memory {
            template_since: NOW.minus(secs(s)),
            replacements: [(Capacity::Spot, 1)].into(),
            ..Memory::default()
        };
        done(&plan(NOW, &policy, &seen, &memory))
    };
    assert_eq!(since(60), []);
    assert_eq!(since(120), [("hold", "Outdated")]);
}

/// Changes the template of a fleet that is needed all the time: never more than a tenth of it is missing, and the last
/// old worker is replaced in the end.
fn roll_out(max: u32, busy: bool) {
    let policy = Policy { spot: Some(fleet(20, max, 900_000, &["a", "b"])), ..pool() };
    let mut world = World::learned(policy, Pace { boot: 20, machine: 10, ..Pace::default() });
    let (mut least, mut done) = (usize::MAX, None);
    for second in 0..6000 {
        if busy && second % 4 == 0 {
            world.arrive(9, "relaxed", "sd15");
        }
        if second == 300 {
            world.policy.template = "second".into();
            world.change();
        }
        world.tick();
        if second >= 300 && done.is_none() {
            least = least.min(world.serving());
            done = (world.outdated() == 0).then_some(second);
        }
    }
    assert!(least >= 18, "{least} of 20 were there");
    assert!(done.is_some(), "{} are left", world.outdated());
    assert_eq!(world.serving(), 20.max(world.worker_count()));
}

#[test]
fn a_roll_out_never_takes_more_than_a_tenth_away_and_ends() {
    roll_out(40, false);
    roll_out(40, true);
    roll_out(20, true);
}

#[test]
fn a_template_that_does_not_come_up_leaves_the_fleet_as_it_is() {
    let policy = Policy { spot: Some(fleet(10, 20, 900_000, &["a"])), ..pool() };
    let mut world = World::learned(policy, Pace::default());
    for second in 0..7200 {
        if second == 600 {
            world.policy.template = "broken".into();
            world.market.faults.insert((Capacity::Spot, "a".into()), crate::world::Fault::NoImage);
            world.change();
        }
        world.tick();
        assert!(second < 600 || world.serving() >= 10, "at {second}");
    }
    assert!(world.worker_count() <= 11, "{} machines for one that does not come up", world.worker_count());
}
