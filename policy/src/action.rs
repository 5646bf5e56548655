//! What a plan asks for.
use std::time::Duration;

use crate::{Capacity, Time, Why, WorkerId};

/// Shows its effect, or that it was refused, within this time.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What.
    pub action: Action,
    /// Why; its `Display` is a sentence for people.
    pub why: Why,
    /// When it should have shown its effect: what comes of it is looked at then, if nothing happens before.
    pub look_again: Time,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create workers.
    Start {
        /// On what capacity.
        capacity: Capacity,
        /// In which zone; `None`: wherever the scheduler finds room.
        zone: Option<String>,
        /// How many, ≥ 1.
        n: u32,
        /// The model to load before the first claim.
        model: Option<String>,
    },
    /// Take a worker that holds no lease away: by the queue's `try_retire`, which refuses if it claimed in the
    /// meantime, then its Pod. One that never came up is just deleted.
    Retire {
        /// Which.
        worker: WorkerId,
    },
    /// Let a worker finish what it holds and claim nothing more, for now.
    Hold {
        /// Which.
        worker: WorkerId,
    },
    /// Let a held worker claim again.
    Resume {
        /// Which.
        worker: WorkerId,
    },
    /// Tell a worker that its machine goes away.
    Doom {
        /// Which.
        worker: WorkerId,
        /// When it stops.
        deadline: Time,
    },
    /// Requeue all that a dead worker held, now.
    Evict {
        /// Which.
        worker: WorkerId,
    },
}

impl Action {
    /// For metric labels.
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

/// What a plan does, in this order, and when the next one is due if nothing happens before.
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

    /// Does one thing now.
    pub(crate) fn add(&mut self, action: Action, why: Why) {
        let look_again = match &action {
            // Until then it finishes what fits.
            Action::Doom { deadline, .. } => *deadline,
            _ => self.now.plus(SHOWS_WITHIN),
        };
        self.look_at(look_again);
        self.decisions.push(Decision { action, why, look_again });
    }

    /// Something will be due then that is not due yet.
    pub(crate) fn look_at(&mut self, time: Time) {
        if time > self.now {
            self.look_again = self.look_again.min(time);
        }
    }

    /// Until the next plan is due.
    pub(crate) fn wake_after(&self) -> Duration {
        self.look_again.since(self.now)
    }
}
