use std::time::Duration;

use queue::{Reason, Release, TaskError, TaskResult};

use crate::{comfyui::Trouble, held::Stop, text::cut};

/// What a user is shown of an error, bytes.
const MESSAGE: usize = 1024;
/// A failed task is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// After trouble with the bucket somebody has to act first.
const RETRY_OUTPUT_AFTER: Duration = Duration::from_secs(30);

/// How a task ended with us.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its pictures are stored.
    Done(TaskResult),
    /// Back to the queue.
    GivenBack(Release),
    /// Told to stop.
    Stopped(Stop),
}

fn error(reason: Reason, why: impl std::fmt::Display) -> TaskError {
    TaskError { reason, message: cut(&why.to_string(), MESSAGE) }
}

impl Ending {
    /// Wrong now, perhaps not the next time.
    pub(crate) fn failed(reason: Reason, why: impl std::fmt::Display) -> Self {
        Self::GivenBack(Release::Failed { error: error(reason, why), retry_after: RETRY_AFTER })
    }

    /// Wrong for good.
    pub(crate) fn rejected(reason: Reason, why: impl std::fmt::Display) -> Self {
        Self::GivenBack(Release::Rejected { error: error(reason, why) })
    }

    /// Nothing wrong with the task.
    pub(crate) fn interrupted() -> Self {
        Self::GivenBack(Release::Preempted)
    }

    /// Will somebody else go on with the task from where it was?
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::GivenBack(
                Release::Preempted | Release::HandedBack | Release::Crashed { .. } | Release::Withheld { .. },
            )
            | Self::Stopped(Stop::Lost | Stop::HandBack) => true,
            Self::Done(_)
            | Self::GivenBack(Release::Failed { .. } | Release::Rejected { .. } | Release::Doubted { .. })
            | Self::Stopped(Stop::Cancelled) => false,
        }
    }

    /// The picture can't be stored.
    pub(crate) fn not_stored(error: &store::Error) -> Self {
        let reason = match error {
            store::Error::Denied { .. } => Reason::OutputDenied,
            store::Error::NoSuchBucket { .. } => Reason::OutputMissing,
            _ => Reason::OutputFailed,
        };
        Self::GivenBack(Release::Failed {
            error: self::error(reason, error),
            retry_after: RETRY_OUTPUT_AFTER,
        })
    }

    /// `fatal`: the engine has died under this task so often that the task is to blame.
    pub(crate) fn in_trouble(trouble: &Trouble, fatal: bool) -> Self {
        match trouble {
            Trouble::Refused(_) => Self::rejected(Reason::EngineRejected, trouble),
            Trouble::NothingMade => Self::rejected(Reason::NoImage, trouble),
            Trouble::OutOfMemory(_) => Self::failed(Reason::OutOfMemory, trouble),
            Trouble::Failed(_) | Trouble::NotTaken(_) => Self::failed(Reason::EngineError, trouble),
            Trouble::TimedOut(_) => Self::failed(Reason::Timeout, trouble),
            Trouble::Machine(_) if fatal => Self::failed(Reason::EngineCrashed, trouble),
            Trouble::Machine(_) | Trouble::Lost(_) => Self::interrupted(),
        }
    }
}
