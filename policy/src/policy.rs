//! The settings of a pool's owner: classes, fleets and scaling.
use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The settings of one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The classes that tasks may have.
    pub classes: Vec<Class>,
    /// The fleet on machines that may be taken away at any time; `None`: the pool has no spot capacity.
    pub spot: Option<Fleet>,
    /// The fleet on machines that stay; `None`: the pool has no on-demand capacity.
    pub on_demand: Option<Fleet>,
    /// How the fleets follow the work.
    pub scaling: Scaling,
    /// Whether the pool is suspended: no worker starts and no task is claimed, so workers without a task are removed.
    pub suspended: bool,
    /// A hash of the template from which workers are made now. When it changes, shortages and failures of the old
    /// template are forgotten, and workers made from it are replaced step by step.
    pub template: String,
}

/// A class of tasks: how urgent they are and where they may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The class's name, which is also the name of its lane in the queue.
    pub name: String,
    /// The promise: a task is due this long after its arrival.
    pub sla: Duration,
    /// The capacity that the class's tasks may run on.
    pub capacity: CapacityRule,
}

/// Which capacity the tasks of a class may run on, and which capacity may be started for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityRule {
    /// The tasks run on demand only; on-demand workers are started at once.
    OnDemand,
    /// The tasks run on spot; on-demand workers are started when spot can't finish in time.
    SpotThenOnDemand,
    /// Only spot workers are started for the tasks. An on-demand worker that exists anyway may run them.
    Spot,
}

/// The two kinds of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Capacity {
    /// A cheap machine that may be taken away at any time.
    Spot,
    /// An expensive machine that stays.
    OnDemand,
}

/// The limits, prices and zones of the workers of one capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// The number of workers that stay even without work.
    pub min: u32,
    /// The largest number of workers. Workers on doomed or dead nodes do not count, since they are about to disappear.
    pub max: u32,
    /// The price of one worker's machine per hour, in millionths of the pool's currency.
    pub price_per_hour_micros: u64,
    /// The zones over which workers are spread; empty: the scheduler chooses.
    pub zones: Vec<String>,
    /// Prices per hour of zones that differ from `price_per_hour_micros`, in millionths of the pool's currency.
    pub zone_prices: BTreeMap<String, u64>,
}

impl Fleet {
    /// The price of one worker's machine in a zone per hour, in millionths of the pool's currency.
    pub fn price_in(&self, zone: &str) -> u64 {
        self.zone_prices.get(zone).copied().unwrap_or(self.price_per_hour_micros)
    }
}

/// How the fleets follow the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// The longest time that a worker idles before it is removed. It is also the number of idle worker-seconds in short
    /// gaps after which the spot fleet counts as one worker too large.
    pub idle_after: Duration,
    /// Time that the plan keeps free before every due time, for what the estimates do not foresee.
    pub margin: Duration,
    /// A worker that has waited for a machine for this long reports a shortage in its zone, unless new machines are
    /// known to take longer in this pool.
    pub shortage_after: Duration,
    /// How long a zone is avoided after its first shortage. It doubles with each further shortage in a row, up to 16
    /// times.
    pub shortage_backoff: Duration,
    /// The longest time that an engine may take to start after its image is pulled.
    pub engine_start: Duration,
    /// The age of a template from which on busy workers of older templates are replaced too; before that, only idle
    /// ones are.
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

    /// The class with this name, if the pool has it.
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The names of the classes that a worker of this capacity serves, most urgent first. On-demand workers serve all
    /// classes; spot workers do not serve on-demand classes.
    pub fn serves(&self, capacity: Capacity) -> Vec<String> {
        let mut classes: Vec<&Class> = self.classes.iter().filter(|c| c.capacity.runs_on(capacity)).collect();
        classes.sort_by(|a, b| a.sla.cmp(&b.sla).then_with(|| a.name.cmp(&b.name)));
        classes.into_iter().map(|class| class.name.clone()).collect()
    }
}

impl CapacityRule {
    /// Whether a worker of this capacity may run the class's tasks.
    pub fn runs_on(self, capacity: Capacity) -> bool {
        !matches!((self, capacity), (Self::OnDemand, Capacity::Spot))
    }

    /// Whether a worker of this capacity may be started for the class's tasks.
    pub fn may_start(self, capacity: Capacity) -> bool {
        !matches!((self, capacity), (Self::OnDemand, Capacity::Spot) | (Self::Spot, Capacity::OnDemand))
    }
}

impl Capacity {
    /// Both capacities, the cheap one first.
    pub const ALL: [Self; 2] = [Self::Spot, Self::OnDemand];

    /// The capacity's name in metric labels and in the queue's results: `spot` or `onDemand`.
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
