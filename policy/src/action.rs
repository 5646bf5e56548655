//! What a plan asks for.
use crate::{Capacity, Why, WorkerId};

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What.
    pub action: Action,
    /// Why; its `Display` is a sentence for people.
    pub why: Why,
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
        /// The classes they serve, most urgent first.
        classes: Vec<String>,
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
        deadline: crate::Time,
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
}
