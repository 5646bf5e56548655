//! What to do next with a job, from what is seen. Pure.

use crds::{
    ImageJob,
    conditions::{ConditionType, is_true},
};
use queue::JobState;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// It has ended; only its time to live is left.
    Ended,
    /// The queue does not know it: look at its references, then enqueue it or say what is wrong.
    Enqueue {
        /// It was queued before, so some of its images may exist.
        recheck: bool,
    },
    /// It was cancelled before it was queued.
    CancelUnqueued,
    /// Take it off the queue, keep what was finished.
    Cancel,
    /// All its tasks have ended.
    Finish(JobState),
    /// Let claims take it again, or not.
    Suspend { suspend: bool, state: JobState },
    /// Nothing to do but to show how far it is.
    Follow(JobState),
}

pub(crate) fn decide(job: &ImageJob, state: Option<JobState>) -> Next {
    if ended(job) {
        return Next::Ended;
    }
    let queued_before = job.status.as_ref().is_some_and(|status| status.pool.is_some());
    let Some(state) = state else {
        return match job.spec.cancel {
            true => Next::CancelUnqueued,
            false => Next::Enqueue { recheck: queued_before },
        };
    };
    if state.succeeded + state.failed >= job.spec.count {
        return Next::Finish(state);
    }
    if job.spec.cancel {
        return Next::Cancel;
    }
    if state.suspended != job.spec.suspend {
        return Next::Suspend { suspend: job.spec.suspend, state };
    }
    Next::Follow(state)
}

/// Whether a job is Complete or Failed, for good.
pub(crate) fn ended(job: &ImageJob) -> bool {
    job.status.as_ref().is_some_and(|status| {
        is_true(&status.conditions, ConditionType::Complete)
            || is_true(&status.conditions, ConditionType::Failed)
    })
}
