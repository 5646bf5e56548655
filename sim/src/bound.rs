//! What nobody can stay below, whatever they know in advance: a lower bound on the cost of doing all work in time.
//!
//! It is a solution of the dual of the (relaxed) problem, so it is a bound by itself, not by having searched enough.
//! Give each second of ready spot machine time at t a worth v(t), and each of on-demand w, such that no machine could
//! earn more than it costs, whenever it is started and stopped:
//!
//! ```text
//!   for every session [s, e] in a zone:   ∫ v from s + start-up to e   ≤   ∫ price from s to e
//! ```
//!
//! Then any fleet that does the work costs at least the sum, over all tasks, of their seconds times the least worth
//! between arrival and due time on capacity they may run on. For on-demand `w = price` will do. For spot, a session lies
//! within one stretch in which its zone has machines; if that lasts L, this will do, as e − s ≤ L:
//!
//! ```text
//!   v(t) = price(t) + least price of the stretch × start-up / (L − start-up)
//! ```
//!
//! and the least of that over the zones. In words: every second of work pays its share of the start-up of the longest
//! session that could have held it. Start-up here is what is paid: from the machine to an engine with its first model.
//! Left out is what would only raise the bound: limits on machines, further model loads, fleets that come and go with
//! the load.
use std::time::Duration;

use policy::{CapacityRule, Time};

use crate::{
    arrivals::Task,
    market::{Market, Steps, Zone},
    world::Setup,
};

/// Least cost of doing every task in time; one that can't be in time counts with the least that it may cost later.
pub(crate) fn lower_bound(setup: &Setup) -> f64 {
    let pace = &setup.pool.pace;
    let start_up = Duration::from_secs_f64(pace.boot.0) + pace.load;
    let tasks = setup.work.tasks.iter().map(|task| {
        let class = &setup.pool.policy.classes[task.class];
        (task, task.at.plus(class.sla), class.capacity)
    });
    bound(setup.market, setup.work.span().plus(Duration::from_secs(86_400)), start_up, tasks)
}

fn bound<'a>(
    market: &Market,
    end: Time,
    start_up: Duration,
    tasks: impl Iterator<Item = (&'a Task, Time, CapacityRule)>,
) -> f64 {
    let spot = Worth::of_spot(market, end, start_up);
    let cost = |(task, due, rule): (&Task, Time, CapacityRule)| {
        let on_spot = || spot.least(task.at, due);
        let worth = match rule {
            CapacityRule::OnDemand => market.on_demand,
            CapacityRule::SpotThenOnDemand => on_spot().map_or(market.on_demand, |v| v.min(market.on_demand)),
            CapacityRule::Spot => on_spot().or_else(|| spot.least(task.at, end)).unwrap_or_default(),
        };
        worth * task.exec as f64 / 3.6e6
    };
    tasks.map(cost).sum()
}

/// What a second of ready spot machine time is worth, per hour; infinite where there is none.
#[derive(Debug)]
struct Worth(Vec<(Time, f64)>);

impl Worth {
    fn of_spot(market: &Market, end: Time, start_up: Duration) -> Self {
        let zones: Vec<Vec<(Time, f64)>> =
            market.zones.iter().map(|zone| of_zone(zone, end, start_up)).collect();
        let mut times: Vec<Time> = zones.iter().flatten().map(|(at, _)| *at).collect();
        times.sort_unstable();
        times.dedup();
        let mut places = vec![0; zones.len()];
        let mut least: Vec<(Time, f64)> = Vec::new();
        for time in times {
            let mut worth = f64::INFINITY;
            for (zone, place) in zones.iter().zip(&mut places) {
                while zone.get(*place).is_some_and(|(at, _)| *at <= time) {
                    *place += 1;
                }
                worth = place.checked_sub(1).map_or(worth, |last| worth.min(zone[last].1));
            }
            if least.last().is_none_or(|(_, last)| {
                (*last - worth).abs() > 0.0 || last.is_infinite() != worth.is_infinite()
            }) {
                least.push((time, worth));
            }
        }
        Self(least)
    }

    /// The least between two times; none where there are no machines.
    fn least(&self, from: Time, to: Time) -> Option<f64> {
        let first = self.0.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let within = self.0[first.min(self.0.len())..].iter().take_while(|(at, _)| *at <= to);
        let least = within.map(|(_, worth)| *worth).fold(f64::INFINITY, f64::min);
        least.is_finite().then_some(least)
    }
}

/// The worth in one zone, from each time on.
fn of_zone(zone: &Zone, end: Time, start_up: Duration) -> Vec<(Time, f64)> {
    let there =
        Steps::new(zone.machines.stretches(end).map(|(from, _, machines)| (from, u32::from(machines > 0))));
    let mut worth = vec![(Time::default(), f64::INFINITY)];
    for (from, to, there) in there.stretches(end) {
        let lasts = to.since(from);
        if there == 0 || lasts <= start_up {
            worth.push((from, f64::INFINITY));
            continue;
        }
        let prices: Vec<(Time, f64)> = zone
            .price
            .stretches(end)
            .filter(|(f, t, _)| *f < to && *t > from)
            .map(|(f, _, price)| (f.max(from), price))
            .collect();
        let least = prices.iter().map(|(_, price)| *price).fold(f64::INFINITY, f64::min);
        let share = start_up.as_secs_f64() / (lasts - start_up).as_secs_f64();
        worth.extend(prices.iter().map(|(at, price)| (*at, price + least * share)));
    }
    worth
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)] // numbers below 32
    use super::*;

    /// Seconds in a slot of the tiny worlds below, and slots in one.
    const SLOT: u64 = 10;
    const SLOTS: u32 = 5;
    const START_UP: Duration = Duration::from_secs(SLOT);

    fn at(slot: u32) -> Time {
        Time::from_millis(u64::from(slot) * SLOT * 1000)
    }

    /// Two zones with a machine each, in the slots of a mask.
    fn market(there: [u32; 2], prices: [f64; 2], on_demand: f64) -> Market {
        let zone = |i: usize| Zone {
            name: format!("zone-{i}"),
            machines: Steps::new(
                (0..SLOTS).map(|slot| (at(slot), there[i] >> slot & 1)).chain([(at(SLOTS), 0)]),
            ),
            price: Steps::constant(prices[i]),
        };
        Market { zones: vec![zone(0), zone(1)], on_demand, span: at(SLOTS) }
    }

    /// Slots in which a machine that is on in these works: all but the first of each session.
    fn works(on: u32) -> u32 {
        on & (on << 1)
    }

    /// Whether tasks of a slot each can all be done, each by one machine in one slot.
    fn done(tasks: &[(u32, u32, CapacityRule)], spot: &mut [u32], on_demand: &mut [u32]) -> bool {
        let Some(((from, to, rule), rest)) = tasks.split_first() else { return true };
        for slot in *from as usize..*to as usize {
            for (pool, may) in [(0, true), (1, *rule == CapacityRule::SpotThenOnDemand)] {
                let free = if pool == 0 { &mut spot[slot] } else { &mut on_demand[slot] };
                if !may || *free == 0 {
                    continue;
                }
                *free -= 1;
                if done(rest, spot, on_demand) {
                    return true;
                }
                let free = if pool == 0 { &mut spot[slot] } else { &mut on_demand[slot] };
                *free += 1;
            }
        }
        false
    }

    /// The least cost over all ways to run three machines, two of spot and one on demand.
    fn by_brute_force(there: [u32; 2], prices: [f64; 3], tasks: &[(u32, u32, CapacityRule)]) -> Option<f64> {
        let masks = 0..1u32 << SLOTS;
        let mut least: Option<f64> = None;
        for a in masks.clone().filter(|on| on & !there[0] == 0) {
            for b in masks.clone().filter(|on| on & !there[1] == 0) {
                for c in masks.clone() {
                    let cost =
                        [a, b, c].iter().zip(prices).map(|(on, p)| f64::from(on.count_ones()) * p).sum();
                    if least.is_some_and(|least| cost >= least) {
                        continue;
                    }
                    let slots = |on: u32| (0..SLOTS).map(move |slot| works(on) >> slot & 1);
                    let mut spot: Vec<u32> = slots(a).zip(slots(b)).map(|(a, b)| a + b).collect();
                    let mut on_demand: Vec<u32> = slots(c).collect();
                    if done(tasks, &mut spot, &mut on_demand) {
                        least = Some(cost);
                    }
                }
            }
        }
        least.map(|cost| cost * SLOT as f64 / 3600.0)
    }

    #[test]
    fn no_way_to_run_a_tiny_world_costs_less() {
        let mut random = crate::random::Random::part(7, 0);
        let (mut solved, mut above_price) = (0, 0);
        for _ in 0..150 {
            let mut mask = || random.below(1 << SLOTS) as u32;
            let there = [mask(), mask()];
            let prices = [random.between(1.0, 2.0), random.between(1.0, 2.0), random.between(2.0, 4.0)];
            let tasks: Vec<(u32, u32, CapacityRule)> = (0..1 + random.below(3))
                .map(|_| {
                    let from = random.below(SLOTS as usize) as u32;
                    let to = from + 1 + random.below((SLOTS - from) as usize) as u32;
                    let rule = [CapacityRule::Spot, CapacityRule::SpotThenOnDemand][random.below(2)];
                    (from, to, rule)
                })
                .collect();
            let Some(least) = by_brute_force(there, prices, &tasks) else { continue };
            let market = market(there, [prices[0], prices[1]], prices[2]);
            let real: Vec<Task> = tasks
                .iter()
                .map(|(from, ..)| Task {
                    at: at(*from),
                    tenant: 0,
                    class: 0,
                    model: 0,
                    exec: SLOT * 1000,
                    units: 1.0,
                })
                .collect();
            let with_due = real.iter().zip(&tasks).map(|(task, (_, to, rule))| (task, at(*to), *rule));
            let bound = bound(&market, at(SLOTS), START_UP, with_due);
            assert!(bound <= least + 1e-9, "{bound} > {least}: {there:?} {prices:?} {tasks:?}");
            solved += 1;
            let cheapest = prices.into_iter().fold(f64::INFINITY, f64::min) * SLOT as f64 / 3600.0;
            above_price += usize::from(bound > cheapest * tasks.len() as f64 * 1.1);
        }
        assert!(solved > 40 && above_price > 20, "{solved} solved, {above_price} above the price alone");
    }
}
