//! The pool that is simulated, and how long things take in it.
use std::{collections::BTreeMap, time::Duration};

use policy::{CapacityRule, Class, Fleet, Policy, Scaling};

use crate::{market::Market, random::Random};

/// Pictures are cut into so many segments at most, as the operator does.
const MAX_SEGMENTS: u64 = 32;

/// A pool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pool {
    /// What its owner wants.
    pub(crate) policy: Policy,
    /// How long things take.
    pub(crate) pace: Pace,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// From a Pod to its machine, where there is one: least and most, seconds. Not paid for.
    pub(crate) order: (f64, f64),
    /// From the machine to a ready engine: least and most, seconds. Paid for.
    pub(crate) boot: (f64, f64),
    /// Loading a model.
    pub(crate) load: Duration,
    /// From the cloud's notice to the machine's end.
    pub(crate) notice: Duration,
    /// From a worker's last sign to its lease's end: least and most, seconds.
    pub(crate) silence: (f64, f64),
    /// Pictures are made in segments of at least so much engine time, and what is done in whole segments outlives its
    /// worker; zero: in one piece.
    pub(crate) segment: Duration,
}

impl Pool {
    /// The pool of the documentation's examples, with room for the traces.
    pub(crate) fn standard() -> Self {
        let class =
            |name: &str, sla, capacity| Class { name: name.into(), sla: Duration::from_secs(sla), capacity };
        let fleet = |max| {
            Some(Fleet {
                min: 0,
                max,
                price_per_hour_micros: 0,
                zones: Vec::new(),
                zone_prices: BTreeMap::new(),
            })
        };
        Self {
            policy: Policy {
                classes: vec![
                    class("immediate", 30, CapacityRule::OnDemand),
                    class("standard", 300, CapacityRule::SpotThenOnDemand),
                    class("relaxed", 600, CapacityRule::Spot),
                ],
                spot: fleet(100),
                on_demand: fleet(100),
                scaling: Scaling { idle_after: Duration::from_secs(20), ..Scaling::default() },
                suspended: false,
                template: String::new(),
            },
            pace: Pace::standard(),
        }
    }

    /// The same in a market: its zones, and its prices at the beginning.
    pub(crate) fn in_market(mut self, market: &Market) -> Self {
        let start = policy::Time::default();
        let cheapest = market.zones.iter().map(|zone| zone.price.at(start)).min_by(f64::total_cmp);
        if let Some(fleet) = &mut self.policy.spot {
            fleet.zones = market.zones.iter().map(|zone| zone.name.clone()).collect();
            fleet.price_per_hour_micros = micros(cheapest.unwrap_or_default());
        }
        if let Some(fleet) = &mut self.policy.on_demand {
            fleet.price_per_hour_micros = micros(market.on_demand);
        }
        self
    }
}

impl Pace {
    /// A machine of a cloud that has one, an image that is there already or pulled quickly, a model of some GiB on a
    /// local disk, Google's notice (the shortest of the large clouds), leases as the queue has them.
    pub(crate) fn standard() -> Self {
        Self {
            order: (10.0, 20.0),
            boot: (70.0, 95.0),
            load: Duration::from_secs(8),
            notice: Duration::from_secs(30),
            silence: (7.0, 11.0),
            segment: Duration::from_secs(10),
        }
    }

    /// What is kept of a picture of which so much is done, both in milliseconds.
    pub(super) fn kept(&self, done: u64, whole: u64) -> u64 {
        let segment = u64::try_from(self.segment.as_millis()).unwrap_or(u64::MAX);
        let segments = whole.checked_div(segment).unwrap_or(0).min(MAX_SEGMENTS);
        if segments < 2 { 0 } else { done.min(whole) * segments / whole * whole / segments }
    }

    pub(super) fn draw_order(&self, random: &mut Random) -> Duration {
        Duration::from_secs_f64(random.between(self.order.0, self.order.1))
    }

    pub(super) fn draw_boot(&self, random: &mut Random) -> Duration {
        Duration::from_secs_f64(random.between(self.boot.0, self.boot.1))
    }

    pub(super) fn draw_silence(&self, random: &mut Random) -> Duration {
        Duration::from_secs_f64(random.between(self.silence.0, self.silence.1))
    }

    /// From a Pod to a worker with a model, as a rule.
    pub(crate) fn start_up(&self) -> Duration {
        let mean = |(least, most)| f64::midpoint(least, most);
        Duration::from_secs_f64(mean(self.order) + mean(self.boot)) + self.load
    }
}

/// A price in millionths.
pub(crate) fn micros(price: f64) -> u64 {
    // `as` saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let micros = (price * 1e6).round() as u64;
    micros
}
