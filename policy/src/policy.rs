//! What the pool's owner wants: classes, capacity, knobs.
use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Everything the owner of a pool decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The classes tasks may have.
    pub classes: Vec<Class>,
    /// Machines that may vanish at any moment; `None`: the pool has no such capacity.
    pub spot: Option<Fleet>,
    /// Machines that stay; `None`: the pool has no such capacity.
    pub on_demand: Option<Fleet>,
    /// How the fleet follows the work.
    pub scaling: Scaling,
    /// Start nothing, and let go of what holds no work: it may claim none.
    pub paused: bool,
    /// What workers are made of now, in short (a hash). Shortages and failures of another template are forgotten, and
    /// workers made from it are replaced bit by bit.
    pub template: String,
}

/// How urgent a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name, also that of the lane its tasks wait in.
    pub name: String,
    /// The promise: due = arrival + sla.
    pub sla: Duration,
    /// What its tasks may run on.
    pub capacity: CapacityRule,
}

/// What the tasks of a class may run on, and what may be started for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityRule {
    /// On-demand only, started at once.
    OnDemand,
    /// Spot; on-demand is started when spot can't make it in time any more.
    SpotThenOnDemand,
    /// Only spot is ever started for it (an on-demand worker that is there anyway may run it).
    Spot,
}

/// The two kinds of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Capacity {
    /// Cheap, may be taken away at any moment.
    Spot,
    /// Dear, stays.
    OnDemand,
}

/// The workers of one capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Kept even with nothing to do.
    pub min: u32,
    /// Never more than this (workers on doomed or gone nodes aside: they are on their way out).
    pub max: u32,
    /// Price of one worker's machine per hour, in millionths of the pool's currency.
    pub price_per_hour_micros: u64,
    /// Where workers may be started, to be spread over; empty: the scheduler chooses.
    pub zones: Vec<String>,
    /// Price per hour where it is another one than the fleet's, in millionths.
    pub zone_prices: BTreeMap<String, u64>,
}

impl Fleet {
    /// Price of one worker's machine in a zone, per hour, in millionths of the pool's currency.
    pub fn price_in(&self, zone: &str) -> u64 {
        self.zone_prices.get(zone).copied().unwrap_or(self.price_per_hour_micros)
    }
}

/// How the fleet follows the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// Longest time a worker sits idle before it goes; also the idle worker-seconds a fleet may gather in
    /// short gaps before it is found one worker too large.
    pub idle_after: Duration,
    /// Time kept free before every due time, for what no estimate foresees.
    pub margin: Duration,
    /// A worker that finds no machine for this long tells of a shortage in its zone, unless new machines are known to
    /// take longer here.
    pub shortage_after: Duration,
    /// How long a zone is avoided after its first shortage; doubles with each one that follows, to 16 times.
    pub shortage_backoff: Duration,
    /// How long an engine may take to start once its image is there.
    pub engine_start: Duration,
    /// Workers made from an older template that are busy all the time are replaced as well once the template is this
    /// old; until then those that idle.
    pub rollout_busy_after: Duration,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            idle_after: Duration::from_secs(60),
            margin: Duration::from_secs(15),
            shortage_after: Duration::from_secs(75),
            shortage_backoff: Duration::from_secs(120),
            engine_start: Duration::from_secs(600),
            rollout_busy_after: Duration::from_secs(120),
        }
    }
}

impl Policy {
    /// The fleet of a capacity, if the pool has it.
    pub fn fleet(&self, capacity: Capacity) -> Option<&Fleet> {
        match capacity {
            Capacity::Spot => self.spot.as_ref(),
            Capacity::OnDemand => self.on_demand.as_ref(),
        }
    }

    /// The class of that name, if the pool has it.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The classes a worker of this capacity serves, most urgent first. On-demand workers run anything while
    /// they are there; spot workers never run on-demand classes.
    pub fn serves(&self, capacity: Capacity) -> Vec<String> {
        let mut classes: Vec<&Class> = self.classes.iter().filter(|c| c.capacity.runs_on(capacity)).collect();
        classes.sort_by(|a, b| a.sla.cmp(&b.sla).then_with(|| a.name.cmp(&b.name)));
        classes.into_iter().map(|class| class.name.clone()).collect()
    }
}

impl CapacityRule {
    /// Whether a worker of that capacity may run such tasks.
    pub fn runs_on(self, capacity: Capacity) -> bool {
        !matches!((self, capacity), (Self::OnDemand, Capacity::Spot))
    }

    /// Whether a worker of that capacity may be started for such tasks.
    pub fn may_start(self, capacity: Capacity) -> bool {
        !matches!((self, capacity), (Self::OnDemand, Capacity::Spot) | (Self::Spot, Capacity::OnDemand))
    }
}

impl Capacity {
    /// Both, the cheap one first.
    pub const ALL: [Self; 2] = [Self::Spot, Self::OnDemand];

    /// For metric labels and the queue's results: `spot` or `onDemand`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "onDemand",
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        })
    }
}
