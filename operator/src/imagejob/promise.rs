//! Whether a job keeps its class's promise, told as soon as it can be told. Pure.

use std::time::Duration;

use crds::conditions::JobReason;
use jiff::Timestamp;
use policy::Time as PolicyTime;

use crate::{
    index::{Sla, Told},
    node,
    workerpool::outlook::Expected,
};

/// A forecast wavers: a job is at risk once it would be late by more than this part of what its class promises, …
const RISK: u32 = 20;
/// … and by more than this.
const LEAST_RISK: Duration = Duration::from_secs(2);
/// An estimate that moved by less than this part of the time left is not news, …
const NEWS: u32 = 10;
/// … nor by less than this.
const LEAST_NEWS: Duration = Duration::from_secs(2);

/// When a job's last image should be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Prospect {
    pub(crate) expected: Expected,
    /// How its pool fares: why it is late, if it is.
    pub(crate) pool: String,
}

/// What is to be said of the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) sla: Sla,
    /// The condition `Late`, its reason and message; `None`: nothing need be said.
    pub(crate) late: Option<(bool, JobReason, String)>,
}

impl Prospect {
    /// In whole seconds, as the API server keeps them.
    pub(crate) fn done(&self) -> Option<Timestamp> {
        match self.expected {
            Expected::At(done) => shown(done),
            Expected::Unknown | Expected::Never => None,
        }
    }
}

/// What to say of a job under way; `None`: it promises nothing, its clock stands still, or nothing new can be said.
pub(crate) fn verdict(told: &Told, prospect: &Prospect, now: Timestamp) -> Option<Verdict> {
    let (before, due) = (told.sla?, told.due()?);
    let sla = judge(before, due, promised(told), prospect.expected, now);
    if (sla, before) == (Sla::Pending, Sla::Pending) {
        return Some(Verdict { sla, late: None });
    }
    let forecast = prospect.done();
    let late = match (sla, forecast) {
        (Sla::Missed, _) if before == Sla::Missed => return None,
        (Sla::Missed, _) => {
            let counts = told.counts.unwrap_or_default();
            let message = format!("late: due {due}, {} of {} images done", counts.succeeded, counts.total);
            (true, JobReason::SlaMissed, message)
        }
        (Sla::AtRisk, Some(done)) => {
            let message = format!("will be late: due {due}, done {done} as things stand: {}", prospect.pool);
            (true, JobReason::SlaAtRisk, message)
        }
        (Sla::AtRisk, None) if prospect.expected == Expected::Never => {
            let message =
                format!("will be late: due {due}, and no worker for it is in sight: {}", prospect.pool);
            (true, JobReason::SlaAtRisk, message)
        }
        (_, Some(done)) => {
            (false, JobReason::SlaRecovered, format!("will be in time after all: due {due}, done {done}"))
        }
        (_, None) => return None,
    };
    Some(Verdict { sla, late: Some(late) })
}

/// Whether a job has to be told that its promise stands otherwise than before, or when its last image should be done.
pub(crate) fn news(told: &Told, prospect: &Prospect, now: Timestamp) -> Option<News> {
    let verdict = verdict(told, prospect, now);
    if verdict.is_some_and(|verdict| Some(verdict.sla) != told.sla) {
        return Some(News::Verdict);
    }
    is_news(told.estimated, prospect.done(), now).then_some(News::Estimate)
}

/// What is new of a job's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Verdict,
    Estimate,
}

/// What to say of a job whose images are all made.
pub(crate) fn at_end(told: &Told, completion: Timestamp) -> Option<Verdict> {
    let due = told.due()?;
    let late_by = completion.duration_since(due);
    let doubted = matches!(told.sla, Some(Sla::AtRisk | Sla::Missed));
    Some(if late_by.is_positive() {
        let seconds = late_by.unsigned_abs().as_millis().div_ceil(1000);
        let message = format!("late: due {due}, done {seconds} s after that");
        Verdict { sla: Sla::Missed, late: Some((true, JobReason::SlaMissed, message)) }
    } else {
        let in_time = || (false, JobReason::SlaRecovered, format!("in time after all: due {due}"));
        Verdict { sla: Sla::Met, late: doubted.then(in_time) }
    })
}

/// Once missed is missed; between being at risk and being in time lies a margin in which nothing changes.
fn judge(before: Sla, due: Timestamp, promised: Duration, expected: Expected, now: Timestamp) -> Sla {
    if now > due || before == Sla::Missed {
        return Sla::Missed;
    }
    let due = node::time(due);
    match expected {
        Expected::Never => Sla::AtRisk,
        Expected::At(done) if done > due.plus((promised / RISK).max(LEAST_RISK)) => Sla::AtRisk,
        Expected::At(done) if done <= due => Sla::Pending,
        Expected::At(_) | Expected::Unknown => before,
    }
}

/// Whether an estimate is another than the one told.
pub(crate) fn is_news(old: Option<Timestamp>, new: Option<Timestamp>, now: Timestamp) -> bool {
    match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => {
            let moved = new.duration_since(old).unsigned_abs();
            let left = Duration::try_from(old.duration_since(now)).unwrap_or_default();
            moved > (left / NEWS).max(LEAST_NEWS)
        }
    }
}

fn promised(told: &Told) -> Duration {
    Duration::from_secs(told.terms.as_ref().map_or(0, |terms| terms.sla_seconds.into()))
}

fn shown(time: PolicyTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.as_millis() / 1000).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{accepted_status, at, record_with};

    /// Due 300 s after its creation, with a margin of 15 s.
    fn job(sla: Sla) -> Told {
        let mut status = accepted_status();
        status["counts"] = json!({"total": 4, "waiting": 3, "running": 0, "succeeded": 1, "failed": 0});
        Told { sla: Some(sla), ..record_with(json!({"status": status})).told }
    }

    fn done(seconds: i64) -> Expected {
        Expected::At(node::time(at(seconds)))
    }

    #[test]
    fn a_promise_is_at_risk_before_it_is_missed_and_does_not_waver() {
        use Sla::{AtRisk, Missed, Pending};
        let table = [
            (Pending, done(200), 10, Pending),
            (Pending, done(310), 10, Pending),
            (Pending, done(316), 10, AtRisk),
            (Pending, Expected::Never, 10, AtRisk),
            (Pending, Expected::Unknown, 10, Pending),
            (AtRisk, Expected::Unknown, 10, AtRisk),
            (AtRisk, done(310), 10, AtRisk),
            (AtRisk, done(300), 10, Pending),
            (AtRisk, done(350), 300, AtRisk),
            (Pending, done(302), 301, Missed),
            (AtRisk, Expected::Unknown, 301, Missed),
            (Missed, done(400), 350, Missed),
        ];
        for (before, expected, now, want) in table {
            let got = judge(before, at(300), Duration::from_secs(300), expected, at(now));
            assert_eq!(got, want, "{before:?}, {expected:?}, at {now} s");
        }
    }

    #[test]
    fn what_is_said_of_it_says_when_and_why() {
        use Sla::{AtRisk, Missed, Pending};
        let pool = "no spot machines are available".to_owned();
        let table = [
            (Pending, done(200), 10, None),
            (
                Pending,
                done(400),
                10,
                Some(
                    "SlaAtRisk: will be late: due 2026-01-01T00:05:00Z, done 2026-01-01T00:06:40Z as things stand: no spot machines are available",
                ),
            ),
            (
                Pending,
                Expected::Never,
                10,
                Some(
                    "SlaAtRisk: will be late: due 2026-01-01T00:05:00Z, and no worker for it is in sight: no spot machines are available",
                ),
            ),
            (
                AtRisk,
                done(200),
                10,
                Some(
                    "SlaRecovered: will be in time after all: due 2026-01-01T00:05:00Z, done 2026-01-01T00:03:20Z",
                ),
            ),
            (AtRisk, done(400), 301, Some("SlaMissed: late: due 2026-01-01T00:05:00Z, 1 of 4 images done")),
        ];
        for (before, expected, now, want) in table {
            let prospect = Prospect { expected, pool: pool.clone() };
            let verdict = verdict(&job(before), &prospect, at(now)).unwrap();
            let late = verdict.late.map(|(_, reason, message)| format!("{reason}: {message}"));
            assert_eq!(late.as_deref(), want);
        }
        let missed = verdict(&job(Missed), &Prospect::default(), at(400));
        assert_eq!(missed, None, "said once");
        let nothing_promised = record_with(json!({"status": {"class": "standard"}})).told;
        assert_eq!(verdict(&nothing_promised, &Prospect::default(), at(400)), None);
        let suspended = Told { suspended_since: Some(at(10)), ..job(Pending) };
        assert_eq!(verdict(&suspended, &Prospect::default(), at(400)), None, "its clock stands still");
        let resumed = Told { suspended_seconds: 200, ..job(Pending) };
        let in_time = Verdict { sla: Pending, late: None };
        assert_eq!(verdict(&resumed, &Prospect::default(), at(400)), Some(in_time));
    }

    #[test]
    fn an_estimate_is_news_when_it_moves_by_a_tenth_of_the_time_left() {
        let time = |seconds| at(seconds);
        let table = [
            (None, Some(time(100)), true),
            (Some(time(100)), None, false),
            (Some(time(100)), Some(time(109)), false),
            (Some(time(100)), Some(time(111)), true),
            (Some(time(100)), Some(time(89)), true),
        ];
        for (old, new, news) in table {
            assert_eq!(is_news(old, new, at(0)), news, "{old:?} to {new:?}");
        }
        assert!(!is_news(Some(time(1)), Some(time(3)), at(0)), "seconds are noise");
        assert!(is_news(Some(time(0)), Some(time(60)), at(50)), "it should have been done by now");
    }
}
