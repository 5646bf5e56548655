//! The operator's own policy.
use policy::{Forecast, Memory, Policy, Sample, Seen, Time, plan};

use super::{Decisions, Scaler};
use crate::{market::Market, world::micros};

/// The operator's own policy, with what it remembers.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    policy: Policy,
    memory: Memory,
    forecast: Forecast,
    market: &'a Market,
}

impl<'a> Product<'a> {
    /// One that has learned nothing yet.
    pub(crate) fn new(policy: &Policy, market: &'a Market) -> Self {
        Self { policy: policy.clone(), memory: Memory::default(), forecast: Forecast::default(), market }
    }

    /// The pool's owner keeps its prices up to date.
    fn update_prices(&mut self, now: Time) {
        let Some(fleet) = &mut self.policy.spot else { return };
        for zone in &self.market.zones {
            let price = micros(zone.price.at(now));
            match fleet.zone_prices.get_mut(&zone.name) {
                Some(known) => *known = price,
                None => drop(fleet.zone_prices.insert(zone.name.clone(), price)),
            }
        }
    }
}

impl Scaler for Product<'_> {
    fn decide(&mut self, now: Time, seen: &Seen) -> Decisions {
        self.update_prices(now);
        let plan = plan(now, &self.policy, seen, &self.memory);
        (self.memory, self.forecast) = (plan.memory, plan.forecast);
        let actions = plan.actions.into_iter().map(|decision| decision.action).collect();
        Decisions { actions, wake_after: plan.wake_after }
    }

    fn learn(&mut self, sample: &Sample) {
        self.memory.estimates.observe(sample);
    }

    fn forecast(&self) -> Option<&Forecast> {
        Some(&self.forecast)
    }
}
