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
    /// It is not on the queue, or not known to be: look at its references, then enqueue it or say what is wrong.
    Enqueue {
        /// It was queued before, so some of its images may exist.
        recheck: bool,
    },
    /// It was cancelled, and the queue does not know it (any more).
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
    let accepted = job.status.as_ref().is_some_and(|status| status.pool.is_some());
    let Some(state) = state else {
        return match job.spec.cancel {
            true => Next::CancelUnqueued,
            false => Next::Enqueue { recheck: accepted },
        };
    };
    if !accepted && !job.spec.cancel {
        // It was queued, but that was not written. To enqueue it again changes nothing but that.
        return Next::Enqueue { recheck: false };
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{CREATED, job_with};

    fn condition(kind: &str) -> Value {
        json!({"conditions": [{"type": kind, "status": "True", "reason": "Completed", "message": "",
                               "lastTransitionTime": CREATED}]})
    }

    fn state(succeeded: u32, failed: u32) -> JobState {
        JobState { waiting: 4 - succeeded - failed, succeeded, failed, ..JobState::default() }
    }

    #[test]
    fn what_comes_next() {
        let accepted = json!({"pool": "sd15"});
        let suspended = || JobState { suspended: true, ..state(1, 0) };
        let table = [
            ("new", json!({}), Value::Null, None, Next::Enqueue { recheck: false }),
            ("lost by the queue", json!({}), accepted.clone(), None, Next::Enqueue { recheck: true }),
            (
                "queued, but its status was not written",
                json!({}),
                Value::Null,
                Some(state(4, 0)),
                Next::Enqueue { recheck: false },
            ),
            ("waiting", json!({}), accepted.clone(), Some(state(0, 0)), Next::Follow(state(0, 0))),
            ("made", json!({}), accepted.clone(), Some(state(4, 0)), Next::Finish(state(4, 0))),
            ("partly made", json!({}), accepted.clone(), Some(state(3, 1)), Next::Finish(state(3, 1))),
            ("cancelled unseen", json!({"cancel": true}), Value::Null, None, Next::CancelUnqueued),
            ("cancelled early", json!({"cancel": true}), Value::Null, Some(state(0, 0)), Next::Cancel),
            ("cancelled", json!({"cancel": true}), accepted.clone(), Some(state(3, 0)), Next::Cancel),
            (
                "cancelled when all was made",
                json!({"cancel": true}),
                accepted.clone(),
                Some(state(4, 0)),
                Next::Finish(state(4, 0)),
            ),
            (
                "to be suspended",
                json!({"suspend": true}),
                accepted.clone(),
                Some(state(1, 0)),
                Next::Suspend { suspend: true, state: state(1, 0) },
            ),
            (
                "suspended",
                json!({"suspend": true}),
                accepted.clone(),
                Some(suspended()),
                Next::Follow(suspended()),
            ),
            (
                "to go on",
                json!({}),
                accepted,
                Some(suspended()),
                Next::Suspend { suspend: false, state: suspended() },
            ),
            ("complete", json!({"cancel": true}), condition("Complete"), Some(state(4, 0)), Next::Ended),
            ("failed", json!({}), condition("Failed"), None, Next::Ended),
        ];
        for (name, spec, status, state, want) in table {
            let job = job_with(json!({"spec": spec, "status": status}));
            assert_eq!(decide(&job, state), want, "{name}");
        }
    }
}
