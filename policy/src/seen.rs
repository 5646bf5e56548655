//! The snapshot of the world from which a plan is made.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Capacity, Time};

/// A snapshot of queue and workers at one moment. All times are by the planner's clock ([`crate::Clock`]).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The queue; `None` if it could not be read. Then the plan starts and retires nothing, because an unreadable queue
    /// may hold work.
    pub queue: Option<Queue>,
    /// Every worker of the pool that has a Pod or holds a lease.
    pub workers: Vec<Worker>,
    /// Starts that the cluster refused since the last plan; each is given to one plan only.
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

/// Waiting tasks of one class and kind of work that are due at about the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// The tasks' class. The pool may no longer have it.
    pub class: String,
    /// The model that a worker must load for the tasks; empty if it is unknown.
    pub model: String,
    /// The kind of work: tasks of one kind take about equally long, and their pace is learned together. Empty: the
    /// model is the kind.
    pub work: String,
    /// The time at which the tasks are due.
    pub due: Time,
    /// The number of tasks.
    pub tasks: u64,
    /// The work of all these tasks, in units.
    pub units: f64,
}

/// A leased task. A worker runs one task at a time; a second one that it holds was claimed ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The worker that holds the lease.
    pub worker: WorkerId,
    /// The task's class.
    pub class: String,
    /// The task's model.
    pub model: String,
    /// The kind of work ([`Backlog::work`]).
    pub work: String,
    /// The task's work, in units.
    pub units: f64,
    /// The time at which the task is due.
    pub due: Time,
    /// The time at which the task was claimed.
    pub started: Time,
    /// The number of steps done and of all steps, if known.
    pub progress: Option<(u32, u32)>,
}

/// Workers whose Pods the cluster refused to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The capacity of the workers.
    pub capacity: Capacity,
    /// The zone of the workers, if one was chosen.
    pub zone: Option<String>,
    /// The number of workers, ≥ 1.
    pub workers: u32,
    /// The time of the refusal.
    pub at: Time,
    /// The cluster's message.
    pub why: String,
}

/// The id of a worker: the name of its Pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker. The classes that it serves follow from its capacity.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// The worker's id, which no other worker of the pool ever has.
    pub id: WorkerId,
    /// The capacity that the worker runs on.
    pub capacity: Capacity,
    /// The zone of the worker's node; before it has one, the zone in which it was started.
    pub zone: Option<String>,
    /// The worker's node, once it has one.
    pub node: Option<String>,
    /// The model that the worker has loaded, or loads first.
    pub model: Option<String>,
    /// The time at which the worker was created.
    pub created: Time,
    /// How far the worker is in its life.
    pub phase: Phase,
    /// The state of the worker's node, from its signs.
    pub health: Health,
    /// The last order that the worker was given.
    pub order: Order,
    /// Whether the worker is made from the pool's present template.
    pub template: Template,
    /// The reason why the worker can't work, if it or its containers report one.
    pub trouble: Option<Trouble>,
    /// The message of the autoscaler or scheduler, if the worker gets no machine.
    pub no_machine: Option<String>,
}

impl Worker {
    /// A worker that was just created: it has no machine and no trouble.
    pub const fn new(id: WorkerId, capacity: Capacity, created: Time) -> Self {
        Self {
            id,
            capacity,
            zone: None,
            node: None,
            model: None,
            created,
            phase: Phase::Unscheduled { machine: Machine::Unknown },
            health: Health::Healthy,
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
    /// It has no machine yet.
    Unscheduled {
        /// What is known about the machine that it will get.
        machine: Machine,
    },
    /// It has a machine and pulls images, starts the engine or waits for what it needs.
    Starting {
        /// The time at which it got its machine.
        scheduled: Time,
    },
    /// It ended, or its machine refused it, before its first heartbeat. A worker whose machine was taken away is not
    /// failed.
    Failed,
    /// It is ready and holds no lease.
    Idle {
        /// The time since which it idles.
        since: Time,
    },
    /// It holds a lease.
    Busy,
}

/// What is known about the machine that a worker will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Nothing is known: a machine may come soon or never.
    Unknown,
    /// The machine was bought and has not joined the cluster yet.
    Launched {
        /// The time at which it was bought.
        at: Time,
    },
    /// The autoscaler says that there is no machine.
    Refused,
}

/// The state of a worker's node, from its signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No sign reports a problem.
    Healthy,
    /// The node may go: the worker finishes what it holds and claims nothing more until the sign clears.
    AtRisk,
    /// The node is about to stop.
    Doomed {
        /// The time at which it stops.
        deadline: Time,
    },
    /// The node or the Pod is dead.
    Gone,
}

/// The last order that a worker was given, as the queue keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The worker claims and works.
    Work,
    /// The worker claims nothing more for now.
    Hold,
    /// The worker claims nothing more and exits when it holds nothing. Its Pod may be terminating already.
    Retire,
    /// The worker's machine is about to stop: it finishes what it can and hands back the rest.
    Doomed,
    /// The worker's tasks were requeued; only its Pod still has to disappear.
    Evicted,
}

/// Whether a worker is made from the pool's present template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The worker is made from it.
    Current,
    /// Only the placement (selector, tolerations, zones) differs, which matters as long as the worker has no machine.
    Moved,
    /// The worker runs something else.
    Outdated,
}

/// The reason why a worker can't work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is broken; the policy's reaction depends on it.
    pub fault: Fault,
    /// The message of the worker, kubelet or engine that reports the trouble.
    pub message: String,
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The worker is broken: another worker would work.
    Worker,
    /// The worker's machine is broken: a worker on another machine would work.
    Machine,
    /// Something that all workers of the pool need is broken: another worker would not work either.
    Pool,
}
