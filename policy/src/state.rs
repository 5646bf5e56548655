//! The state of a pool, as a constant for programs and a sentence for people.
use std::fmt;

use crate::{
    Capacity, Lack, Time,
    text::{quoted, wait},
};

/// The state of a pool.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// No work waits or runs.
    Empty,
    /// The existing workers do the work in time.
    OnTime,
    /// Workers are coming up.
    Growing,
    /// Workers made from an older template are being replaced.
    RollingOut {
        /// The number of outdated workers that are left.
        left: u32,
    },
    /// Workers are being removed.
    Shrinking,
    /// There is no spot capacity, and work waits that may run on spot only.
    SpotShortage {
        /// What spot lacks.
        lack: Lack,
        /// The message of the autoscaler or scheduler, if there is one.
        message: Option<String>,
    },
    /// There is no on-demand capacity, and work waits for it.
    OnDemandShortage {
        /// What on-demand lacks.
        lack: Lack,
        /// The message of the autoscaler or scheduler, if there is one.
        message: Option<String>,
    },
    /// There is neither spot nor on-demand capacity, and work waits.
    NoMachines {
        /// What spot lacks.
        lack: Lack,
        /// The messages of the autoscaler or scheduler, if there are any.
        message: Option<String>,
    },
    /// There is no spot capacity, and on-demand workers stand in.
    FallenBack {
        /// What spot lacks.
        lack: Lack,
        /// The message of the autoscaler or scheduler, if there is one.
        message: Option<String>,
    },
    /// The work needs more workers than the pool may have.
    AtMaximum {
        /// The capacity at its maximum.
        capacity: Capacity,
    },
    /// Workers do not come up, one after another, and no worker is up.
    StartsFailing {
        /// The number of failures in a row; 0: the cluster refuses to create the workers' Pods.
        workers: u32,
        /// The time of the next try; `None`: a worker is coming up.
        next_try: Option<Time>,
        /// The message of the last failure.
        message: String,
    },
    /// Something that all workers need is broken, so none is started.
    PoolAtFault {
        /// The message of one of the workers.
        message: String,
    },
    /// All waiting tasks are in classes that the pool does not have.
    ClassUnknown {
        /// The missing class with the most tasks.
        class: String,
        /// The number of images that wait in all missing classes.
        tasks: u64,
    },
    /// The pool is suspended: nothing is started.
    Suspended,
    /// The queue can't be read: nothing is started or retired.
    QueueUnknown,
}

impl State {
    /// The state's name in conditions and metric labels, one of a fixed set.
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
            Self::Suspended => "Suspended",
            Self::QueueUnknown => "QueueUnknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no work waits or runs"),
            Self::OnTime => f.write_str("the work will be done in time"),
            Self::Growing => f.write_str("workers are coming up"),
            Self::RollingOut { left } => {
                write!(f, "workers made from an older template are being replaced: {left} are left")
            }
            Self::Shrinking => f.write_str("workers are being removed"),
            Self::SpotShortage { lack, message } => {
                write!(f, "{}{}", lack.message(Capacity::Spot), quoted(message.as_deref()))
            }
            Self::OnDemandShortage { lack, message } => {
                write!(f, "{}{}", lack.message(Capacity::OnDemand), quoted(message.as_deref()))
            }
            Self::NoMachines { lack, message } => {
                let (spot, message) = (lack.message(Capacity::Spot), quoted(message.as_deref()));
                write!(f, "{spot}, and on-demand workers wait for machines too{message}")
            }
            Self::FallenBack { lack, message } => {
                let (spot, message) = (lack.message(Capacity::Spot), quoted(message.as_deref()));
                write!(f, "{spot}, so on-demand workers stand in{message}")
            }
            Self::AtMaximum { capacity } => {
                write!(f, "the work needs more {capacity} workers than the pool may have")
            }
            Self::StartsFailing { workers: n, next_try, message } => {
                match n {
                    0 => f.write_str("the cluster refuses to create workers")?,
                    1 => f.write_str("a worker did not come up")?,
                    n => write!(f, "{n} workers in a row did not come up")?,
                }
                if let Some(next) = next_try {
                    write!(f, ", the next one is tried at {next}")?;
                }
                f.write_str(&quoted(Some(message)))
            }
            Self::PoolAtFault { message } => {
                write!(f, "workers can't work, so no more are started{}", quoted(Some(message)))
            }
            Self::ClassUnknown { class, tasks } => {
                write!(f, "{} in class {class}, which the pool does not have", wait(*tasks))
            }
            Self::Suspended => f.write_str("the pool is suspended: no image and no worker is started"),
            Self::QueueUnknown => f.write_str("the queue can't be read: nothing is started or retired"),
        }
    }
}

impl Lack {
    /// The sentence for people, without the zone.
    pub fn message(self, capacity: Capacity) -> String {
        match self {
            Self::Machines => format!("no {capacity} machines are available"),
            Self::Joining => format!("{capacity} machines were bought but do not join the cluster"),
            Self::Workers => format!("workers do not come up on {capacity} machines"),
        }
    }
}
