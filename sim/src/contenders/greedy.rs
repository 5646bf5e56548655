//! Greedy spot: a worker for every task, at once, on the cheapest spot machine there is; on demand where there is none.
use std::time::Duration;

use policy::{Action, Capacity, Health, Order, Phase, Policy, Seen, Time, Worker};

use super::{Decisions, Scaler, tasks};
use crate::market::Market;

/// Idle workers go after this, as the product's do by default.
const IDLE: Duration = Duration::from_secs(60);

/// Greedy spot. It knows, as nobody really does, which zones have machines.
#[derive(Debug)]
pub(crate) struct Greedy<'a> {
    market: &'a Market,
    most: usize,
    only_on_demand: Vec<String>,
}

impl<'a> Greedy<'a> {
    /// In a market.
    pub(crate) fn new(policy: &Policy, market: &'a Market) -> Self {
        let (spot, on_demand) = (policy.serves(Capacity::Spot), policy.serves(Capacity::OnDemand));
        let only_on_demand = on_demand.iter().filter(|class| !spot.contains(class)).cloned().collect();
        let most = policy.spot.as_ref().map_or(0, |fleet| fleet.max as usize);
        Self { market, most, only_on_demand }
    }

    /// The cheapest zone with a machine that none of ours has.
    fn cheapest(&self, now: Time, taken: &[usize]) -> Option<usize> {
        let free = |zone: &usize| self.market.zones[*zone].machines.at(now) as usize > taken[*zone];
        let price = |zone: &usize| self.market.zones[*zone].price.at(now);
        (0..self.market.zones.len()).filter(free).min_by(|a, b| price(a).total_cmp(&price(b)))
    }

    fn start(&self, now: Time, seen: &Seen) -> Vec<Action> {
        let well = |worker: &&Worker| worker.health == Health::Healthy && worker.order == Order::Work;
        let there = seen.workers.iter().filter(well).count();
        let urgent = seen.queue.iter().flat_map(|queue| &queue.backlog);
        let urgent: u64 = urgent
            .filter(|bucket| self.only_on_demand.contains(&bucket.class))
            .map(|bucket| bucket.tasks)
            .sum();
        let dear = |worker: &&Worker| worker.capacity == Capacity::OnDemand && worker.phase != Phase::Busy;
        let dear = seen.workers.iter().filter(well).filter(dear).count();
        let urgent = usize::try_from(urgent).unwrap_or(usize::MAX).saturating_sub(dear);
        let mut taken: Vec<usize> = self
            .market
            .zones
            .iter()
            .map(|zone| {
                seen.workers.iter().filter(|worker| worker.zone.as_deref() == Some(&zone.name)).count()
            })
            .collect();
        let missing = tasks(seen).min(self.most).saturating_sub(there);
        let one = |i: usize| {
            let zone = if i < urgent { None } else { self.cheapest(now, &taken) };
            if let Some(zone) = zone {
                taken[zone] += 1;
            }
            let capacity = if zone.is_some() { Capacity::Spot } else { Capacity::OnDemand };
            let zone = zone.map(|zone| self.market.zones[zone].name.clone());
            Action::Start { capacity, zone, n: 1, model: None }
        };
        (0..missing).map(one).collect()
    }
}

impl Scaler for Greedy<'_> {
    fn decide(&mut self, now: Time, seen: &Seen) -> Decisions {
        let mut actions = self.start(now, seen);
        let idle = |worker: &&Worker| {
            let long = matches!(worker.phase, Phase::Idle { since } if now.since(since) >= IDLE);
            long || worker.health == Health::Gone
        };
        let idle = seen.workers.iter().filter(idle);
        actions.extend(idle.map(|worker| match worker.health {
            Health::Gone => Action::Evict { worker: worker.id.clone() },
            _ => Action::Retire { worker: worker.id.clone() },
        }));
        Decisions { actions, wake_after: Duration::from_secs(10) }
    }
}
