//! What a machine costs an hour, now and before. Pure.

use crds::{Capacity, Fleet, FleetPrice, FleetType, Money, Prices, Time, WorkerPool, WorkerPoolSpec};
use jiff::Timestamp;

/// Prices remembered; the API's limit.
const KEPT: usize = 32;

/// A pool's prices, oldest first; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PriceHistory(Vec<Prices>);

impl PriceHistory {
    /// As the pool's status has it; of a pool without, the prices in its spec.
    pub(crate) fn of(pool: &WorkerPool) -> Self {
        let kept = pool.status.as_ref().and_then(|status| status.cost.as_ref()).map(|cost| &cost.prices);
        match kept.filter(|prices| !prices.is_empty()) {
            Some(prices) => Self(prices.clone()),
            None => Self::since(&pool.spec, Timestamp::UNIX_EPOCH),
        }
    }

    /// Of a pool that had no prices before.
    pub(crate) fn since(spec: &WorkerPoolSpec, since: Timestamp) -> Self {
        Self(vec![prices(spec, since)])
    }

    /// Notes what the spec says now, if that is new.
    pub(crate) fn note(&mut self, spec: &WorkerPoolSpec, now: Timestamp) {
        let new = prices(spec, now);
        let known = self.0.last().is_some_and(|last| last.fleets == new.fleets);
        if !known {
            self.0.push(new);
            self.0.drain(..self.0.len().saturating_sub(KEPT));
        }
    }

    /// Those in force at a time; of a time before the first known, the first known.
    pub(crate) fn at(&self, time: Timestamp) -> Rates {
        let in_force = self.0.iter().rev().find(|prices| prices.since.0 <= time).or_else(|| self.0.first());
        Rates::of(in_force)
    }

    /// Those of the last note.
    pub(crate) fn last(&self) -> Rates {
        Rates::of(self.0.last())
    }

    /// For the status.
    pub(crate) fn list(&self) -> &[Prices] {
        &self.0
    }
}

/// Prices per hour at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    spot: Option<Money>,
    on_demand: Option<Money>,
}

impl Rates {
    fn of(prices: Option<&Prices>) -> Self {
        let of = |fleet_type| {
            let mut fleets = prices.iter().flat_map(|prices| &prices.fleets);
            Some(fleets.find(|fleet| fleet.fleet_type == fleet_type)?.price_per_hour)
        };
        Self { spot: of(FleetType::Spot), on_demand: of(FleetType::OnDemand) }
    }

    /// Of a kind of machine; one without a price is charged as on demand.
    pub(crate) fn on(self, capacity: Capacity) -> Money {
        let own = match capacity {
            Capacity::Spot => self.spot,
            Capacity::OnDemand => self.on_demand,
        };
        own.unwrap_or_else(|| self.on_demand())
    }

    /// What would be paid on demand; the spot price in a pool without on-demand machines.
    pub(crate) fn on_demand(self) -> Money {
        self.on_demand.or(self.spot).unwrap_or_default()
    }
}

fn prices(spec: &WorkerPoolSpec, since: Timestamp) -> Prices {
    let price = |fleet: &Fleet| FleetPrice {
        name: fleet.name.clone(),
        fleet_type: fleet.fleet_type,
        price_per_hour: fleet.price_per_hour,
    };
    Prices { since: Time(since), fleets: spec.fleets.iter().map(price).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, pool, pool_with};

    fn spot_at(price: &str) -> WorkerPoolSpec {
        pool_with(json!({"spec": {"fleets": {"spot": {"pricePerHour": price}}}})).spec
    }

    #[test]
    fn what_was_done_before_a_change_keeps_its_price() {
        let mut history = PriceHistory::since(&spot_at("0.90"), at(10));
        history.note(&spot_at("0.90"), at(20));
        history.note(&spot_at("1.20"), at(30));
        let seen: Vec<String> =
            [0, 10, 29, 30, 99].map(|s| history.at(at(s)).on(Capacity::Spot).to_string()).into();
        assert_eq!(seen, ["0.90", "0.90", "0.90", "1.20", "1.20"]);
        assert_eq!(history.list().len(), 2, "what is not new is not noted");
    }

    #[test]
    fn only_the_last_changes_are_kept() {
        let mut history = PriceHistory::of(&pool());
        for second in 0..100 {
            history.note(&spot_at(&format!("0.{:02}", second % 90 + 1)), at(second));
        }
        assert_eq!(history.list().len(), KEPT);
        assert_eq!(
            history.at(at(0)),
            history.at(at(100 - KEPT as i64)),
            "the first known stands for all before"
        );
    }

    #[test]
    fn prices_that_are_missing_are_taken_from_the_other_fleet() {
        let spot_only = pool_with(json!({"spec": {"fleets": {"on-demand": null}}}));
        let rates = PriceHistory::of(&spot_only).last();
        assert_eq!(
            (rates.on(Capacity::OnDemand), rates.on_demand()),
            (rates.on(Capacity::Spot), rates.on(Capacity::Spot))
        );
    }
}
