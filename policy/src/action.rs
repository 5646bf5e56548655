//! The actions that a plan asks for, and when the next plan is due.
use std::time::Duration;

use crate::{Capacity, Time, Why, WorkerId};

/// An action takes effect, or is refused, within this time.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An action and its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What the caller has to do.
    pub action: Action,
    /// The reason; its `Display` is a sentence for people.
    pub why: Why,
    /// The time by which the action should have taken effect. The next plan is due then, if nothing happens before.
    pub look_again: Time,
}

/// An order of the plan to its caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates workers of one kind.
    Start {
        /// The capacity that they run on.
        capacity: Capacity,
        /// The zone that they run in; `None`: any zone in which the scheduler finds room.
        zone: Option<String>,
        /// The number of workers, ≥ 1.
        n: u32,
        /// The model that each worker loads before its first claim.
        model: Option<String>,
    },
    /// Removes a worker that holds no lease: first by the queue's `try_retire`, which refuses if the worker has claimed
    /// a task in the meantime, then by deleting its Pod. A worker that never came up is deleted at once.
    Retire {
        /// The worker to remove.
        worker: WorkerId,
    },
    /// Lets a worker finish what it holds; it claims nothing more until it is resumed.
    Hold {
        /// The worker to hold.
        worker: WorkerId,
    },
    /// Lets a held worker claim again.
    Resume {
        /// The worker to resume.
        worker: WorkerId,
    },
    /// Tells a worker that its machine is about to stop.
    Doom {
        /// The worker to tell.
        worker: WorkerId,
        /// The time at which the machine stops.
        deadline: Time,
    },
    /// Requeues at once all tasks that a worker holds which is dead or can never finish them, then deletes its Pod.
    Evict {
        /// The worker.
        worker: WorkerId,
    },
}

impl Action {
    /// The action's name in metric labels, one of a fixed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Retire { .. } => "retire",
            Self::Hold { .. } => "hold",
            Self::Resume { .. } => "resume",
            Self::Doom { .. } => "doom",
            Self::Evict { .. } => "evict",
        }
    }

    pub(crate) fn retire(worker: &WorkerId) -> Self {
        Self::Retire { worker: worker.clone() }
    }

    pub(crate) fn hold(worker: &WorkerId) -> Self {
        Self::Hold { worker: worker.clone() }
    }

    pub(crate) fn resume(worker: &WorkerId) -> Self {
        Self::Resume { worker: worker.clone() }
    }
}

/// The plan's actions in the order in which they are carried out, and the time at which the next plan is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Agenda {
    pub(crate) decisions: Vec<Decision>,
    now: Time,
    look_again: Time,
}

impl Agenda {
    pub(crate) const fn new(now: Time) -> Self {
        Self { decisions: Vec::new(), now, look_again: Time::NEVER }
    }

    /// Adds an action that is carried out now.
    pub(crate) fn add(&mut self, action: Action, why: Why) {
        let look_again = match &action {
            // The worker finishes what it can until then.
            Action::Doom { deadline, .. } => *deadline,
            _ => self.now.plus(EFFECT_TIMEOUT),
        };
        self.look_again_at(look_again);
        self.decisions.push(Decision { action, why, look_again });
    }

    /// Makes the next plan due at `time`, if no plan is due before. A time that has passed changes nothing.
    pub(crate) fn look_again_at(&mut self, time: Time) {
        if time > self.now {
            self.look_again = self.look_again.min(time);
        }
    }

    /// How long the caller may wait before the next plan.
    pub(crate) fn wake_after(&self) -> Duration {
        self.look_again.since(self.now)
    }
}
