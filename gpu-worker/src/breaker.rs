//! Whether this worker itself is to blame for what does not work on it.
//!
//! One whose models are not there, or whose GPU computes nonsense, fails whatever it is given, quicker than others
//! work. A task that does not work here is therefore tried elsewhere, and what comes of it there tells who was right.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use queue::{LEASE, Outcome, Queue, TaskError, TaskId, WorkerId};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::worker::Worker;

/// So many tasks that did not work here and did elsewhere, and the worker is to blame.
const MADE_ELSEWHERE: u32 = 3;
/// So many jobs in a row that did not work here while nobody has found out better, and the worker may be to blame.
const IN_A_ROW: usize = 3;
/// Where there is nobody who could find out.
const IN_A_ROW_ALONE: usize = 5;
/// What others do with a task shows by then, as a rule.
const SHOWN_AFTER: Duration = Duration::from_secs(20);
/// A suspicion that came to nothing for so long is dropped.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// More suspicions than this say no more.
const REMEMBERED: usize = 32;
/// Between two looks at what became of the tasks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Counts what did not work here, until it opens for good: then no more tasks are taken.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    suspicions: Vec<Suspicion>,
    made_elsewhere: u32,
    open: Option<String>,
}

/// A task that did not work here.
#[derive(Debug, Clone)]
struct Suspicion {
    task: TaskId,
    error: TaskError,
    since: Instant,
    /// Nothing has worked here since.
    in_a_row: bool,
}

/// What became of a task elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Another worker made it.
    Made,
    /// It worked nowhere.
    Failed,
    Open,
}

impl Breaker {
    /// Why no tasks are to be taken any more.
    pub(crate) fn why(&self) -> Option<String> {
        self.lock().open.clone()
    }

    /// A task did not work here, and it may be this worker's fault.
    pub(crate) fn suspect(&self, task: &TaskId, error: &TaskError) {
        let suspicion =
            Suspicion { task: task.clone(), error: error.clone(), since: Instant::now(), in_a_row: true };
        let mut inner = self.lock();
        if inner.suspicions.len() >= REMEMBERED {
            inner.suspicions.remove(0);
        }
        inner.suspicions.push(suspicion);
        drop(inner);
        self.changed.notify_one();
    }

    /// A picture was made here.
    pub(crate) fn worked(&self) {
        self.lock().suspicions.iter_mut().for_each(|suspicion| suspicion.in_a_row = false);
    }

    /// Takes in what became of the tasks elsewhere. `alone`: there is no other worker.
    fn judge(&self, fates: &[(TaskId, Fate)], alone: bool, now: Instant) {
        let mut inner = self.lock();
        let fate = |task: &TaskId| {
            fates.iter().find(|(known, _)| known == task).map_or(Fate::Open, |(_, fate)| *fate)
        };
        let mut made = 0;
        inner.suspicions.retain(|suspicion| match fate(&suspicion.task) {
            Fate::Made => {
                made += 1;
                false
            }
            // Where nobody else could try, it says nothing of this worker.
            Fate::Failed if !alone => false,
            Fate::Failed | Fate::Open => now - suspicion.since < FORGOTTEN_AFTER,
        });
        inner.made_elsewhere += made;
        let in_a_row: Vec<_> = inner.suspicions.iter().filter(|suspicion| suspicion.in_a_row).collect();
        let jobs: HashSet<_> = in_a_row.iter().map(|suspicion| &suspicion.task.job).collect();
        let shown = in_a_row.first().is_some_and(|first| now - first.since >= SHOWN_AFTER);
        let last = in_a_row.last().map(|suspicion| suspicion.error.message.as_str()).unwrap_or_default();
        let why = if inner.made_elsewhere >= MADE_ELSEWHERE {
            format!("{} tasks that do not work here were made by other workers", inner.made_elsewhere)
        } else if jobs.len() >= IN_A_ROW_ALONE || jobs.len() >= IN_A_ROW && shown && !alone {
            format!("tasks of {} jobs in a row do not work here, the last one for: {last}", jobs.len())
        } else {
            return;
        };
        if inner.open.is_none() {
            tracing::error!(why, "this worker takes no more tasks and should be replaced");
            inner.open = Some(why);
        }
    }

    fn open_suspicions(&self) -> Vec<TaskId> {
        let inner = self.lock();
        if inner.open.is_some() {
            return Vec::new();
        }
        inner.suspicions.iter().map(|suspicion| suspicion.task.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks what becomes of the tasks that did not work here, for ever.
pub(crate) async fn watch(worker: Arc<Worker>) {
    let breaker = &worker.health.breaker;
    loop {
        let tasks = breaker.open_suspicions();
        if tasks.is_empty() {
            breaker.changed.notified().await;
            continue;
        }
        match look(&worker.queue, &worker.id, &tasks).await {
            Ok((fates, alone)) => breaker.judge(&fates, alone, Instant::now()),
            Err(error) => tracing::debug!(%error, "can't see what became of tasks elsewhere"),
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn look(queue: &Queue, me: &WorkerId, tasks: &[TaskId]) -> queue::Result<(Vec<(TaskId, Fate)>, bool)> {
    let mut fates = Vec::with_capacity(tasks.len());
    for task in tasks {
        let outcomes = queue.outcomes(&task.job, task.index, 1).await?;
        fates.push((task.clone(), outcomes.first().map_or(Fate::Open, |outcome| fate(outcome, me))));
    }
    let stats = queue.stats().await?;
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let lives = |seen_ms: u64| stats.now_ms.saturating_sub(seen_ms) <= lease_ms;
    let alone = !stats.workers.iter().any(|other| other.worker != *me && lives(other.seen_ms));
    Ok((fates, alone))
}

fn fate(outcome: &Outcome, me: &WorkerId) -> Fate {
    match &outcome.result {
        Ok(result) if result.worker == *me => Fate::Failed,
        Ok(_) => Fate::Made,
        Err(_) => Fate::Failed,
    }
}

#[cfg(test)]
mod tests {
    use queue::{JobUid, Reason, TaskError, TaskId};
    use tokio::time::Instant;

    use super::{Breaker, Fate, IN_A_ROW, IN_A_ROW_ALONE, SHOWN_AFTER};

    fn task(job: usize, index: u32) -> TaskId {
        TaskId { job: JobUid(format!("job-{job}")), index }
    }

    fn suspecting(tasks: impl IntoIterator<Item = TaskId>) -> Breaker {
        let breaker = Breaker::default();
        let error = TaskError { reason: Reason::ValueNotInList, message: "no such model".into() };
        tasks.into_iter().for_each(|task| breaker.suspect(&task, &error));
        breaker
    }

    /// Whether it opens, now or once it should have shown what others do.
    fn opens(breaker: &Breaker, fates: &[(TaskId, Fate)], alone: bool) -> bool {
        breaker.judge(fates, alone, Instant::now());
        breaker.judge(fates, alone, Instant::now() + SHOWN_AFTER);
        breaker.why().is_some()
    }

    #[test]
    fn tasks_that_others_make_are_this_workers_fault_even_of_one_job() {
        let tasks = [task(0, 0), task(0, 1), task(0, 2)];
        let breaker = suspecting(tasks.clone());
        breaker.judge(&tasks.clone().map(|task| (task, Fate::Made)), false, Instant::now());
        assert!(breaker.why().expect("open").contains("made by other workers"));
        assert!(!opens(&suspecting(tasks.clone()), &[(tasks[0].clone(), Fate::Made)], false));
    }

    #[test]
    fn what_works_here_in_between_does_not_hide_it() {
        let tasks = [task(0, 0), task(1, 0), task(2, 0)];
        let breaker = suspecting(tasks.clone());
        breaker.worked();
        breaker.judge(&tasks.map(|task| (task, Fate::Made)), false, Instant::now());
        assert!(breaker.why().is_some());
    }

    #[test]
    fn jobs_that_work_nowhere_are_not_this_workers_fault() {
        let tasks: Vec<_> = (0..10).map(|job| task(job, 0)).collect();
        let nowhere: Vec<_> = tasks.iter().map(|task| (task.clone(), Fate::Failed)).collect();
        assert!(!opens(&suspecting(tasks), &nowhere, false));
    }

    #[test]
    fn jobs_in_a_row_are_enough_where_nobody_finds_out_better() {
        let jobs = |count| (0..count).map(|job| task(job, 0));
        assert!(opens(&suspecting(jobs(IN_A_ROW)), &[], false));
        assert!(!opens(&suspecting((0..9).map(|index| task(0, index))), &[], false), "all of one job");
        let recovered = suspecting(jobs(IN_A_ROW));
        recovered.worked();
        assert!(!opens(&recovered, &[], false));

        assert!(!opens(&suspecting(jobs(IN_A_ROW_ALONE - 1)), &[], true));
        let dead: Vec<_> = jobs(IN_A_ROW_ALONE).map(|task| (task, Fate::Failed)).collect();
        assert!(opens(&suspecting(jobs(IN_A_ROW_ALONE)), &dead, true), "by its own word alone");
    }
}
