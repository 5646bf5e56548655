use serde_json::json;

use super::*;
use crate::fixtures::{CREATED, at, pool_with};

/// Spot at 0.90 an hour, on demand at 3.60.
fn pool() -> WorkerPool {
    pool_with(json!({"metadata": {"creationTimestamp": CREATED}}))
}

fn ledger() -> Ledger {
    Ledger::of(&pool(), at(0))
}

fn spot_at(price: &str) -> WorkerPoolSpec {
    pool_with(json!({"spec": {"fleets": {"spot": {"pricePerHour": price}}}})).spec
}

fn machine(worker: &str, capacity: Capacity, since: i64) -> Machine {
    Machine { worker: worker.into(), capacity, since: at(since) }
}

fn cost(ledger: &Ledger) -> PoolCost {
    ledger.cost(Money::default(), Money::default())
}

/// As it comes back from the API server to a new leader.
fn restarted(ledger: &Ledger) -> Ledger {
    let cost = serde_json::to_value(cost(ledger)).unwrap();
    Ledger::of(
        &pool_with(json!({"metadata": {"creationTimestamp": CREATED}, "status": {"cost": cost}})),
        at(0),
    )
}

#[test]
fn idle_time_and_start_up_are_paid_for_and_waiting_for_a_machine_is_not() {
    let spec = pool().spec;
    let mut ledger = ledger();
    ledger.advance(&[], &spec, at(100));
    assert_eq!(cost(&ledger).until, None, "nothing to count, nothing to write");
    ledger.advance(&[machine("a", Capacity::Spot, 100)], &spec, at(1900));
    ledger.advance(&[machine("b", Capacity::OnDemand, 1900)], &spec, at(3700));
    let cost = cost(&ledger);
    assert_eq!(
        (cost.spot.seconds, cost.spot.amount.to_string().as_str()),
        (3600, "0.90"),
        "a until it was missed"
    );
    assert_eq!((cost.on_demand.seconds, cost.on_demand.amount.to_string().as_str()), (1800, "1.80"));
    assert_eq!(
        (cost.total.to_string().as_str(), cost.on_demand_total.to_string().as_str()),
        ("2.70", "5.40")
    );
    assert_eq!((cost.saving_percent, cost.since), (50, Some(Time(at(0)))));
}

/// Machines that come and go, and a change of price; looked at whenever one of these happens, and at any other
/// times besides, once by a new leader after each.
#[test]
fn however_often_it_is_brought_up_to_date_it_comes_to_the_same() {
    let lives = [
        ("a", Capacity::Spot, 3, 31),
        ("b", Capacity::Spot, 7, 50),
        ("c", Capacity::OnDemand, 7, 23),
        ("d", Capacity::Spot, 40, 41),
    ];
    let (dearer_at, end) = (29, 50);
    let turns = [3, 7, 23, dearer_at, 31, 40, 41, end];
    let others = [0, 1, 5, 7, 11, 22, 28, 30, 47];
    let played = |chosen: u32, restarts: bool| {
        let mut times: Vec<i64> = turns.into();
        times.extend((0..).zip(others).filter(|(bit, _)| chosen & (1 << bit) != 0).map(|(_, time)| time));
        times.sort_unstable();
        let mut ledger = ledger();
        for time in times {
            let has = |(_, _, from, to): &&(&str, Capacity, i64, i64)| *from <= time && time < *to;
            let there: Vec<Machine> = lives.iter().filter(has).map(|l| machine(l.0, l.1, l.2)).collect();
            let price = if time < dearer_at { "0.90" } else { "1.01" };
            ledger.advance(&there, &spot_at(price), at(time));
            if restarts {
                let had = ledger.had.clone();
                ledger = Ledger { had, ..restarted(&ledger) };
            }
        }
        cost(&ledger)
    };
    let whole = played(0, false);
    assert_eq!((whole.spot.seconds, whole.on_demand.seconds), (28 + 43 + 1, 16));
    // 48 s at 0.90 and 24 s at 1.01 an hour, to the nearest millionth.
    assert_eq!(whole.spot.amount.micros(), (48 * 900_000 + 24 * 1_010_000 + 1800) / 3600);
    for chosen in 0..(1 << others.len()) {
        assert_eq!(played(chosen, false), whole, "looked at {chosen:b}");
    }
    let kept = played((1 << others.len()) - 1, true);
    assert_eq!((kept.spot.seconds, kept.on_demand.seconds), (whole.spot.seconds, whole.on_demand.seconds));
    let off = kept.total.micros().abs_diff(whole.total.micros());
    assert!(off <= 16, "a restart rounds to a millionth: {off}");
}

#[test]
fn a_new_leader_counts_the_gap_of_machines_that_are_still_there() {
    let spec = pool().spec;
    let mut ledger = ledger();
    ledger.advance(&[machine("a", Capacity::Spot, 0), machine("b", Capacity::Spot, 0)], &spec, at(1000));
    let mut ledger = restarted(&ledger);
    ledger.advance(&[machine("a", Capacity::Spot, 0), machine("c", Capacity::Spot, 1500)], &spec, at(2000));
    assert_eq!(cost(&ledger).spot.seconds, 2000 + 1000 + 500, "b was last seen at 1000 s");
}

#[test]
fn a_clock_that_goes_back_counts_nothing_twice() {
    let spec = pool().spec;
    let mut ledger = ledger();
    for time in [100, 40, 100, 110] {
        ledger.advance(&[machine("a", Capacity::Spot, 0)], &spec, at(time));
    }
    assert_eq!(cost(&ledger).spot.seconds, 110);
}

#[test]
fn amounts_of_two_currencies_are_not_added_up() {
    let mut ledger = ledger();
    ledger.advance(&[machine("a", Capacity::Spot, 0)], &pool().spec, at(100));
    ledger.book("acme", images(1, 5));
    let euros = pool_with(json!({"spec": {"currency": "EUR"}})).spec;
    ledger.advance(&[machine("a", Capacity::Spot, 0)], &euros, at(130));
    ledger.advance(&[machine("a", Capacity::Spot, 0)], &euros, at(150));
    let cost = cost(&ledger);
    assert_eq!((cost.currency.as_str(), cost.spot.seconds, cost.images.made), ("EUR", 20, 0));
}

fn images(made: u64, micros: u64) -> Images {
    let amount = Money::from_micros(micros);
    Images { made, gpu_ms: made * 1500, amount, on_demand: amount.times(4) }
}

#[test]
fn what_images_cost_is_added_up_by_tenant() {
    let mut ledger = ledger();
    ledger.book("acme", images(1, 500));
    ledger.book("acme", images(3, 1600));
    ledger.book("studio", images(2, 900));
    let cost = cost(&restarted(&ledger));
    let of = |tenant: &TenantCost| (tenant.name.clone(), tenant.images.made, tenant.images.amount.micros());
    let tenants: Vec<_> = cost.tenants.iter().map(of).collect();
    assert_eq!(tenants, [("acme".into(), 4, 2100), ("studio".into(), 2, 900)]);
    assert_eq!(
        (cost.images.made, cost.images.gpu_seconds.thousandths(), cost.images.amount.micros()),
        (6, 9000, 3000)
    );
    assert_eq!(cost.images.on_demand_amount.micros(), 12_000);
}

#[test]
fn those_who_spend_most_have_an_account_and_nothing_is_lost_of_the_rest() {
    let mut ledger = ledger();
    ledger.book("large", images(1000, 1_000_000));
    for i in 0..200 {
        ledger.book(&format!("small-{i}"), images(1, 10));
    }
    let cost = cost(&ledger);
    assert_eq!(cost.tenants.len(), TENANTS);
    assert!(cost.tenants.iter().any(|tenant| tenant.name == "large"));
    assert!(cost.tenants.iter().any(|tenant| tenant.name == "small-199"), "a newcomer gets a chance");
    assert_eq!((cost.images.made, cost.images.amount.micros()), (1200, 1_002_000));
}
