//! Why one thing is done: `reason()` is the constant for machines, `Display` the sentence for people. What is said in
//! one does not change by the clock alone.
use std::fmt;

use crate::{
    Capacity, Time,
    words::{Span, images, said_by},
};

/// Why one thing is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// The work would be late without it.
    Due {
        /// The class that asks for it.
        class: String,
        /// The tasks waiting.
        tasks: u64,
        /// Engine seconds of work in all.
        seconds: f64,
        /// When the tightest is due.
        due: Time,
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
        /// When it is due.
        due: Time,
    },
    /// Spot is to carry again what on-demand does.
    TakeOver,
    /// The pool's minimum.
    Minimum,
    /// A worker made from an older template is replaced.
    Replacement,
    /// It is made from an older template.
    Outdated,
    /// It sat idle.
    Idle {
        /// Since then.
        since: Time,
    },
    /// The fleet is idle often enough to do with one less.
    Spare,
    /// Its work is gone before it came up.
    NotNeeded,
    /// The pool's maximum went down.
    OverMaximum,
    /// The pool is paused.
    Paused,
    /// No machine for it in its zone; another zone is tried.
    NoMachine {
        /// Of this capacity.
        capacity: Capacity,
        /// The zone.
        zone: String,
        /// In the words of the autoscaler or the scheduler.
        said: Option<String>,
    },
    /// It ended before it was ready, or is not ready though it should be.
    NeverReady {
        /// Why, in the words of who says so.
        said: Option<String>,
    },
    /// It, or its machine, is broken.
    Broken {
        /// In its own words.
        said: String,
    },
    /// What all workers need is broken, and another one waits for it.
    PoolAtFault {
        /// In the words of one of them.
        said: String,
    },
    /// Spot carries the work again.
    SpotIsBack,
    /// On-demand work is over.
    OnDemandOver,
    /// It is needed again.
    NeededAgain,
    /// Its node may go.
    AtRisk,
    /// The sign cleared.
    RiskPassed,
    /// Its node will die.
    NodeDoomed {
        /// When.
        deadline: Time,
    },
    /// Its node or Pod is dead.
    NodeGone,
}

impl Why {
    /// For events and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Due { .. } => "Due",
            Self::FirstWork { .. } => "FirstWork",
            Self::Immediate { .. } => "Immediate",
            Self::FallBack { .. } => "FallBack",
            Self::TakeOver => "TakeOver",
            Self::Minimum => "Minimum",
            Self::Replacement => "Replacement",
            Self::Outdated => "Outdated",
            Self::Idle { .. } => "Idle",
            Self::Spare => "Spare",
            Self::NotNeeded => "NotNeeded",
            Self::OverMaximum => "OverMaximum",
            Self::Paused => "Paused",
            Self::NoMachine { .. } => "NoMachine",
            Self::NeverReady { .. } => "NeverReady",
            Self::Broken { .. } => "Broken",
            Self::PoolAtFault { .. } => "PoolAtFault",
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
        match self {
            Self::Due { class, tasks, seconds, due } => {
                let work = Span::seconds(*seconds);
                write!(f, "{} with {work} of work, the tightest ({class}) due {due}", images(*tasks))
            }
            Self::FirstWork { .. } => f.write_str("an image waits and nobody is there"),
            Self::Immediate { class, tasks } => {
                write!(f, "{} of class {class}, and no on-demand worker is free soon enough", images(*tasks))
            }
            Self::FallBack { class, due } => {
                write!(f, "spot can't do {class} in time any more, which is due {due}")
            }
            Self::TakeOver => f.write_str("to take over from on-demand"),
            Self::Minimum => f.write_str("the pool's minimum"),
            Self::Replacement => f.write_str("in place of workers made from an older template"),
            Self::Outdated => f.write_str("made from an older template"),
            Self::Idle { since } => write!(f, "idle since {since}"),
            Self::Spare => f.write_str("the fleet is idle often enough to do with one less"),
            Self::NotNeeded => f.write_str("its work was taken before it came up"),
            Self::OverMaximum => f.write_str("above the pool's maximum"),
            Self::Paused => f.write_str("the pool is paused"),
            Self::NoMachine { capacity, zone, said } => {
                let place = if zone.is_empty() { String::new() } else { format!(" in zone {zone}") };
                write!(f, "no {capacity} machine{place}, another zone is tried{}", said_by(said.as_deref()))
            }
            Self::NeverReady { said } => write!(f, "it did not come up{}", said_by(said.as_deref())),
            Self::Broken { said } => write!(f, "it is broken{}", said_by(Some(said))),
            Self::PoolAtFault { said } => {
                write!(f, "one worker is enough to wait for what all need{}", said_by(Some(said)))
            }
            Self::SpotIsBack => f.write_str("spot carries the work again"),
            Self::OnDemandOver => f.write_str("no work needs on-demand any more"),
            Self::NeededAgain => f.write_str("needed again"),
            Self::AtRisk => f.write_str("its node may go"),
            Self::RiskPassed => f.write_str("its node stays"),
            Self::NodeDoomed { deadline } => write!(f, "its node stops {deadline}"),
            Self::NodeGone => f.write_str("its node or Pod is dead"),
        }
    }
}
