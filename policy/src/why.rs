//! Why the plan makes a decision: `reason()` is the constant for programs, `Display` the sentence for people. The
//! sentence does not change with the time alone.
use std::fmt;

use crate::{
    Capacity, Time,
    text::{Span, quoted, wait},
};

/// The reason for a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// Without more workers some work would be late.
    Due {
        /// The class of the first bucket that would be late.
        class: String,
        /// The number of waiting tasks.
        tasks: u64,
        /// Engine seconds of the waiting tasks.
        seconds: f64,
        /// The time at which that bucket is due.
        due: Time,
    },
    /// Work waits and the pool has no workers.
    FirstWork {
        /// The number of waiting tasks.
        tasks: u64,
    },
    /// Urgent work waits, and no on-demand worker is free soon enough.
    Immediate {
        /// The urgent work's class.
        class: String,
        /// The number of waiting urgent tasks.
        tasks: u64,
    },
    /// Spot can't finish some work in time, and the work may run on demand.
    FallBack {
        /// The class of that work.
        class: String,
        /// The time at which it is due.
        due: Time,
    },
    /// Spot workers take over from busy on-demand workers.
    TakeOver,
    /// The fleet is below its minimum.
    Minimum,
    /// The worker replaces one that is made from an older template.
    Replacement,
    /// The worker is made from an older template.
    Outdated,
    /// The worker has idled for too long.
    Idle {
        /// The time since which it idles.
        since: Time,
    },
    /// The fleet idles in short gaps so much that one worker fewer suffices.
    Spare,
    /// Other workers took the work before the worker came up.
    NotNeeded,
    /// The fleet is above its maximum.
    OverMaximum,
    /// The pool is suspended.
    Suspended,
    /// The worker's zone has no machine for it; another zone is tried.
    NoMachine {
        /// The worker's capacity.
        capacity: Capacity,
        /// The zone's name; empty if the fleet names no zones.
        zone: String,
        /// The message of the autoscaler or scheduler, if there is one.
        message: Option<String>,
    },
    /// The worker ended before it was ready, or is not ready in time.
    NeverReady {
        /// The message of the worker, kubelet or engine, if there is one.
        message: Option<String>,
    },
    /// The worker or its machine is broken.
    Broken {
        /// The worker's message.
        message: String,
    },
    /// Something that all workers need is broken, and another worker waits for it already.
    PoolAtFault {
        /// The message of one of the workers.
        message: String,
    },
    /// Spot does the work again.
    SpotIsBack,
    /// No work needs on-demand workers any longer.
    OnDemandOver,
    /// The work needs the held worker again.
    NeededAgain,
    /// The worker's node may go.
    AtRisk,
    /// The sign that the node may go has cleared.
    RiskPassed,
    /// The worker's node is about to stop.
    NodeDoomed {
        /// The time at which it stops.
        deadline: Time,
    },
    /// The worker's node or Pod is dead.
    NodeGone,
}

impl Why {
    /// The reason's name in events and metric labels, one of a fixed set.
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
            Self::Suspended => "Suspended",
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
                write!(f, "{} with {work} of work; class {class} is due {due}", wait(*tasks))
            }
            Self::FirstWork { .. } => f.write_str("an image waits and the pool has no workers"),
            Self::Immediate { class, tasks } => {
                write!(f, "{} in class {class}, and no on-demand worker is free soon enough", wait(*tasks))
            }
            Self::FallBack { class, due } => {
                write!(f, "spot workers can't finish class {class} by {due}")
            }
            Self::TakeOver => f.write_str("spot takes over from busy on-demand workers"),
            Self::Minimum => f.write_str("the fleet is below its minimum"),
            Self::Replacement => f.write_str("replaces workers made from an older template"),
            Self::Outdated => f.write_str("made from an older template"),
            Self::Idle { since } => write!(f, "idle since {since}"),
            Self::Spare => f.write_str("the fleet idles so often that one worker fewer suffices"),
            Self::NotNeeded => f.write_str("other workers took the work first"),
            Self::OverMaximum => f.write_str("the fleet is above its maximum"),
            Self::Suspended => f.write_str("the pool is suspended"),
            Self::NoMachine { capacity, zone, message } => {
                let place = if zone.is_empty() { String::new() } else { format!(" in zone {zone}") };
                write!(
                    f,
                    "there is no {capacity} machine{place}, so another zone is tried{}",
                    quoted(message.as_deref())
                )
            }
            Self::NeverReady { message } => write!(f, "did not come up{}", quoted(message.as_deref())),
            Self::Broken { message } => write!(f, "broken{}", quoted(Some(message))),
            Self::PoolAtFault { message } => {
                write!(
                    f,
                    "what all workers need is broken, and one worker is enough to wait for it{}",
                    quoted(Some(message))
                )
            }
            Self::SpotIsBack => f.write_str("spot does the work again"),
            Self::OnDemandOver => f.write_str("no work needs on-demand workers any longer"),
            Self::NeededAgain => f.write_str("needed again"),
            Self::AtRisk => f.write_str("the node may go"),
            Self::RiskPassed => f.write_str("the node stays"),
            Self::NodeDoomed { deadline } => write!(f, "the node stops at {deadline}"),
            Self::NodeGone => f.write_str("the node or Pod is dead"),
        }
    }
}
