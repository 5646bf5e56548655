//! How often a job's status is written: turns of its life at once, its progress now and then, a short run's
//! start not at all. Pure.

use std::time::Duration;

use crds::{
    ImageJob, ImageJobStatus,
    conditions::{ConditionType, JobReason, find_condition},
};
use jiff::Timestamp;
use queue::JobState;

use super::{promise::is_news, writes::PROGRESS_EVERY};

/// A running job shorter than this never has its start written: accepted and finished are enough.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// News of trouble rest only this long after the last write.
const TROUBLE_EVERY: Duration = Duration::from_secs(1);

/// When to write a status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteWhen {
    Now,
    After(Duration),
    Never,
}

/// When to write `new`; `wait` is how long progress, written a moment ago, should rest.
pub(crate) fn when_to_write(
    job: &ImageJob,
    new: &ImageJobStatus,
    state: &JobState,
    wait: Duration,
    now: Timestamp,
) -> WriteWhen {
    let Some(old) = &job.status else { return WriteWhen::Now };
    if old.observed_generation != new.observed_generation {
        return WriteWhen::Now;
    }
    if is_turn(old, new) {
        let running_for = state.started_ms.map(|started| since(started, now)).unwrap_or_default();
        let starts = reason(new) == Some(JobReason::Running.as_str());
        return match WORTH_TELLING.saturating_sub(running_for) {
            rest if starts && !rest.is_zero() => WriteWhen::After(rest),
            _ => WriteWhen::Now,
        };
    }
    let troubles = |status: &ImageJobStatus| {
        (status.interruptions.unwrap_or_default(), status.retries.unwrap_or_default())
    };
    let trouble = troubles(old) != troubles(new);
    if old.counts == new.counts && !trouble {
        // An estimate that has to rest is looked at again by itself.
        let (was, is) = (old.estimated_completion_time.as_ref(), new.estimated_completion_time.as_ref());
        return if wait.is_zero() && is_news(was, is, now) { WriteWhen::Now } else { WriteWhen::Never };
    }
    let wait = if trouble { wait.saturating_sub(PROGRESS_EVERY - TROUBLE_EVERY) } else { wait };
    if wait.is_zero() { WriteWhen::Now } else { WriteWhen::After(wait) }
}

/// A new state, or a new word on its promise. Between its first image and its last a job that shares its workers runs and waits in turns: that is progress.
fn is_turn(old: &ImageJobStatus, new: &ImageJobStatus) -> bool {
    let goes_on = |status: &ImageJobStatus| {
        [JobReason::Running, JobReason::Waiting].iter().any(|r| reason(status) == Some(r.as_str()))
    };
    let under_way = old.start_time.is_some() && goes_on(old) && goes_on(new);
    old.sla != new.sla || reason(old) != reason(new) && !under_way
}

fn reason(status: &ImageJobStatus) -> Option<&str> {
    find_condition(&status.conditions, ConditionType::Ready).map(|ready| ready.reason.as_str())
}

fn since(ms: u64, now: Timestamp) -> Duration {
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Duration::from_millis(now_ms.saturating_sub(ms))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{promise::Prospect, status, status::Promise, validate::Decided},
        *,
    };
    use crate::{
        context::PoolKey,
        fixtures::{at, job, job_with, pool},
        node,
        workerpool::outlook::Expected,
    };

    const AT_ONCE: Duration = Duration::ZERO;
    const RESTING: Duration = Duration::from_secs(7);

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

    fn queued() -> ImageJob {
        let mut job = job();
        let (pool, decided) = (PoolKey::new("studio", "sd15"), Decided::default());
        let promise = Promise { class: "standard".into(), within: Duration::from_secs(300) };
        job.status = Some(status::queued(&job, &pool, promise, decided, false, at(0)));
        job
    }

    fn following(mut job: ImageJob, state: &JobState, now: i64) -> ImageJob {
        job.status = Some(status::following(&job, state, Some(&pool()), &Prospect::default(), at(now)));
        job
    }

    fn when(job: &ImageJob, state: &JobState, wait: Duration, now: i64) -> WriteWhen {
        when_expected(job, state, Expected::Unknown, wait, now)
    }

    fn when_expected(
        job: &ImageJob,
        state: &JobState,
        expected: Expected,
        wait: Duration,
        now: i64,
    ) -> WriteWhen {
        let prospect = Prospect { expected, pool: String::new() };
        let new = status::following(job, state, Some(&pool()), &prospect, at(now));
        when_to_write(job, &new, state, wait, at(now))
    }

    #[test]
    fn a_start_is_told_once_it_has_lasted() {
        let second = Duration::from_secs(1);
        assert_eq!(when(&queued(), &state(1, 0), RESTING, 10), WriteWhen::After(second));
        assert_eq!(when(&queued(), &state(1, 0), RESTING, 11), WriteWhen::Now);
    }

    #[test]
    fn progress_waits_its_turn() {
        let running = following(queued(), &state(1, 0), 11);
        assert_eq!(when(&running, &state(1, 0), AT_ONCE, 12), WriteWhen::Never);
        assert_eq!(when(&running, &state(1, 1), RESTING, 12), WriteWhen::After(RESTING));
        assert_eq!(when(&running, &state(1, 1), AT_ONCE, 22), WriteWhen::Now);
    }

    #[test]
    fn a_job_between_two_images_is_under_way_as_before() {
        let running = following(queued(), &state(1, 0), 11);
        assert_eq!(when(&running, &state(0, 1), RESTING, 12), WriteWhen::After(RESTING), "none running");
        let between = following(running, &state(0, 1), 12);
        assert_eq!(when(&between, &state(1, 1), RESTING, 13), WriteWhen::After(RESTING), "the next running");
    }

    #[test]
    fn turns_are_told_at_once() {
        let running = following(queued(), &state(1, 0), 11);
        let suspended = JobState { suspended: true, ..state(0, 1) };
        assert_eq!(when(&running, &suspended, RESTING, 12), WriteWhen::Now);
        let suspended = following(running, &suspended, 12);
        assert_eq!(when(&suspended, &state(0, 1), RESTING, 13), WriteWhen::Now, "it goes on");
    }

    #[test]
    fn a_promise_that_will_not_be_kept_is_told_at_once_and_an_estimate_when_it_may() {
        let done = |seconds| Expected::At(node::time(at(seconds)));
        let (waiting, none) = (queued(), state(0, 0));
        assert_eq!(when_expected(&waiting, &none, done(900), RESTING, 1), WriteWhen::Now, "at risk");
        assert_eq!(when(&waiting, &none, RESTING, 301), WriteWhen::Now, "missed, whatever is expected");
        assert_eq!(when_expected(&waiting, &none, done(90), RESTING, 1), WriteWhen::Never);
        assert_eq!(when_expected(&waiting, &none, done(90), AT_ONCE, 1), WriteWhen::Now);
    }

    #[test]
    fn a_changed_spec_is_acknowledged_at_once() {
        let running = following(queued(), &state(1, 0), 11);
        let changed =
            ImageJob { metadata: job_with(json!({"metadata": {"generation": 2}})).metadata, ..running };
        assert_eq!(when(&changed, &state(1, 0), RESTING, 12), WriteWhen::Now);
    }

    #[test]
    fn interruptions_and_retries_are_told_within_a_second() {
        let running = following(queued(), &state(1, 0), 11);
        for trouble in [JobState { interruptions: 1, ..state(0, 0) }, JobState { retries: 1, ..state(1, 0) }]
        {
            assert_eq!(when(&running, &trouble, RESTING, 15), WriteWhen::Now);
            let a_moment_ago = PROGRESS_EVERY - Duration::from_millis(200);
            let rest = WriteWhen::After(Duration::from_millis(800));
            assert_eq!(when(&running, &trouble, a_moment_ago, 15), rest, "however many there are");
        }
    }
}
