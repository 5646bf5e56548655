use std::{fmt::Display, time::Duration};

use queue::{Reason, Release, StoredObject, TaskError, TaskResult};

use crate::{
    comfyui::{Kind, Trouble},
    held::Stop,
    text::cut,
};

/// What a user is shown of an error, bytes.
const MESSAGE: usize = 1024;
/// A failed task is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// A machine's trouble is no reason to wait: others have it no longer.
const WITHHELD_FOR: Duration = Duration::from_secs(1);

/// How a task ended with us.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its pictures are stored.
    Done(TaskResult),
    /// The listing of its job's pictures is stored.
    Listed(StoredObject),
    /// Back to the queue.
    GivenBack(Release),
    /// Told to stop.
    Stopped(Stop),
}

pub(crate) fn error(reason: Reason, why: impl Display) -> TaskError {
    TaskError { reason, message: cut(&why.to_string(), MESSAGE) }
}

impl Ending {
    /// Wrong now, perhaps not the next time.
    pub(crate) fn failed(reason: Reason, why: impl Display) -> Self {
        Self::GivenBack(Release::Failed { error: error(reason, why), retry_after: RETRY_AFTER })
    }

    /// Wrong here, perhaps not on another worker.
    pub(crate) fn doubted(reason: Reason, why: impl Display) -> Self {
        Self::GivenBack(Release::Doubted { error: error(reason, why) })
    }

    /// Wrong wherever it runs.
    pub(crate) fn rejected(reason: Reason, why: impl Display) -> Self {
        Self::GivenBack(Release::Rejected { error: error(reason, why) })
    }

    /// The engine ended under it.
    pub(crate) fn crashed(why: impl Display) -> Self {
        Self::GivenBack(Release::Crashed { error: error(Reason::EngineCrashed, why) })
    }

    /// Nothing is wrong with it, but this machine.
    pub(crate) fn withheld(reason: Reason, why: impl Display) -> Self {
        Self::GivenBack(Release::Withheld { error: error(reason, why), retry_after: WITHHELD_FOR })
    }

    /// Not begun, or lost through nobody's fault.
    pub(crate) fn handed_back() -> Self {
        Self::GivenBack(Release::HandedBack)
    }

    /// What comes of trouble with the engine. `begun`: it was at work on the task.
    pub(crate) fn of(trouble: &Trouble, begun: bool) -> Self {
        match trouble {
            Trouble::Refused(refusal) if refusal.is_doubtful => {
                Self::doubted(Reason::EngineRejected, trouble)
            }
            Trouble::Refused(_) => Self::rejected(Reason::EngineRejected, trouble),
            Trouble::NothingMade => Self::rejected(Reason::NoOutput, trouble),
            Trouble::OutOfMemory(_) => Self::doubted(Reason::OutOfMemory, trouble),
            Trouble::Failed(failure) if failure.kind() == Kind::Network => {
                Self::failed(Reason::EngineError, trouble)
            }
            Trouble::Failed(_) | Trouble::NotTaken(_) | Trouble::Unreadable(_) => {
                Self::doubted(Reason::EngineError, trouble)
            }
            Trouble::TimedOut(_) => Self::failed(Reason::Timeout, trouble),
            Trouble::DiskFull(_) => Self::withheld(Reason::DiskFull, trouble),
            Trouble::Died(_) | Trouble::Unhealthy(_) if begun => Self::crashed(trouble),
            Trouble::Died(_) | Trouble::Unhealthy(_) | Trouble::NotBegun(_) | Trouble::Lost(_) => {
                Self::handed_back()
            }
        }
    }

    /// Will somebody go on with the task from where it was?
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::GivenBack(
                Release::Preempted | Release::HandedBack | Release::Crashed { .. } | Release::Withheld { .. },
            )
            | Self::Stopped(Stop::Lost | Stop::Leaving | Stop::NotBegun) => true,
            Self::Done(_)
            | Self::Listed(_)
            | Self::GivenBack(Release::Failed { .. } | Release::Rejected { .. } | Release::Doubted { .. })
            | Self::Stopped(Stop::Cancelled) => false,
        }
    }

    /// What may be this worker's fault rather than the task's.
    pub(crate) fn suspicion(&self) -> Option<&TaskError> {
        match self {
            Self::GivenBack(Release::Doubted { error } | Release::Crashed { error }) => Some(error),
            _ => None,
        }
    }
}

/// Why a bucket does not take pictures, as its owner has to know it.
pub(crate) fn of_the_bucket(error: &store::Error) -> Reason {
    match error {
        store::Error::Denied { .. } => Reason::OutputDenied,
        store::Error::NoSuchBucket { .. } | store::Error::Elsewhere { .. } => Reason::OutputMissing,
        _ => Reason::OutputFailed,
    }
}
