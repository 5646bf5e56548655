use std::collections::HashMap;

use crds::conditions::find_condition;
use policy::{Capacity, Seen, Worker, WorkerId};

use super::*;
use crate::{
    fixtures::{at, pool},
    workerpool::policy as spec,
};

const UNSCHEDULED: Phase = Phase::Unscheduled { machine: policy::Machine::Unknown };

fn worker(n: usize, capacity: Capacity, phase: Phase, order: Order, health: Health) -> Worker {
    let (id, node) = (WorkerId(format!("w{n}")), Some("n1".into()));
    Worker { node, phase, health, order, ..Worker::new(id, capacity, crate::node::time(at(0))) }
}

fn observed(workers: Vec<Worker>, stats: Option<Stats>) -> Observed {
    let queue = stats.as_ref().map(|_| policy::Queue { backlog: vec![], running: vec![] });
    Observed {
        seen: Seen { queue, workers, ..Seen::default() },
        stats,
        workers: HashMap::new(),
        trouble: None,
        impossible: None,
        causes: HashMap::new(),
    }
}

fn idle(n: usize, capacity: Capacity) -> Worker {
    worker(n, capacity, Phase::Idle { since: crate::node::time(at(0)) }, Order::Work, Health::Healthy)
}

fn planned(pool: &WorkerPool, observed: &Observed) -> Plan {
    policy::plan(crate::node::time(at(10)), &spec::policy(pool), &observed.seen, &policy::Memory::default())
}

fn told(
    pool: &WorkerPool,
    observed: &Observed,
    plan: &Plan,
    trouble: Option<Trouble>,
    last_decision: Option<PoolDecision>,
    now: Timestamp,
) -> WorkerPoolStatus {
    status(pool, observed, plan, trouble, last_decision, &Ledger::of(pool, at(0)), now)
}

fn made(pool: &WorkerPool, observed: &Observed, trouble: Option<Trouble>) -> WorkerPoolStatus {
    told(pool, observed, &planned(pool, observed), trouble, None, at(10))
}

/// Status of Ready, Reconciling and Stalled, and the reason.
fn shown(status: &WorkerPoolStatus) -> ([&str; 3], &str) {
    let of = |kind| find_condition(&status.conditions, kind).unwrap();
    let kinds = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];
    (kinds.map(|kind| of(kind).status.as_str()), &of(ConditionType::Ready).reason)
}

#[test]
fn an_idle_pool_is_ready_and_costs_nothing() {
    let status = made(&pool(), &observed(vec![], Some(Stats::default())), None);
    assert_eq!(shown(&status), (["True", "False", "False"], "Idle"));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.cost.unwrap().per_hour.to_string(), "0.00");
}

#[test]
fn trouble_outdoes_what_scaling_says() {
    for (reason, conditions) in [
        (PoolReason::QueueUnavailable, ["False", "True", "False"]),
        (PoolReason::PodsRefused, ["False", "True", "False"]),
        (PoolReason::WorkersFailing, ["False", "True", "False"]),
        (PoolReason::WorkersUnschedulable, ["False", "True", "False"]),
        (PoolReason::PodTemplateInvalid, ["False", "False", "True"]),
    ] {
        let trouble = Trouble { reason, message: "why".into(), ready: false };
        let status = made(&pool(), &observed(vec![], Some(Stats::default())), Some(trouble));
        assert_eq!(shown(&status), (conditions, reason.as_str()));
    }
}

#[test]
fn workers_are_counted_by_what_they_do_and_paid_for_while_they_have_a_machine() {
    use Capacity::{OnDemand, Spot};
    let starting = Phase::Starting { scheduled: crate::node::time(at(0)) };
    let doomed = Health::Doomed { deadline: crate::node::time(at(20)) };
    let workers = vec![
        idle(0, Spot),
        worker(1, Spot, Phase::Busy, Order::Work, Health::Healthy),
        worker(2, Spot, starting, Order::Work, Health::Healthy),
        worker(3, Spot, UNSCHEDULED, Order::Work, Health::Healthy),
        worker(4, Spot, Phase::Busy, Order::Work, doomed),
        worker(5, Spot, UNSCHEDULED, Order::Work, Health::Healthy),
        worker(6, OnDemand, Phase::Busy, Order::Retire, Health::Healthy),
    ];
    let status = made(&pool(), &observed(workers, Some(Stats::default())), None);
    let [spot, on_demand] = status.fleets.as_slice() else { panic!("{:?}", status.fleets) };
    assert_eq!((spot.name.as_str(), spot.fleet_type), ("spot", FleetType::Spot));
    assert_eq!((on_demand.name.as_str(), on_demand.fleet_type), ("on-demand", FleetType::OnDemand));
    assert_eq!((spot.starting, spot.idle, spot.busy, spot.draining, spot.total), (3, 1, 1, 1, 6));
    assert_eq!((on_demand.draining, on_demand.total), (1, 1));
    let cost = status.cost.unwrap();
    assert_eq!(cost.per_hour.to_string(), "7.20", "4 at 0.90 and 1 at 3.60");
    assert_eq!(cost.on_demand_per_hour.to_string(), "18.00");
}

#[test]
fn a_shortage_is_told_in_the_schedulers_words() {
    let backlog = policy::Backlog {
        class: "relaxed".into(),
        model: "v1-5".into(),
        work: String::new(),
        due: crate::node::time(at(600)),
        tasks: 1,
        units: 20.0,
    };
    let said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu";
    let mut observed = observed(
        vec![Worker {
            node: None,
            no_machine: Some(said.into()),
            ..worker(0, Capacity::Spot, UNSCHEDULED, Order::Work, Health::Healthy)
        }],
        Some(Stats::default()),
    );
    observed.seen.queue = Some(policy::Queue { backlog: vec![backlog], running: vec![] });
    let pool = pool();
    let plan = policy::plan(
        crate::node::time(at(90)),
        &spec::policy(&pool),
        &observed.seen,
        &policy::Memory::default(),
    );
    let status = told(&pool, &observed, &plan, None, None, at(90));
    assert_eq!(shown(&status).1, "SpotShortage");
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    assert!(ready.message.contains(said), "{}", ready.message);
}

#[test]
fn what_cannot_be_read_stays_as_it_was_last_known() {
    let mut pool = pool();
    let stats = Stats { now_ms: 9_000, oldest_ms: Some(2_000), ..Stats::default() };
    pool.status = Some(made(&pool, &observed(vec![idle(0, Capacity::Spot)], Some(stats)), None));
    assert_eq!(pool.status.as_ref().unwrap().queue.as_ref().unwrap().oldest_seconds, Some(7));
    let starting = Phase::Starting { scheduled: crate::node::time(at(0)) };
    let unheard = worker(0, Capacity::Spot, starting, Order::Work, Health::Healthy);
    let status = made(&pool, &observed(vec![unheard], None), None);
    assert_eq!(status.fleets, pool.status.as_ref().unwrap().fleets);
    assert_eq!(status.queue, pool.status.unwrap().queue);
    assert_eq!(shown(&status).1, "QueueUnavailable");
}

#[test]
fn turns_are_told_from_counts_and_counts_from_what_adds_up() {
    let old = made(&pool(), &observed(vec![], Some(Stats::default())), None);
    assert_eq!(news(None, &old), News::Turn);
    assert_eq!(news(Some(&old), &old), News::None);
    let mut new = old.clone();
    new.queue.as_mut().unwrap().oldest_seconds = Some(3);
    new.conditions[0].message = "another".into();
    let cost = new.cost.as_mut().unwrap();
    (cost.until, cost.total, cost.spot.seconds) = (Some(Time(at(9))), Money::from_micros(9), 36);
    assert_eq!(news(Some(&old), &new), News::Sums);
    new.queue.as_mut().unwrap().waiting = 1;
    assert_eq!(news(Some(&old), &new), News::Counts);
    new.conditions[0].reason = "SpotShortage".into();
    assert_eq!(news(Some(&old), &new), News::Turn);
}

#[test]
fn the_last_decision_stays_until_the_next() {
    let mut pool = pool();
    let seen = observed(vec![], Some(Stats::default()));
    let plan = planned(&pool, &seen);
    let decision = PoolDecision { time: Time(at(5)), reason: "Due".into(), message: "start spot 1".into() };
    pool.status = Some(told(&pool, &seen, &plan, None, Some(decision.clone()), at(10)));
    assert_eq!(told(&pool, &seen, &plan, None, None, at(20)).last_decision, Some(decision));
}

#[test]
fn what_workers_say_of_the_bucket_is_the_pools_reason() {
    let table = [
        (Reason::OutputDenied, PoolReason::OutputDenied),
        (Reason::OutputMissing, PoolReason::OutputMissing),
        (Reason::OutputFailed, PoolReason::OutputFailed),
        (Reason::EngineTooOld, PoolReason::WorkersFailing),
    ];
    for (reason, expected) in table {
        let blames = |worker: &str, reason, message: &str| queue::WorkerSeen {
            worker: queue::WorkerId(worker.into()),
            order: queue::Order::Work,
            state: queue::WorkerState::Ready,
            capacity: "spot".into(),
            trouble: Some(queue::Trouble { reason, message: message.into() }),
            loaded: None,
            notice: None,
            seen_ms: 1,
            idle_since_ms: Some(1),
        };
        let workers = vec![blames("w0", Reason::DiskFull, "full"), blames("w1", reason, "as w1 says")];
        let stats = Stats { workers, ..Stats::default() };
        assert_eq!(at_fault("as w1 says", Some(&stats)), expected, "{reason}");
    }
    assert_eq!(at_fault("what nobody says any more", None), PoolReason::WorkersFailing);
}
