//! The Events that tell of a change of status. Pure.

use crds::{
    ImageJobStatus,
    conditions::{ConditionType, JobReason, find_condition},
    events::EventReason,
};

use crate::{
    events::{Kind, Notice},
    words::images,
};

/// What there is to tell about the turn from one status to the next.
pub(crate) fn between(old: Option<&ImageJobStatus>, new: &ImageJobStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    let was = old.and_then(ready);
    if let Some((reason, message)) = ready(new)
        && was.map(|(reason, _)| reason) != Some(reason)
    {
        notices.extend(turn(was.map(|(reason, _)| reason), reason, message));
    }
    let rise = |count: fn(&ImageJobStatus) -> u32| {
        let now = count(new);
        (now > old.map(count).unwrap_or_default()).then_some(now)
    };
    if let Some(n) = rise(|status| status.interruptions.unwrap_or_default()) {
        let note = format!("machines went away under {}, which started again elsewhere", images(n));
        notices.push(warning(EventReason::Interrupted, "Requeue", note));
    }
    if let Some(n) = rise(|status| status.retries.unwrap_or_default()) {
        let note = match n {
            1 => "an image failed and is tried again".to_owned(),
            n => format!("images failed {n} times and are tried again"),
        };
        notices.push(warning(EventReason::ImageRetried, "Retry", note));
    }
    if let Some(n) = rise(|status| status.counts.map(|counts| counts.failed).unwrap_or_default()) {
        let last = new.failures.last();
        let why =
            last.map_or_else(String::new, |f| format!("; image {}: {}: {}", f.index, f.reason, f.message));
        let note = format!("{} failed for good{why}", images(n));
        notices.push(warning(EventReason::ImageFailed, "GiveUp", note));
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
