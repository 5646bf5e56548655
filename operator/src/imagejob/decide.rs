//! What to do next with a job, from what is known of it. Pure.

use queue::JobState;

use super::listing::MAX_IMAGES;
use crate::index::JobRecord;

/// What to do before the queue is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// It is not accepted: look at what it refers to, then queue it or say what is wrong.
    Accept,
    /// It was cancelled before it was accepted.
    CancelUnqueued,
    /// Ask the queue how far it is.
    Look,
}

/// What to do next, once the queue has answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// The queue has lost it: queue it again.
    QueueAgain,
    /// It was cancelled, and the queue knows nothing of it (any more).
    CancelUnqueued,
    /// Stop it, keep what was finished.
    Cancel,
    /// Stopped; nothing of it is claimed any more.
    Cancelled(JobState),
    /// Stopped; more was made of it than a status lists, and no worker has stored its manifest yet.
    AwaitManifest(JobState),
    /// All its tasks have ended.
    Finish(JobState),
    /// Let claims take it again, or not.
    Suspend { suspend: bool },
    /// Nothing to do but to show how far it is.
    Follow(JobState),
}

pub(crate) fn first(record: &JobRecord) -> First {
    match (record.told.terms.is_some(), record.spec.cancel) {
        (true, _) => First::Look,
        (false, true) => First::CancelUnqueued,
        (false, false) => First::Accept,
    }
}

/// `stopped`: the queue has been told to stop it.
pub(crate) fn next(record: &JobRecord, state: Option<JobState>, stopped: bool) -> Next {
    let Some(state) = state else {
        return if record.spec.cancel { Next::CancelUnqueued } else { Next::QueueAgain };
    };
    let stopped_by_user = record.spec.cancel && state.cancelled > 0;
    if state.finished && !stopped_by_user {
        return Next::Finish(state);
    }
    match (record.spec.cancel, stopped) {
        (true, true) if state.succeeded as usize > MAX_IMAGES && !state.finished => {
            Next::AwaitManifest(state)
        }
        (true, true) => Next::Cancelled(state),
        (true, false) => Next::Cancel,
        (false, _) if state.suspended != record.spec.suspend => {
            Next::Suspend { suspend: record.spec.suspend }
        }
        (false, _) => Next::Follow(state),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{accepted_status, record_with};

    fn state(succeeded: u32, failed: u32) -> JobState {
        let waiting = 4 - succeeded - failed;
        JobState { waiting, succeeded, failed, finished: waiting == 0, ..JobState::default() }
    }

    #[test]
    fn what_comes_first() {
        let table = [
            (json!({}), json!(null), First::Accept),
            (json!({"cancel": true}), json!(null), First::CancelUnqueued),
            (json!({}), accepted_status(), First::Look),
            (json!({"cancel": true}), accepted_status(), First::Look),
        ];
        for (spec, status, want) in table {
            let record = record_with(json!({"spec": spec, "status": status}));
            assert_eq!(first(&record), want, "{spec} {status}");
        }
    }

    #[test]
    fn what_comes_next() {
        let suspended = || JobState { suspended: true, ..state(1, 0) };
        let none_ran = || JobState { waiting: 0, cancelled: 4, finished: true, ..state(0, 0) };
        let many = |finished| JobState { succeeded: 101, cancelled: 9, finished, ..JobState::default() };
        let (none, cancel, suspend) = (json!({}), json!({"cancel": true}), json!({"suspend": true}));
        let table = [
            ("lost by the queue", &none, None, false, Next::QueueAgain),
            ("waiting", &none, Some(state(0, 0)), false, Next::Follow(state(0, 0))),
            ("made", &none, Some(state(4, 0)), false, Next::Finish(state(4, 0))),
            ("partly made", &none, Some(state(3, 1)), false, Next::Finish(state(3, 1))),
            ("cancelled, and lost", &cancel, None, false, Next::CancelUnqueued),
            ("cancelled", &cancel, Some(state(3, 0)), false, Next::Cancel),
            ("cancelled and stopped", &cancel, Some(state(3, 0)), true, Next::Cancelled(state(3, 0))),
            ("stopped before any ran", &cancel, Some(none_ran()), true, Next::Cancelled(none_ran())),
            ("more than is listed", &cancel, Some(many(false)), true, Next::AwaitManifest(many(false))),
            ("the manifest is stored", &cancel, Some(many(true)), true, Next::Cancelled(many(true))),
            ("cancelled when all was made", &cancel, Some(state(4, 0)), true, Next::Finish(state(4, 0))),
            ("to be suspended", &suspend, Some(state(1, 0)), false, Next::Suspend { suspend: true }),
            ("suspended", &suspend, Some(suspended()), false, Next::Follow(suspended())),
            ("to go on", &none, Some(suspended()), false, Next::Suspend { suspend: false }),
        ];
        for (name, spec, state, stopped, want) in table {
            let record = record_with(json!({"spec": spec, "status": accepted_status()}));
            assert_eq!(next(&record, state, stopped), want, "{name}");
        }
    }
}
