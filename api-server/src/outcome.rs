//! What becomes of a job that a request waits for, on fronts whose callers know of no jobs.

use std::{sync::Arc, time::Duration};

use crds::conditions::JobReason;
use tokio::time::timeout;

use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State},
    follow::Follower,
};

/// How long a request waits if it says nothing of it: OpenAI's clients give up then.
pub(crate) const USUAL_WAIT: Duration = Duration::from_secs(600);

/// Why the pictures are not there.
#[derive(Debug, Clone)]
pub(crate) enum NotMade {
    /// They can't be made as they were asked for.
    Refused(String),
    /// It went wrong.
    Failed(String),
    /// Somebody cancelled the job.
    Cancelled(Arc<Job>),
    /// The job goes on, but the request waits no longer.
    Unfinished,
}

/// What keeps a job waiting until an administrator changes something. Nobody who waits for an answer waits for that.
const STUCK: [JobReason; 7] = [
    JobReason::PoolNotFound,
    JobReason::PoolNotAllowed,
    JobReason::ClassNotFound,
    JobReason::TenantNotAllowed,
    JobReason::LimitExceeded,
    JobReason::NotOnWorkers,
    JobReason::InputNotAllowed,
];

/// What the request asked for is at fault.
const REFUSED: [JobReason; 2] = [JobReason::Rejected, JobReason::WorkflowInvalid];

fn has_reason(job: &Job, reasons: &[JobReason]) -> bool {
    reasons.iter().any(|reason| reason.as_str() == job.reason)
}

/// Waits until every picture of the job is made. A job that waits for an administrator is cancelled.
pub(crate) async fn wait(
    app: &App,
    caller: &Caller,
    job: Arc<Job>,
    at_most: Duration,
) -> Result<Arc<Job>, NotMade> {
    let mut follower = Follower::states_only(app, job);
    let settled = async {
        loop {
            let job = follower.now().job;
            if let Some(settled) = settled(&job) {
                return settled;
            }
            if has_reason(&job, &STUCK) {
                if let Err(error) = app.jobs.cancel(caller, &job.name).await {
                    tracing::warn!(%error, job = job.name, "a job that nobody waits for stays");
                }
                return Err(NotMade::Refused(job.message.clone()));
            }
            if !follower.changed().await {
                return Err(NotMade::Failed("the job was deleted".to_owned()));
            }
        }
    };
    timeout(at_most, settled).await.unwrap_or(Err(NotMade::Unfinished))
}

/// How the job ended; `None`: it has not.
pub(crate) fn settled(job: &Arc<Job>) -> Option<Result<Arc<Job>, NotMade>> {
    match job.state() {
        State::Completed => Some(Ok(Arc::clone(job))),
        State::Failed => {
            let kind = if has_reason(job, &REFUSED) { NotMade::Refused } else { NotMade::Failed };
            Some(Err(kind(failure(job))))
        }
        State::Cancelled => Some(Err(NotMade::Cancelled(Arc::clone(job)))),
        State::Queued | State::Running | State::Suspended | State::Cancelling => None,
    }
}

/// Why the job failed, for people: the first image's words, which say more than the job's.
pub(crate) fn failure(job: &Job) -> String {
    job.status.failures.first().map_or_else(|| job.message.clone(), |failure| failure.message.clone())
}
