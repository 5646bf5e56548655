//! What is seen of the world at one moment.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Capacity, Time};

/// A snapshot: what waits, what runs, who is there. All times are by the clock of whoever plans ([`crate::Clock`]).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The queue; `None` when it could not be read. Then nothing is started and nothing is retired: an
    /// unreadable queue is not an empty one.
    pub queue: Option<Queue>,
    /// Every worker of the pool whose Pod exists, and every one that holds a lease.
    pub workers: Vec<Worker>,
    /// Starts that were refused since the last plan; each is told once.
    pub refused: Vec<Refused>,
}

/// The queue at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Queue {
    /// Waiting tasks, in buckets.
    pub backlog: Vec<Backlog>,
    /// Leased tasks.
    pub running: Vec<Running>,
}

/// Waiting tasks of one class and kind of work that are due at about one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Their class. It may be one that the pool no longer has.
    pub class: String,
    /// The model a worker must load for them; empty when it can't be told.
    pub model: String,
    /// What tasks that take alike have in common: their pace is learnt by it. Empty: the model.
    pub work: String,
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
    /// As in [`Backlog::work`].
    pub work: String,
    /// Its work, in units.
    pub units: f64,
    /// When it is due.
    pub due: Time,
    /// When it was claimed.
    pub started: Time,
    /// Steps done and steps in all, when known.
    pub progress: Option<(u32, u32)>,
}

/// Workers that could not be created: the cluster refused their Pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// On what they were to run.
    pub capacity: Capacity,
    /// Where, if that was said.
    pub zone: Option<String>,
    /// How many, ≥ 1.
    pub workers: u32,
    /// When.
    pub at: Time,
    /// Why, in the words of who refused.
    pub why: String,
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

/// One worker. Which classes it serves follows from its capacity.
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
    /// Whether it is made as the pool's spec says now.
    pub template: Template,
    /// Why it can't work, if it or its containers say so.
    pub trouble: Option<Trouble>,
    /// Why it has no machine, in the words of the autoscaler or the scheduler.
    pub no_machine: Option<String>,
}

impl Worker {
    /// One that was just created: without a machine, and nothing is wrong with it.
    pub const fn new(id: WorkerId, capacity: Capacity, created: Time) -> Self {
        Self {
            id,
            capacity,
            zone: None,
            node: None,
            model: None,
            created,
            phase: Phase::Unscheduled { machine: Machine::Unknown },
            health: Health::Well,
            order: Order::Work,
            template: Template::Current,
            trouble: None,
            no_machine: None,
        }
    }
}

/// How far a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No machine for it yet.
    Unscheduled {
        /// What is known of the one it will get.
        machine: Machine,
    },
    /// On a machine, pulling images, starting the engine or waiting for what it needs.
    Starting {
        /// When it got its machine.
        scheduled: Time,
    },
    /// It ended, or its machine refused it, before it was ever heard of. Not so one whose machine went away.
    Failed,
    /// Ready, and holding no lease.
    Idle {
        /// Since when.
        since: Time,
    },
    /// Holding a lease.
    Busy,
}

/// What is known of the machine that a worker will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Nothing: there may be one soon or never.
    Unknown,
    /// It was bought, and has yet to join the cluster.
    Launched {
        /// When it was bought.
        at: Time,
    },
    /// The autoscaler said that none is to be had.
    Refused,
}

/// What the signals of a worker's node say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing amiss.
    Well,
    /// The node may go: the worker finishes what it holds and claims nothing more, until the sign clears.
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

/// Whether a worker is made as the pool's spec says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// It is.
    Current,
    /// But for where it may run, which matters while it has no machine.
    Moved,
    /// What it runs is another.
    Outdated,
}

/// Why a worker can't work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is to be done about it hangs on this.
    pub fault: Fault,
    /// In the words of who says so.
    pub message: String,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The worker: another one would do.
    Worker,
    /// Its machine: one elsewhere would do.
    Machine,
    /// Something that all workers of the pool need: another would have it no better.
    Pool,
}
