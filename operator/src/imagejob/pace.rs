//! How often a job's status is written: turns of its life at once, its progress once a minute, a short run's start not
//! at all. In between, progress is in the queue. Pure.

use std::time::Duration;

use crds::conditions::JobReason;
use jiff::Timestamp;

use super::promise::is_news;
use crate::index::Told;

/// Progress of a running job is written at most this often.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// A running job shorter than this never has its start written: accepted and finished are enough.
pub(crate) const WORTH_TELLING: Duration = Duration::from_secs(1);

/// News of trouble wait only this long after the last write.
const TROUBLE_EVERY: Duration = Duration::from_secs(10);

/// When to write a status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteWhen {
    Now,
    After(Duration),
    Never,
}

/// When to write `new`, of which `old` was written `ago`; `None`: not by this process.
pub(crate) fn when_to_write(old: &Told, new: &Told, ago: Option<Duration>, now: Timestamp) -> WriteWhen {
    if old.reason.is_none() || old.generation != new.generation {
        return WriteWhen::Now;
    }
    if is_turn(old, new) {
        let running_for = new.started.map(|started| since(started, now)).unwrap_or_default();
        let starts = new.reason == Some(JobReason::Running);
        return match WORTH_TELLING.saturating_sub(running_for) {
            wait if starts && !wait.is_zero() => WriteWhen::After(wait),
            _ => WriteWhen::Now,
        };
    }
    let rest = |every: Duration| ago.map_or(Duration::ZERO, |ago| every.saturating_sub(ago));
    let after = |rest: Duration| if rest.is_zero() { WriteWhen::Now } else { WriteWhen::After(rest) };
    let troubles = |told: &Told| {
        let failed = told.counts.map(|counts| counts.failed).unwrap_or_default();
        (told.interruptions.unwrap_or_default(), told.retries.unwrap_or_default(), failed)
    };
    if troubles(old) != troubles(new) {
        return after(rest(TROUBLE_EVERY));
    }
    if old.counts != new.counts {
        return after(rest(PROGRESS_EVERY));
    }
    // An estimate that has to wait is looked at again by itself.
    let news = rest(PROGRESS_EVERY).is_zero() && is_news(old.estimated, new.estimated, now);
    if news { WriteWhen::Now } else { WriteWhen::Never }
}

/// A new state, or a new word on its promise. Between its first image and its last a job that shares its workers runs
/// and waits in turns: that is progress.
fn is_turn(old: &Told, new: &Told) -> bool {
    let goes_on =
        |told: &Told| [JobReason::Running, JobReason::Waiting].iter().any(|r| told.reason == Some(*r));
    let under_way = old.started.is_some() && goes_on(old) && goes_on(new);
    old.sla != new.sla || old.reason != new.reason && !under_way
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use queue::JobState;

    use super::{
        super::{
            promise::Prospect,
            status::{self, PoolSeen},
        },
        *,
    };
    use crate::{
        fixtures::{accepted_record, at},
        index::JobRecord,
        node,
        workerpool::outlook::Expected,
    };

    const LATELY: Option<Duration> = Some(Duration::from_secs(20));
    const LONG_AGO: Option<Duration> = Some(PROGRESS_EVERY);
    const REST: Duration = Duration::from_secs(40);

    /// Four images, so many of them running and done; the first was begun 10 s after the job's creation.
    fn state(running: u32, succeeded: u32) -> JobState {
        let started = (running + succeeded > 0).then(|| u64::try_from(at(10).as_millisecond()).unwrap());
        JobState {
            waiting: 4 - running - succeeded,
            running,
            succeeded,
            started_ms: started,
            ..JobState::default()
        }
    }

    fn queued() -> JobRecord {
        let mut record = accepted_record();
        let terms = (**record.told.terms.as_ref().unwrap()).clone();
        record.told = status::queued(&record, terms, &PoolSeen::Open, at(0));
        record
    }

    fn following(mut record: JobRecord, state: &JobState, now: i64) -> JobRecord {
        record.told = status::following(&record, state, &PoolSeen::Open, &Prospect::default(), at(now));
        record
    }

    fn when(record: &JobRecord, state: &JobState, ago: Option<Duration>, now: i64) -> WriteWhen {
        when_expected(record, state, Expected::Unknown, ago, now)
    }

    fn when_expected(
        record: &JobRecord,
        state: &JobState,
        expected: Expected,
        ago: Option<Duration>,
        now: i64,
    ) -> WriteWhen {
        let prospect = Prospect { expected, pool: String::new() };
        let new = status::following(record, state, &PoolSeen::Open, &prospect, at(now));
        when_to_write(&record.told, &new, ago, at(now))
    }

    #[test]
    fn a_start_is_told_once_it_has_lasted() {
        let second = Duration::from_secs(1);
        assert_eq!(when(&queued(), &state(1, 0), LATELY, 10), WriteWhen::After(second));
        assert_eq!(when(&queued(), &state(1, 0), LATELY, 11), WriteWhen::Now);
    }

    #[test]
    fn progress_waits_its_turn() {
        let running = following(queued(), &state(1, 0), 11);
        assert_eq!(when(&running, &state(1, 0), LONG_AGO, 12), WriteWhen::Never);
        assert_eq!(when(&running, &state(1, 1), LATELY, 12), WriteWhen::After(REST));
        assert_eq!(when(&running, &state(1, 1), LONG_AGO, 22), WriteWhen::Now);
    }

    #[test]
    fn a_job_that_runs_is_written_once_a_minute() {
        let (mut record, mut written, mut writes) = (following(queued(), &state(1, 0), 11), 11_i64, 0);
        for now in 12_i64..=311 {
            let done = u32::try_from(now % 3).unwrap();
            let ago = Some(Duration::from_secs((now - written).unsigned_abs()));
            if when(&record, &state(1, done), ago, now) == WriteWhen::Now {
                record = following(record, &state(1, done), now);
                (written, writes) = (now, writes + 1);
            }
        }
        assert_eq!(writes, 5, "in five minutes");
    }

    #[test]
    fn a_job_between_two_images_is_under_way_as_before() {
        let running = following(queued(), &state(1, 0), 11);
        assert_eq!(when(&running, &state(0, 1), LATELY, 12), WriteWhen::After(REST), "none running");
        let between = following(running, &state(0, 1), 12);
        assert_eq!(when(&between, &state(1, 1), LATELY, 13), WriteWhen::After(REST), "the next running");
    }

    #[test]
    fn turns_are_told_at_once() {
        let running = following(queued(), &state(1, 0), 11);
        let suspended = JobState { suspended: true, ..state(0, 1) };
        assert_eq!(when(&running, &suspended, LATELY, 12), WriteWhen::Now);
        let suspended = following(running, &suspended, 12);
        assert_eq!(when(&suspended, &state(0, 1), LATELY, 13), WriteWhen::Now, "it goes on");
    }

    #[test]
    fn a_promise_that_will_not_be_kept_is_told_at_once_and_an_estimate_when_it_may() {
        let done = |seconds| Expected::At(node::time(at(seconds)));
        let (waiting, none) = (queued(), state(0, 0));
        assert_eq!(when_expected(&waiting, &none, done(900), LATELY, 1), WriteWhen::Now, "at risk");
        assert_eq!(when(&waiting, &none, LATELY, 301), WriteWhen::Now, "missed, whatever is expected");
        assert_eq!(when_expected(&waiting, &none, done(90), LATELY, 1), WriteWhen::Never);
        assert_eq!(when_expected(&waiting, &none, done(90), LONG_AGO, 1), WriteWhen::Now);
    }

    #[test]
    fn a_changed_spec_is_acknowledged_at_once() {
        let running = following(queued(), &state(1, 0), 11);
        let changed = JobRecord { generation: Some(2), ..running };
        assert_eq!(when(&changed, &state(1, 0), LATELY, 12), WriteWhen::Now);
    }

    #[test]
    fn interruptions_and_retries_are_told_within_seconds() {
        let running = following(queued(), &state(1, 0), 11);
        for trouble in [JobState { interruptions: 1, ..state(0, 0) }, JobState { retries: 1, ..state(1, 0) }]
        {
            assert_eq!(when(&running, &trouble, LATELY, 15), WriteWhen::Now);
            let rest = WriteWhen::After(Duration::from_secs(8));
            let ago = Some(Duration::from_secs(2));
            assert_eq!(when(&running, &trouble, ago, 15), rest, "however many there are");
        }
    }
}
