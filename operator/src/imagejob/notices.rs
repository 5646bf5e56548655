//! The Events that tell of a change of status. Pure.

use crds::{
    ImageJobStatus,
    conditions::{ConditionType, JobReason, find_condition},
    events::EventReason,
};

use crate::{notice::Notice, words::images};

/// A job whose condition Ready has one of these reasons has failed; with any other that is no state of its own, it waits.
const FAILURES: [JobReason; 6] = [
    JobReason::ImagesFailed,
    JobReason::TooManyFailedImages,
    JobReason::EngineCrashed,
    JobReason::Rejected,
    JobReason::WorkflowInvalid,
    JobReason::WorkflowChanged,
];

/// What there is to tell about the turn from one status to the next.
pub(crate) fn between(old: Option<&ImageJobStatus>, new: &ImageJobStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    let was = old.and_then(ready);
    if let Some((reason, message)) = ready(new)
        && was.map(|(reason, _)| reason) != Some(reason)
    {
        let started = old.is_some_and(|old| old.start_time.is_some());
        notices.extend(turn(was.map(|(reason, _)| reason), started, reason, message));
    }
    if old.and_then(late) != late(new) {
        notices.extend(promise(new));
    }
    let rise = |count: fn(&ImageJobStatus) -> u32| {
        let now = count(new);
        (now > old.map(count).unwrap_or_default()).then_some(now)
    };
    if let Some(n) = rise(|status| status.interruptions.unwrap_or_default()) {
        let note = match n {
            1 => "a machine or its engine went away under an image, which goes to the next one".to_owned(),
            n => format!(
                "machines or their engines went away under images {n} times, which go to the next ones"
            ),
        };
        notices.push(Notice::warning(EventReason::Interrupted, "Requeue", note));
    }
    if let Some(n) = rise(|status| status.retries.unwrap_or_default()) {
        let note = match n {
            1 => "an image failed and is tried again".to_owned(),
            n => format!("images failed {n} times and are tried again"),
        };
        notices.push(Notice::warning(EventReason::ImageRetried, "Retry", note));
    }
    if let Some(n) = rise(|status| status.counts.map(|counts| counts.failed).unwrap_or_default()) {
        let last = new.failures.last();
        let why =
            last.map_or_else(String::new, |f| format!("; image {}: {}: {}", f.index, f.reason, f.message));
        let note = format!("{} failed for good{why}", images(n));
        notices.push(Notice::warning(EventReason::ImageFailed, "GiveUp", note));
    }
    notices
}

/// The reason of the condition Late.
fn late(status: &ImageJobStatus) -> Option<&str> {
    find_condition(&status.conditions, ConditionType::Late).map(|late| late.reason.as_str())
}

/// A word on its promise; that a job which ended was in time after all goes without saying.
fn promise(new: &ImageJobStatus) -> Option<Notice> {
    let late = find_condition(&new.conditions, ConditionType::Late)?;
    let note = late.message.clone();
    let is = |reason: JobReason| late.reason == reason.as_str();
    match () {
        () if is(JobReason::SlaAtRisk) => Some(Notice::warning(EventReason::SlaAtRisk, "Forecast", note)),
        () if is(JobReason::SlaMissed) => Some(Notice::warning(EventReason::SlaMissed, "Miss", note)),
        () if new.completion_time.is_none() => {
            Some(Notice::normal(EventReason::SlaRecovered, "Forecast", note))
        }
        () => None,
    }
}

fn turn(was: Option<&str>, started: bool, reason: &str, message: &str) -> Option<Notice> {
    let is = |r: JobReason| r.as_str() == reason;
    let was_suspended = was == Some(JobReason::Suspended.as_str());
    let started = started || was == Some(JobReason::Running.as_str());
    let note = message.to_owned();
    Some(if is(JobReason::Completed) {
        Notice::normal(EventReason::Completed, "Complete", note)
    } else if is(JobReason::Cancelled) {
        Notice::normal(EventReason::Cancelled, "Cancel", note)
    } else if is(JobReason::Suspended) {
        Notice::normal(EventReason::Suspended, "Suspend", note)
    } else if was_suspended {
        Notice::normal(EventReason::Resumed, "Resume", note)
    } else if started && (is(JobReason::Running) || is(JobReason::Waiting)) {
        return None;
    } else if is(JobReason::Running) {
        Notice::normal(EventReason::Started, "Start", "the first image is being made".to_owned())
    } else if is(JobReason::Waiting) {
        Notice::normal(EventReason::Queued, "Enqueue", note)
    } else if FAILURES.into_iter().any(is) {
        Notice::warning(EventReason::Failed, "Fail", format!("{reason}: {note}"))
    } else {
        Notice::warning(EventReason::Pending, "Wait", format!("{reason}: {note}"))
    })
}

fn ready(status: &ImageJobStatus) -> Option<(&str, &str)> {
    let ready = find_condition(&status.conditions, ConditionType::Ready)?;
    Some((&ready.reason, &ready.message))
}

#[cfg(test)]
mod tests {
    use crds::{
        Counts, ImageFailure, Time,
        conditions::{ConditionUpdate, set_condition},
    };

    use super::*;
    use crate::{fixtures::at, notice::Kind};

    fn status(reason: JobReason) -> ImageJobStatus {
        let mut status = ImageJobStatus::default();
        let update = ConditionUpdate {
            kind: ConditionType::Ready,
            status: false,
            reason: reason.as_str(),
            message: "so it is".into(),
            observed_generation: Some(1),
        };
        set_condition(&mut status.conditions, update, &Time(at(0)));
        status
    }

    /// Kind, reason and note of each.
    fn told(old: Option<&ImageJobStatus>, new: &ImageJobStatus) -> Vec<(Kind, String, String)> {
        between(old, new)
            .into_iter()
            .map(|notice| (notice.kind, notice.reason.as_str().to_owned(), notice.note))
            .collect()
    }

    #[test]
    fn each_turn_is_told_once_and_in_plain_words() {
        use JobReason::{
            Cancelled, ClassNotFound, Completed, ImagesFailed, PoolNotFound, QueueUnavailable, Running,
            Suspended, Waiting, WorkflowInvalid,
        };
        let table = [
            (None, Waiting, Some((Kind::Normal, "Queued", "so it is"))),
            (None, PoolNotFound, Some((Kind::Warning, "Pending", "PoolNotFound: so it is"))),
            (None, QueueUnavailable, Some((Kind::Warning, "Pending", "QueueUnavailable: so it is"))),
            (None, ClassNotFound, Some((Kind::Warning, "Pending", "ClassNotFound: so it is"))),
            (None, WorkflowInvalid, Some((Kind::Warning, "Failed", "WorkflowInvalid: so it is"))),
            (Some(PoolNotFound), Waiting, Some((Kind::Normal, "Queued", "so it is"))),
            (Some(Waiting), Running, Some((Kind::Normal, "Started", "the first image is being made"))),
            (Some(Running), Waiting, None),
            (Some(Running), Running, None),
            (Some(Running), Suspended, Some((Kind::Normal, "Suspended", "so it is"))),
            (Some(Suspended), Running, Some((Kind::Normal, "Resumed", "so it is"))),
            (Some(Suspended), Waiting, Some((Kind::Normal, "Resumed", "so it is"))),
            (Some(Running), Completed, Some((Kind::Normal, "Completed", "so it is"))),
            (Some(Suspended), Completed, Some((Kind::Normal, "Completed", "so it is"))),
            (Some(Running), Cancelled, Some((Kind::Normal, "Cancelled", "so it is"))),
            (Some(Running), ImagesFailed, Some((Kind::Warning, "Failed", "ImagesFailed: so it is"))),
        ];
        for (old, new, want) in table {
            let want = want.map(|(kind, reason, note)| (kind, reason.to_owned(), note.to_owned()));
            let told = told(old.map(status).as_ref(), &status(new));
            assert_eq!(told, Vec::from_iter(want), "{old:?} to {new:?}");
        }
    }

    #[test]
    fn a_job_that_goes_on_after_an_interruption_does_not_start_again() {
        let between_images = ImageJobStatus { start_time: Some(Time(at(1))), ..status(JobReason::Waiting) };
        assert_eq!(told(Some(&between_images), &status(JobReason::Running)), []);
    }

    #[test]
    fn each_word_on_the_promise_is_told_once() {
        use JobReason::{SlaAtRisk, SlaMissed, SlaRecovered};
        let of = |late: Option<JobReason>, ended: bool| {
            let mut status = status(JobReason::Waiting);
            status.completion_time = ended.then(|| Time(at(9)));
            if let Some(reason) = late {
                let update = ConditionUpdate {
                    kind: ConditionType::Late,
                    status: reason != SlaRecovered,
                    reason: reason.as_str(),
                    message: "as it is".into(),
                    observed_generation: Some(1),
                };
                set_condition(&mut status.conditions, update, &Time(at(0)));
            }
            status
        };
        let table = [
            (None, Some(SlaAtRisk), false, Some((Kind::Warning, "SlaAtRisk"))),
            (Some(SlaAtRisk), Some(SlaAtRisk), false, None),
            (Some(SlaAtRisk), Some(SlaRecovered), false, Some((Kind::Normal, "SlaRecovered"))),
            (Some(SlaRecovered), Some(SlaAtRisk), false, Some((Kind::Warning, "SlaAtRisk"))),
            (Some(SlaAtRisk), Some(SlaMissed), false, Some((Kind::Warning, "SlaMissed"))),
            (Some(SlaMissed), Some(SlaMissed), false, None),
            (None, Some(SlaMissed), true, Some((Kind::Warning, "SlaMissed"))),
            (Some(SlaAtRisk), Some(SlaRecovered), true, None),
        ];
        for (old, new, ended, want) in table {
            let want = want.map(|(kind, reason)| (kind, reason.to_owned(), "as it is".to_owned()));
            assert_eq!(
                told(Some(&of(old, false)), &of(new, ended)),
                Vec::from_iter(want),
                "{old:?} to {new:?}"
            );
        }
    }

    #[test]
    fn a_job_that_waits_for_something_has_not_failed() {
        use JobReason::{
            Accepted, Cancelled, Completed, Running, SlaAtRisk, SlaMissed, SlaRecovered, Suspended, Waiting,
        };
        let others =
            [Accepted, Waiting, Running, Suspended, Completed, Cancelled, SlaAtRisk, SlaMissed, SlaRecovered];
        for reason in JobReason::ALL.iter().copied().filter(|reason| !others.contains(reason)) {
            let want = if reason.meaning().contains("Final") { "Failed" } else { "Pending" };
            let told = told(None, &status(reason));
            assert_eq!((told.len(), told[0].1.as_str()), (1, want), "{reason}");
        }
    }

    #[test]
    fn troubles_are_counted_in_words() {
        let new = |interruptions, retries, failed| ImageJobStatus {
            interruptions: Some(interruptions),
            retries: Some(retries),
            counts: Some(Counts { total: 4, failed, ..Counts::default() }),
            failures: vec![ImageFailure {
                index: 2,
                reason: "Timeout".into(),
                message: "300 s are over".into(),
                attempts: 3,
            }],
            ..status(JobReason::Running)
        };
        let note = |old: &ImageJobStatus, new: &ImageJobStatus| {
            told(Some(old), new).into_iter().map(|(_, reason, note)| format!("{reason}: {note}")).collect()
        };
        let quiet = new(0, 0, 0);
        let table: [(_, Vec<String>); 5] = [
            (new(0, 0, 0), vec![]),
            (
                new(1, 0, 0),
                vec!["Interrupted: a machine or its engine went away under an image, which goes to the next one".into()],
            ),
            (
                new(3, 0, 0),
                vec![
                    "Interrupted: machines or their engines went away under images 3 times, which go to the next ones".into(),
                ],
            ),
            (new(0, 1, 0), vec!["ImageRetried: an image failed and is tried again".into()]),
            (
                new(0, 2, 1),
                vec![
                    "ImageRetried: images failed 2 times and are tried again".into(),
                    "ImageFailed: 1 image failed for good; image 2: Timeout: 300 s are over".into(),
                ],
            ),
        ];
        for (new, want) in table {
            let told: Vec<String> = note(&quiet, &new);
            assert_eq!(told, want);
            assert_eq!(note(&new, &new), Vec::<String>::new());
        }
    }
}
