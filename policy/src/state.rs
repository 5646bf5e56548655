//! A pool in one word, and in one sentence.
use std::fmt;

use crate::{
    Capacity, Lack, Time,
    words::{images, said_by},
};

/// The pool in one word.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing to do.
    Empty,
    /// The workers there are do the work in time.
    OnTime,
    /// Workers are coming up.
    Growing,
    /// Workers made from an older template are being replaced.
    RollingOut {
        /// How many are left.
        left: u32,
    },
    /// Workers are let go.
    Shrinking,
    /// There is no spot capacity, and work waits that may only run there.
    SpotShortage {
        /// What is lacking.
        lack: Lack,
        /// In the words of who says so, the autoscaler as a rule.
        said: Option<String>,
    },
    /// There is no on-demand capacity, and work waits for it.
    OnDemandShortage {
        /// What is lacking.
        lack: Lack,
        /// In the words of who says so.
        said: Option<String>,
    },
    /// There is neither spot nor on-demand capacity, and work waits.
    NoMachines {
        /// What spot lacks.
        lack: Lack,
        /// In the words of who says so.
        said: Option<String>,
    },
    /// Spot is short, on-demand stands in.
    FallenBack {
        /// What spot lacks.
        lack: Lack,
        /// In the words of who says so.
        said: Option<String>,
    },
    /// More workers are wanted than the pool may have.
    AtMaximum {
        /// Of this capacity.
        capacity: Capacity,
    },
    /// Workers do not come up, one after another, and nobody does the work.
    StartsFailing {
        /// So many in a row.
        workers: u32,
        /// When the next is tried; none: it is coming up.
        next_try: Option<Time>,
        /// Why, in the words of who says so.
        said: String,
    },
    /// Something that all workers need is broken: none is started.
    PoolAtFault {
        /// In the words of a worker.
        said: String,
    },
    /// All that waits is of classes which the pool does not have.
    ClassUnknown {
        /// The class with the most.
        class: String,
        /// How many images wait in all such classes.
        tasks: u64,
    },
    /// Paused: nothing is started.
    Paused,
    /// The queue can't be read: nothing is started, nothing is retired.
    QueueUnknown,
}

impl State {
    /// For conditions and metric labels: one of a fixed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::OnTime => "OnTime",
            Self::Growing => "Growing",
            Self::RollingOut { .. } => "RollingOut",
            Self::Shrinking => "Shrinking",
            Self::SpotShortage { .. } => "SpotShortage",
            Self::OnDemandShortage { .. } => "OnDemandShortage",
            Self::NoMachines { .. } => "NoMachines",
            Self::FallenBack { .. } => "FallenBack",
            Self::AtMaximum { .. } => "AtMaximum",
            Self::StartsFailing { .. } => "StartsFailing",
            Self::PoolAtFault { .. } => "PoolAtFault",
            Self::ClassUnknown { .. } => "ClassUnknown",
            Self::Paused => "Paused",
            Self::QueueUnknown => "QueueUnknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing to do"),
            Self::OnTime => f.write_str("the work will be done in time"),
            Self::Growing => f.write_str("workers are coming up"),
            Self::RollingOut { left } => {
                write!(f, "workers made from an older template are being replaced: {left} are left")
            }
            Self::Shrinking => f.write_str("workers are let go"),
            Self::SpotShortage { lack, said } => {
                write!(f, "{}{}", short_of(Capacity::Spot, *lack), said_by(said.as_deref()))
            }
            Self::OnDemandShortage { lack, said } => {
                write!(f, "{}{}", short_of(Capacity::OnDemand, *lack), said_by(said.as_deref()))
            }
            Self::NoMachines { lack, said } => {
                let (spot, said) = (short_of(Capacity::Spot, *lack), said_by(said.as_deref()));
                write!(f, "{spot}, and on-demand workers wait for a machine as well{said}")
            }
            Self::FallenBack { lack, said } => {
                let (spot, said) = (short_of(Capacity::Spot, *lack), said_by(said.as_deref()));
                write!(f, "{spot}, on-demand stands in{said}")
            }
            Self::AtMaximum { capacity } => {
                write!(f, "more {capacity} workers are wanted than the pool may have")
            }
            Self::StartsFailing { workers: n, next_try, said } => {
                match n {
                    0 => f.write_str("workers can't be created")?,
                    1 => f.write_str("a worker does not come up")?,
                    n => write!(f, "{n} workers in a row did not come up")?,
                }
                if let Some(next) = next_try {
                    write!(f, ", the next is tried {next}")?;
                }
                f.write_str(&said_by(Some(said)))
            }
            Self::PoolAtFault { said } => {
                write!(f, "workers can't work, and no other is started{}", said_by(Some(said)))
            }
            Self::ClassUnknown { class, tasks } => {
                write!(f, "{} of class {class} wait, which the pool does not have", images(*tasks))
            }
            Self::Paused => f.write_str("no work is begun and no workers are started"),
            Self::QueueUnknown => f.write_str("the queue can't be read: nothing is started or retired"),
        }
    }
}

fn short_of(capacity: Capacity, lack: Lack) -> String {
    match lack {
        Lack::Machines => format!("no {capacity} machines are to be had"),
        Lack::Joining => format!("{capacity} machines are bought and do not join the cluster"),
        Lack::Workers => format!("no worker comes up on {capacity} machines"),
    }
}
