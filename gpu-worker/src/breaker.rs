//! Whether this worker itself is to blame for what does not work on it.
//!
//! One whose models are not there, or whose GPU computes nonsense, fails whatever it is given, quicker than others
//! work. A task that does not work here is therefore tried elsewhere, and the queue counts what came of it there.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{JobUid, TaskError};
use tokio::time::Instant;

/// So many tasks that did not work here and that others made, and the worker is to blame.
const MADE_ELSEWHERE: usize = 3;
/// So many jobs in a row that did not work here while nobody has found out better, and the worker may be to blame.
const IN_A_ROW: usize = 5;
/// What others do with a task shows by then, as a rule.
const SHOWN_AFTER: Duration = Duration::from_secs(15);
/// A suspicion that nobody refuted or confirmed for so long is dropped.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// What lies further back says little of a worker that has made many pictures since.
const REFUTED_WITHIN: Duration = Duration::from_secs(3600);
/// More suspicions than this say no more.
const REMEMBERED: usize = 32;

/// Counts what did not work here, until it opens for good: then no more tasks are taken.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The oldest first.
    suspicions: VecDeque<Suspicion>,
    /// When the queue said that another worker had made a task that did not work here.
    refuted_at: VecDeque<Instant>,
    /// What the queue had counted of this worker; before the first answer nothing is known.
    known: Option<Counts>,
    open: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    refuted: u32,
    confirmed: u32,
}

/// A task that did not work here.
#[derive(Debug)]
struct Suspicion {
    job: JobUid,
    message: String,
    since: Instant,
    /// Nothing has worked here since.
    in_a_row: bool,
}

impl Breaker {
    /// Why no tasks are to be taken any more.
    pub(crate) fn why(&self) -> Option<String> {
        self.lock().open.clone()
    }

    /// A task did not work here, and it may be this worker's fault.
    pub(crate) fn suspect(&self, job: &JobUid, error: &TaskError, now: Instant) {
        let suspicion =
            Suspicion { job: job.clone(), message: error.message.clone(), since: now, in_a_row: true };
        let mut inner = self.lock();
        if inner.suspicions.len() >= REMEMBERED {
            inner.suspicions.pop_front();
        }
        inner.suspicions.push_back(suspicion);
    }

    /// A picture was made here.
    pub(crate) fn worked(&self) {
        self.lock().suspicions.iter_mut().for_each(|suspicion| suspicion.in_a_row = false);
    }

    /// Takes in what the queue has counted of this worker, as in [`BeatReply`](queue::BeatReply). What was counted before
    /// this process began is not its.
    pub(crate) fn update(&self, refuted: u32, confirmed: u32, now: Instant) {
        let mut inner = self.lock();
        let known = inner.known.replace(Counts { refuted, confirmed });
        let known = known.unwrap_or(Counts { refuted, confirmed });
        let (refuted, confirmed) =
            (refuted.saturating_sub(known.refuted), confirmed.saturating_sub(known.confirmed));
        inner.settle(refuted, confirmed, now);
        let Some(why) = inner.verdict(now) else { return };
        if inner.open.is_none() {
            tracing::error!(why, "this worker takes no more tasks and should be replaced");
            inner.open = Some(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Others see to the oldest task first.
    fn settle(&mut self, refuted: u32, confirmed: u32, now: Instant) {
        for _ in 0..refuted.saturating_add(confirmed) {
            if self.suspicions.pop_front().is_none() {
                break;
            }
        }
        let refuted = usize::try_from(refuted).unwrap_or(usize::MAX).min(MADE_ELSEWHERE);
        self.refuted_at.extend(std::iter::repeat_n(now, refuted));
        self.refuted_at.retain(|at| now - *at < REFUTED_WITHIN);
        self.suspicions.retain(|suspicion| now - suspicion.since < FORGOTTEN_AFTER);
    }

    fn verdict(&self, now: Instant) -> Option<String> {
        let refuted = self.refuted_at.len();
        if refuted >= MADE_ELSEWHERE {
            return Some(format!("{refuted} tasks that do not work here were made by other workers"));
        }
        let in_a_row = || self.suspicions.iter().filter(|suspicion| suspicion.in_a_row);
        let jobs: HashSet<_> = in_a_row().map(|suspicion| &suspicion.job).collect();
        let (first, last) = (in_a_row().next()?, in_a_row().next_back()?);
        let (jobs, last) = (jobs.len(), &last.message);
        (jobs >= IN_A_ROW && now - first.since >= SHOWN_AFTER)
            .then(|| format!("tasks of {jobs} jobs in a row do not work here, the last one for: {last}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::{JobUid, Reason, TaskError};
    use tokio::time::Instant;

    use super::{Breaker, IN_A_ROW, REFUTED_WITHIN, SHOWN_AFTER};

    /// That has failed tasks of these jobs.
    fn suspecting(jobs: impl IntoIterator<Item = usize>, now: Instant) -> Breaker {
        let breaker = Breaker::default();
        breaker.update(0, 0, now);
        let error = TaskError { reason: Reason::EngineError, message: "no such model".into() };
        jobs.into_iter().for_each(|job| breaker.suspect(&JobUid(format!("job-{job}")), &error, now));
        breaker
    }

    /// Whether it is open once it should have shown what others do.
    fn opens(breaker: &Breaker, (refuted, confirmed): (u32, u32), now: Instant) -> bool {
        breaker.update(refuted, confirmed, now);
        breaker.update(refuted, confirmed, now + SHOWN_AFTER);
        breaker.why().is_some()
    }

    #[test]
    fn tasks_that_others_make_are_this_workers_fault_even_of_one_job() {
        let now = Instant::now();
        let breaker = suspecting([0, 0, 0], now);
        breaker.update(2, 0, now);
        assert_eq!(breaker.why(), None);
        breaker.update(3, 0, now);
        assert!(breaker.why().expect("open").contains("made by other workers"));
    }

    #[test]
    fn what_works_here_in_between_does_not_hide_it() {
        let now = Instant::now();
        let breaker = suspecting([0, 1, 2], now);
        breaker.worked();
        assert!(opens(&breaker, (3, 0), now));
    }

    #[test]
    fn a_few_that_others_made_in_the_course_of_weeks_are_not() {
        let now = Instant::now();
        let breaker = suspecting([], now);
        for n in 1..10 {
            let later = now + n * REFUTED_WITHIN / 2;
            breaker.update(n, 0, later);
            assert_eq!(breaker.why(), None, "{n}");
        }
    }

    #[test]
    fn what_was_counted_before_this_process_began_is_not_its() {
        let breaker = Breaker::default();
        assert!(!opens(&breaker, (7, 3), Instant::now()));
    }

    #[test]
    fn jobs_that_work_nowhere_are_not_this_workers_fault() {
        let now = Instant::now();
        assert!(!opens(&suspecting(0..10, now), (0, 8), now));
    }

    #[test]
    fn jobs_in_a_row_are_enough_where_nobody_finds_out_better() {
        let now = Instant::now();
        assert!(opens(&suspecting(0..IN_A_ROW, now), (0, 0), now));
        assert!(!opens(&suspecting(1..IN_A_ROW, now), (0, 0), now), "too few");
        assert!(!opens(&suspecting([0; 9], now), (0, 0), now), "all of one job");
        let recovered = suspecting(0..IN_A_ROW, now);
        recovered.worked();
        assert!(!opens(&recovered, (0, 0), now));
        let recent = suspecting(0..IN_A_ROW, now);
        recent.update(0, 0, now + Duration::from_secs(1));
        assert_eq!(recent.why(), None, "others may still find out");
    }
}
