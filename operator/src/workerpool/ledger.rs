//! What a pool costs, added up: its workers' machines over time, and the images of its jobs by tenant. Pure.
//!
//! Whole seconds and whole millionths, so it comes to the same however often it is brought up to date. It is kept
//! in the pool's status, and a new leader goes on from there: machines that are still there are counted from where
//! it stopped, those that went meanwhile are not seen any more.

use std::collections::BTreeMap;

use crds::{
    Capacity, Decimal, ImageCost, MachineCost, Money, PoolCost, TenantCost, Time, WorkerPool, WorkerPoolSpec,
};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::prices::{PriceHistory, Rates};

/// Tenants with an account of their own; the API's limit.
const TENANTS: usize = 50;
const HOUR: u128 = 3600;

/// A pool's accounts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ledger {
    currency: String,
    since: Timestamp,
    until: Option<Timestamp>,
    machines: [Machines; 2],
    tenants: BTreeMap<String, Images>,
    others: Images,
    prices: PriceHistory,
    /// The workers that had a machine when it was last brought up to date.
    had: BTreeMap<String, Capacity>,
}

/// A worker that has a machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    pub(crate) worker: String,
    pub(crate) capacity: Capacity,
    pub(crate) since: Timestamp,
}

/// Machine time of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Machines {
    pub(crate) seconds: u64,
    /// Price × seconds: millionths per hour × seconds, so that no rounding adds up.
    amount: u128,
    on_demand: u128,
}

/// Images made, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Images {
    pub(crate) made: u64,
    pub(crate) gpu_ms: u64,
    pub(crate) amount: Money,
    pub(crate) on_demand: Money,
}

impl Ledger {
    /// As the pool's status has it; else begun with the pool, or now where the currency is another one.
    pub(crate) fn of(pool: &WorkerPool, now: Timestamp) -> Self {
        let spec = &pool.spec;
        match pool.status.as_ref().and_then(|status| status.cost.as_ref()) {
            Some(cost) if cost.currency != spec.currency => Self::begun(spec, now, Some(whole(now))),
            Some(cost) if cost.since.is_some() => Self::kept(cost, PriceHistory::of(pool)),
            _ => Self::begun(spec, pool.creation_timestamp().map_or(now, |created| created.0), None),
        }
    }

    fn begun(spec: &WorkerPoolSpec, since: Timestamp, until: Option<Timestamp>) -> Self {
        Self {
            currency: spec.currency.clone(),
            since,
            until,
            machines: <[Machines; 2]>::default(),
            tenants: BTreeMap::new(),
            others: Images::default(),
            prices: PriceHistory::since(spec, since),
            had: BTreeMap::new(),
        }
    }

    fn kept(cost: &PoolCost, prices: PriceHistory) -> Self {
        let exact = |money: Money| u128::from(money.micros()) * HOUR;
        let MachineCost { seconds, amount, on_demand_amount } = cost.spot;
        let spot = Machines { seconds, amount: exact(amount), on_demand: exact(on_demand_amount) };
        let MachineCost { seconds, amount, on_demand_amount } = cost.on_demand;
        let on_demand = Machines { seconds, amount: exact(amount), on_demand: exact(on_demand_amount) };
        let account = |tenant: &TenantCost| (tenant.name.clone(), Images::kept(tenant.images));
        Self {
            currency: cost.currency.clone(),
            since: cost.since.as_ref().map_or(Timestamp::UNIX_EPOCH, |since| since.0),
            until: cost.until.as_ref().map(|until| until.0),
            machines: [spot, on_demand],
            tenants: cost.tenants.iter().map(account).collect(),
            others: Images::kept(cost.other_tenants),
            prices,
            had: BTreeMap::new(),
        }
    }

    /// Counts the machines up to now, at the prices there were until now; what was added, by [`KINDS`].
    ///
    /// A machine that went since the last time is counted in full until now: the end of a Pod asks for a
    /// reconcile at once.
    pub(crate) fn advance(
        &mut self,
        machines: &[Machine],
        spec: &WorkerPoolSpec,
        now: Timestamp,
    ) -> [Machines; 2] {
        let now = whole(now);
        if self.currency != spec.currency {
            *self = Self::begun(spec, now, Some(now));
        }
        let rates = self.prices.last();
        let counted = |since: Timestamp| self.until.map_or(since, |until| until.max(since));
        let mut added = <[Machines; 2]>::default();
        for machine in machines {
            added[index(machine.capacity)].add(counted(machine.since), now, rates, machine.capacity);
        }
        for (worker, capacity) in &self.had {
            if !machines.iter().any(|machine| machine.worker == *worker) {
                added[index(*capacity)].add(counted(Timestamp::UNIX_EPOCH), now, rates, *capacity);
            }
        }
        for (sum, more) in self.machines.iter_mut().zip(added) {
            sum.seconds += more.seconds;
            sum.amount += more.amount;
            sum.on_demand += more.on_demand;
        }
        if !(machines.is_empty() && self.had.is_empty()) {
            self.until = Some(self.until.map_or(now, |until| until.max(now)));
        }
        self.had = machines.iter().map(|machine| (machine.worker.clone(), machine.capacity)).collect();
        self.prices.note(spec, now);
        added
    }

    /// Puts what a job's images cost on its tenant's account.
    pub(crate) fn book(&mut self, tenant: &str, images: Images) {
        let account = self.tenants.entry(tenant.to_owned()).or_default();
        *account = account.plus(images);
        if self.tenants.len() > TENANTS {
            let others = self.tenants.iter().filter(|(name, _)| *name != tenant);
            let least = others.min_by_key(|(_, images)| images.amount).map(|(name, _)| name.clone());
            let least = least.and_then(|name| self.tenants.remove(&name));
            self.others = self.others.plus(least.unwrap_or_default());
        }
    }

    /// For the status, beside what the workers cost per hour now.
    pub(crate) fn cost(&self, per_hour: Money, on_demand_per_hour: Money) -> PoolCost {
        let [spot, on_demand] = self.machines.map(Machines::cost);
        let total = spot.amount.plus(on_demand.amount);
        let on_demand_total = spot.on_demand_amount.plus(on_demand.on_demand_amount);
        let images = self.tenants.values().copied().fold(self.others, Images::plus);
        let account =
            |(name, images): (&String, &Images)| TenantCost { name: name.clone(), images: images.cost() };
        PoolCost {
            per_hour,
            on_demand_per_hour,
            currency: self.currency.clone(),
            since: Some(Time(self.since)),
            until: self.until.map(Time),
            total,
            on_demand_total,
            saving_percent: total.percent_below(on_demand_total),
            spot,
            on_demand,
            images: images.cost(),
            tenants: self.tenants.iter().map(account).collect(),
            other_tenants: self.others.cost(),
            prices: self.prices.list().to_vec(),
        }
    }
}

/// The order of what [`Ledger::advance`] adds.
pub(crate) const KINDS: [Capacity; 2] = [Capacity::Spot, Capacity::OnDemand];

const fn index(capacity: Capacity) -> usize {
    match capacity {
        Capacity::Spot => 0,
        Capacity::OnDemand => 1,
    }
}

impl Machines {
    fn add(&mut self, from: Timestamp, to: Timestamp, rates: Rates, capacity: Capacity) {
        let seconds = u64::try_from(to.as_second() - from.as_second()).unwrap_or_default();
        let worth = |price: Money| u128::from(price.micros()) * u128::from(seconds);
        self.seconds += seconds;
        self.amount += worth(rates.on(capacity));
        self.on_demand += worth(rates.on_demand());
    }

    fn cost(self) -> MachineCost {
        MachineCost {
            seconds: self.seconds,
            amount: rounded(self.amount),
            on_demand_amount: rounded(self.on_demand),
        }
    }

    /// In units of the currency, unrounded, and what it would have been on demand.
    pub(crate) fn amounts(self) -> (f64, f64) {
        #[allow(clippy::cast_precision_loss)] // for counters, which are floating-point numbers
        let units = |exact: u128| exact as f64 / 3.6e9;
        (units(self.amount), units(self.on_demand))
    }
}

fn rounded(exact: u128) -> Money {
    Money::from_micros(u64::try_from((exact + HOUR / 2) / HOUR).unwrap_or(u64::MAX))
}

/// The API keeps whole seconds: counted up to a fraction of one, the rest would be counted again after a restart.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

impl Images {
    fn kept(cost: ImageCost) -> Self {
        let ImageCost { made, gpu_seconds, amount, on_demand_amount } = cost;
        Self { made, gpu_ms: millis(gpu_seconds), amount, on_demand: on_demand_amount }
    }

    pub(crate) fn cost(self) -> ImageCost {
        let Self { made, gpu_ms, amount, on_demand } = self;
        ImageCost { made, gpu_seconds: Decimal::seconds(gpu_ms), amount, on_demand_amount: on_demand }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            made: self.made.saturating_add(other.made),
            gpu_ms: self.gpu_ms.saturating_add(other.gpu_ms),
            amount: self.amount.plus(other.amount),
            on_demand: self.on_demand.plus(other.on_demand),
        }
    }
}

fn millis(seconds: Decimal) -> u64 {
    u64::try_from(seconds.thousandths()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
