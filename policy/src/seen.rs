//! What is seen of the world at one moment.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Capacity, Time};

/// A snapshot: what waits, what runs, who is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The queue; `None` when it could not be read. Then nothing is started and nothing is retired: an
    /// unreadable queue is not an empty one.
    pub queue: Option<Queue>,
    /// Every worker of the pool whose Pod exists, and every one that holds a lease.
    pub workers: Vec<Worker>,
}

/// The queue at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Queue {
    /// Waiting tasks, in buckets.
    pub backlog: Vec<Backlog>,
    /// Leased tasks.
    pub running: Vec<Running>,
}

/// Waiting tasks of one class and model that are due at about one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Their class.
    pub class: String,
    /// Their model; empty when it can't be told.
    pub model: String,
    /// When they are due.
    pub due: Time,
    /// How many.
    pub tasks: u64,
    /// Their work in all, in units.
    pub units: f64,
}

/// A leased task. A worker runs one at a time; a second one it holds was fetched ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Who holds it.
    pub worker: WorkerId,
    /// Its class.
    pub class: String,
    /// Its model.
    pub model: String,
    /// Its work, in units.
    pub units: f64,
    /// When it is due.
    pub due: Time,
    /// When it was claimed.
    pub started: Time,
    /// 1 for the first try.
    pub attempt: u32,
    /// Steps done and steps in all, when known.
    pub progress: Option<(u32, u32)>,
}

/// A worker: the name of its Pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// Its name, unique in the pool for all time.
    pub id: WorkerId,
    /// What it runs on.
    pub capacity: Capacity,
    /// Its zone: the node's, or the one it was started for while it has none.
    pub zone: Option<String>,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// The model loaded, or the one it was started to warm.
    pub model: Option<String>,
    /// When it was created.
    pub created: Time,
    /// How far it is in its life.
    pub phase: Phase,
    /// What the signals of its node say.
    pub health: Health,
    /// What it was last told.
    pub order: Order,
}

/// How far a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No machine for it yet.
    Unscheduled,
    /// On a machine, pulling images or starting the engine.
    Starting {
        /// When it got its machine.
        scheduled: Time,
    },
    /// Ready, and holding no lease.
    Idle {
        /// Since when.
        since: Time,
    },
    /// Holding a lease.
    Busy,
}

/// What the signals of a worker's node say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing amiss.
    Well,
    /// The node may die: it finishes what it holds and claims nothing more.
    AtRisk,
    /// The node will die.
    Doomed {
        /// When it stops.
        deadline: Time,
    },
    /// The node or the Pod is dead.
    Gone,
}

/// What a worker was last told, as the queue keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Work,
    /// Claim nothing more for now.
    Hold,
    /// Claim nothing more, exit when idle (its Pod may be terminating already).
    Retire,
    /// Its machine goes away: finish what fits, hand back the rest.
    Doomed,
    /// What it held was requeued; its Pod only has to disappear.
    Evicted,
}
