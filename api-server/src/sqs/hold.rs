//! One message, from when it was received until it is deleted or given back. It stays in hand, invisible to others, while
//! what keeps its job from being created is not its own fault: so it is not counted as received again and again, which would
//! carry it to the dead-letter queue.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    FRONT,
    intake::{INVISIBLE, Intake, jittered},
    read,
};
use crate::{auth::Caller, error::Error, jobs::Submitted, webhooks::Refusal};

/// How often the time is extended in which others don't see a message.
const EXTEND: Duration = Duration::from_secs(15);
/// SQS hides a message for 12 hours at most from when it was received.
const HELD_AT_MOST: Duration = Duration::from_secs(11 * 3600);
/// Limits may be raised and parts come back at any time, so a job is tried again at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// After a fault of our own.
const AFTER_FAULT: Duration = Duration::from_secs(30);
/// A message that was refused comes again after this, doubled each time, up to the latter: until the queue's redrive policy
/// takes it, or for ever.
const REFUSED_AGAIN: Duration = Duration::from_secs(1);
const REFUSED_AT_MOST: Duration = Duration::from_secs(6 * 3600);

/// What SQS says of a message that is visible again or deleted, or whose queue is.
const GONE: [&str; 4] =
    ["MessageNotInflight", "ReceiptHandleIsInvalid", "QueueDoesNotExist", "NonExistentQueue"];

/// What becomes of a message.
enum Course {
    /// Its job exists.
    Delete,
    /// It cannot become a job.
    Refuse,
    /// Others may have it.
    GiveBack,
}

/// Turns a message into a job, or gives it back.
pub(super) async fn settle(intake: Arc<Intake>, message: Message, stop: watch::Receiver<bool>) {
    let course = tokio::select! {
        course = timeout(HELD_AT_MOST, course(&intake, &message, stop)) => course.unwrap_or(Course::GiveBack),
        () = keep_hidden(&intake, &message) => return,
    };
    let (action, done) = match course {
        Course::Delete => ("delete", intake.delete(&message).await),
        Course::Refuse => ("refuse", intake.hide(&message, refused_again(received(&message))).await),
        Course::GiveBack => ("give-back", intake.hide(&message, Duration::ZERO).await),
    };
    // The queue gives it out again, and its Idempotency-Key finds the job.
    if let Err(error) = done {
        intake.failed(action, &error);
    }
}

/// Extends the time in which others don't see the message; ends when it is not ours any more.
async fn keep_hidden(intake: &Intake, message: &Message) {
    loop {
        sleep(EXTEND).await;
        match intake.hide(message, INVISIBLE).await {
            Ok(()) => {}
            Err(error) if GONE.iter().any(|code| error.contains(code)) => return,
            Err(error) => intake.failed("extend", &error),
        }
    }
}

async fn course(intake: &Intake, message: &Message, mut stop: watch::Receiver<bool>) -> Course {
    let id = message.message_id().unwrap_or_default();
    let Intake { app, tenant, spec } = intake;
    let count = |outcome: &str| app.metrics.submissions.with_label_values(&[FRONT, outcome]).inc();
    let mut is_first = true;
    while !*stop.borrow() {
        let Some(caller) = intake.caller() else { break };
        let error = match submit(intake, &caller, message).await {
            Ok(Submitted { job, is_new, .. }) => {
                count(if is_new { "created" } else { "repeated" });
                tracing::info!(
                    tenant,
                    intake = spec.name,
                    message_id = id,
                    job = job.name,
                    is_new,
                    "a message is a job"
                );
                return Course::Delete;
            }
            Err(error) => error,
        };
        let wait = match passes_after(&error) {
            Some(wait) => wait,
            None => match refuse(intake, &caller, message, error).await {
                Ok(()) => {
                    count("refused");
                    return Course::Refuse;
                }
                // Whoever is to be told of it can't be noted now.
                Err(error) => passes_after(&error).unwrap_or(AFTER_FAULT),
            },
        };
        if is_first {
            count("later");
        }
        is_first = false;
        tokio::select! {
            () = sleep(jittered(wait.min(LOOK_AGAIN))) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
    Course::GiveBack
}

async fn submit(intake: &Intake, caller: &Caller, message: &Message) -> Result<Submitted, Error> {
    let submission = read::submission(intake, caller, message).await?;
    let submitted = Box::pin(intake.app.jobs.submit(caller, submission)).await;
    if let Err(Error::OverLimit { limit, .. }) = &submitted {
        tracing::debug!(
            tenant = intake.tenant,
            intake = intake.spec.name,
            limit,
            "a message waits for a limit"
        );
    }
    submitted
}

/// Notes who is to be told that the message cannot become a job.
async fn refuse(intake: &Intake, caller: &Caller, message: &Message, error: Error) -> Result<(), Error> {
    let Intake { app, tenant, spec } = intake;
    let problem = app.problem(error);
    let message_id = message.message_id().unwrap_or_default();
    let refusal = Refusal {
        intake: &spec.name,
        message_id,
        idempotency_key: read::given_key(message),
        problem: &problem,
    };
    app.webhooks.note_refused(&caller.tenant, &refusal).await?;
    let received = received(message);
    tracing::warn!(
        tenant,
        intake = spec.name,
        message_id,
        code = problem.code(),
        received,
        "a message cannot become a job"
    );
    Ok(())
}

/// When to try again what is not the message's fault; `None`: it is.
fn passes_after(error: &Error) -> Option<Duration> {
    match error {
        Error::OverLimit { retry_after, .. }
        | Error::Unavailable { retry_after, .. }
        | Error::Unclear { retry_after, .. } => Some((*retry_after).max(Duration::from_millis(100))),
        Error::InProgress => Some(Duration::from_secs(1)),
        Error::Internal(_) => Some(AFTER_FAULT),
        Error::NoKey
        | Error::BadKey
        | Error::BadToken(_)
        | Error::Forbidden(_)
        | Error::NotFound { .. }
        | Error::Invalid(_)
        | Error::TooLarge { .. }
        | Error::HashMismatch { .. }
        | Error::KeyReused => None,
    }
}

/// How often the queue has given the message out.
fn received(message: &Message) -> u32 {
    let attributes = message.attributes.as_ref();
    let count = attributes.and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn refused_again(received: u32) -> Duration {
    REFUSED_AGAIN.saturating_mul(1 << received.saturating_sub(1).min(20)).min(REFUSED_AT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_message_comes_again_ever_more_rarely() {
        let seconds: Vec<u64> = [0, 1, 2, 5, 15, 16, 1000].map(|n| refused_again(n).as_secs()).to_vec();
        assert_eq!(seconds, [1, 1, 2, 16, 16_384, 21_600, 21_600]);
    }

    #[test]
    fn what_is_not_the_messages_fault_is_tried_again() {
        let second = Duration::from_secs(1);
        let over = Error::OverLimit {
            limit: "imagesPerDay",
            what: String::new(),
            retry_after: second,
            passes_soon: false,
        };
        let away = Error::Unavailable { what: String::new(), retry_after: second };
        for error in [over, away, Error::InProgress, Error::Internal(String::new())] {
            assert!(passes_after(&error).is_some(), "{error:?}");
        }
        for error in
            [Error::invalid("", "no"), Error::KeyReused, Error::Forbidden(String::new()), Error::no_job("a")]
        {
            assert_eq!(passes_after(&error), None);
        }
    }
}
