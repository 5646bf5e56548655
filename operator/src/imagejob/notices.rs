//! The Events that tell of a change of status. Pure.

use crds::{
    ImageJobStatus,
    conditions::{ConditionType, JobReason, find_condition},
    events::EventReason,
};

use crate::events::{Kind, Notice};

/// What there is to tell about the turn from one status to the next.
pub(crate) fn between(old: Option<&ImageJobStatus>, new: &ImageJobStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    let was = old.and_then(ready);
    if let Some((reason, message)) = ready(new)
        && was.map(|(reason, _)| reason) != Some(reason)
    {
        notices.extend(turn(was.map(|(reason, _)| reason), reason, message));
    }
    let interruptions = |status: &ImageJobStatus| status.interruptions.unwrap_or_default();
    let before = old.map(interruptions).unwrap_or_default();
    if interruptions(new) > before {
        let note =
            format!("{} image(s) came back from machines that went away, and go on", interruptions(new));
        notices.push(warning(EventReason::Interrupted, "Requeue", note));
    }
    let retries = |status: &ImageJobStatus| status.retries.unwrap_or_default();
    if retries(new) > old.map(retries).unwrap_or_default() {
        let note = format!("{} failed attempt(s) tried again", retries(new));
        notices.push(warning(EventReason::ImageRetried, "Retry", note));
    }
    notices
}

fn turn(was: Option<&str>, reason: &str, message: &str) -> Option<Notice> {
    let is = |r: JobReason| r.as_str() == reason;
    let was_suspended = was == Some(JobReason::Suspended.as_str());
    let note = message.to_owned();
    let started_before = was.is_some_and(|was| was == JobReason::Running.as_str());
    Some(if is(JobReason::Completed) {
        normal(EventReason::Completed, "Complete", note)
    } else if is(JobReason::Cancelled) {
        normal(EventReason::Cancelled, "Cancel", note)
    } else if is(JobReason::Suspended) {
        normal(EventReason::Suspended, "Suspend", note)
    } else if was_suspended {
        normal(EventReason::Resumed, "Resume", note)
    } else if is(JobReason::Running) {
        normal(EventReason::Started, "Start", "the first image is being made".to_owned())
    } else if is(JobReason::Waiting) && !started_before {
        normal(EventReason::Queued, "Enqueue", note)
    } else if is(JobReason::Waiting) {
        return None;
    } else if [
        JobReason::PoolNotFound,
        JobReason::PoolNotReady,
        JobReason::PoolPaused,
        JobReason::ConfigMapNotFound,
        JobReason::QueueUnavailable,
    ]
    .into_iter()
    .any(is)
    {
        warning(EventReason::Pending, "Wait", format!("{reason}: {note}"))
    } else {
        warning(EventReason::Failed, "Fail", format!("{reason}: {note}"))
    })
}

fn ready(status: &ImageJobStatus) -> Option<(&str, &str)> {
    let ready = find_condition(&status.conditions, ConditionType::Ready)?;
    Some((&ready.reason, &ready.message))
}

fn normal(reason: EventReason, action: &'static str, note: String) -> Notice {
    Notice { kind: Kind::Normal, reason: reason.as_str().to_owned(), action, note }
}

fn warning(reason: EventReason, action: &'static str, note: String) -> Notice {
    Notice { kind: Kind::Warning, reason: reason.as_str().to_owned(), action, note }
}
