//! Jobs: queued, watched, stopped and forgotten by the operator.

use redis::Cmd;

use crate::{
    DeadLetter, Enqueued, Error, Job, JobState, JobUid, Outcome, Queue, Result, TaskId,
    spec::{self, Spec, whole},
    task,
};

/// Jobs per script call: enough to be fast, few enough not to hold Redis up for longer than a millisecond or two.
const BATCH: usize = 100;

/// A page of the jobs a queue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    /// Some uids. A job that was there all the time is on at least one page, perhaps on two.
    pub jobs: Vec<JobUid>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<u64>,
}

fn flags(job: &Job) -> &'static str {
    match (job.suspended, job.recheck) {
        (true, true) => "sr",
        (true, false) => "s",
        (false, true) => "r",
        (false, false) => "",
    }
}

impl Queue {
    /// Queues a job. A uid that is known already changes nothing, but for `recheck`, which is taken over.
    ///
    /// # Errors
    /// [`Error::Full`] when Redis is at its memory limit, [`Error::Job`] when the job makes no sense, or when
    /// Redis can't be reached; to repeat is safe.
    pub async fn enqueue(&self, job: &Job) -> Result<Enqueued> {
        let answers = self.enqueue_many(std::slice::from_ref(job)).await?;
        answers.first().copied().ok_or_else(|| Error::malformed("enqueue", "no answer"))
    }

    /// Queues several jobs; one answer each, in their order. A few hundred at a time are queued in one step.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); some of the jobs may be queued then.
    pub async fn enqueue_many(&self, jobs: &[Job]) -> Result<Vec<Enqueued>> {
        let mut answers = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(BATCH) {
            let records = batch.iter().map(spec::encode).collect::<Result<Vec<_>>>()?;
            let fill = |call: &mut Cmd| {
                for (job, record) in batch.iter().zip(&records) {
                    call.arg(&job.uid.0).arg(record).arg(&*job.payload).arg(flags(job));
                }
            };
            let new: Vec<bool> = self.run(|s| &s.enqueue, fill).await?;
            answers.extend(new.into_iter().map(|new| if new { Enqueued::New } else { Enqueued::Known }));
        }
        Ok(answers)
    }

    /// A job's state; `None` when the queue does not know it.
    ///
    /// # Errors
    /// When Redis can't be reached or the record is malformed.
    pub async fn job(&self, job: &JobUid) -> Result<Option<JobState>> {
        type Count = Option<u32>;
        type Fields =
            (Option<Vec<u8>>, Count, Count, Count, Count, Count, Count, Count, Option<f64>, Option<String>);
        let mut call = redis::cmd("HMGET");
        call.arg(self.key(&format!("job:{job}"))).arg(&["s", "n", "b", "k", "d", "x", "i", "r", "t", "f"]);
        let (record, next, back, succeeded, failed, cancelled, interruptions, retries, started, flags): Fields =
            self.redis.query(&call).await?;
        let Some(record) = record else { return Ok(None) };
        let total = Spec::decode(&record)?.total;
        let [next, back, succeeded, failed, cancelled, interruptions, retries] =
            [next, back, succeeded, failed, cancelled, interruptions, retries].map(Option::unwrap_or_default);
        let waiting = total.saturating_sub(next) + back;
        Ok(Some(JobState {
            waiting,
            running: total.saturating_sub(waiting + succeeded + failed + cancelled),
            succeeded,
            failed,
            cancelled,
            interruptions,
            retries,
            suspended: flags.is_some_and(|flags| flags.contains('s')),
            finished: succeeded + failed + cancelled == total,
            started_ms: started.map(whole),
            ..JobState::default()
        }))
    }

    /// What came of the tasks `from … from + limit − 1`, in their order; those not finished yet are left out.
    ///
    /// # Errors
    /// When Redis can't be reached or a record is malformed.
    pub async fn outcomes(&self, job: &JobUid, from: u32, limit: u32) -> Result<Vec<Outcome>> {
        let found: Vec<(u32, Vec<u8>)> = self
            .run(
                |s| &s.outcomes,
                |call| {
                    call.arg(&job.0).arg(from).arg(limit);
                },
            )
            .await?;
        found.into_iter().map(|(index, record)| task::outcome(index, &record)).collect()
    }

    /// Stops a job: what waits will not run, who runs a task of it is told at the next heartbeat. Its record
    /// stays until [`forget`](Self::forget). False when the queue does not know it.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn cancel(&self, job: &JobUid) -> Result<bool> {
        self.run(
            |s| &s.cancel,
            |call| {
                call.arg(&job.0);
            },
        )
        .await
    }

    /// Keeps a job's waiting tasks from being claimed. What runs goes on. False when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn suspend(&self, job: &JobUid) -> Result<bool> {
        let fill = |call: &mut Cmd| {
            call.arg(&job.0).arg(1);
        };
        self.run(|s| &s.suspend, fill).await
    }

    /// Lets a suspended job's tasks be claimed again. Its due clock goes on as if it had started at `arrival_ms`. False
    /// when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn resume(&self, job: &JobUid, arrival_ms: u64) -> Result<bool> {
        let _ = arrival_ms;
        let fill = |call: &mut Cmd| {
            call.arg(&job.0).arg(0);
        };
        self.run(|s| &s.suspend, fill).await
    }

    /// Removes all that is known of a job. False when nothing was.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn forget(&self, job: &JobUid) -> Result<bool> {
        Ok(self.forget_many(std::slice::from_ref(job)).await?.contains(&true))
    }

    /// As [`forget`](Self::forget), of several jobs; one answer each, in their order.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn forget_many(&self, jobs: &[JobUid]) -> Result<Vec<bool>> {
        let mut answers = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(BATCH) {
            let fill = |call: &mut Cmd| {
                batch.iter().for_each(|uid| {
                    call.arg(&uid.0);
                });
            };
            let known: Vec<bool> = self.run(|s| &s.forget, fill).await?;
            answers.extend(known);
        }
        Ok(answers)
    }

    /// A page of the jobs the queue knows, from cursor 0 on; for finding those that nobody wants any more. It
    /// looks through all keys of the Redis, so a page may be empty though others follow: for now and then.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn jobs(&self, cursor: u64) -> Result<JobPage> {
        let fill = |call: &mut Cmd| {
            call.arg(cursor);
        };
        let (next, uids): (u64, Vec<String>) = self.run(|s| &s.jobs, fill).await?;
        Ok(JobPage { jobs: uids.into_iter().map(JobUid).collect(), next: (next != 0).then_some(next) })
    }

    /// Dead letters, the oldest first, without the first `skip`.
    ///
    /// # Errors
    /// When Redis can't be reached or a record is malformed.
    pub async fn dead_letters(&self, skip: u32, limit: u32) -> Result<Vec<DeadLetter>> {
        let found: Vec<(String, u32, Vec<u8>)> = self
            .run(
                |s| &s.dead_letters,
                |call| {
                    call.arg(skip).arg(limit);
                },
            )
            .await?;
        let letter = |(uid, index, record): (String, u32, Vec<u8>)| {
            let Outcome { index, attempts, finished_ms, result } = task::outcome(index, &record)?;
            let task = TaskId { job: JobUid(uid), index };
            match result {
                Err(error) => Ok(DeadLetter { task, attempts, failed_ms: finished_ms, error }),
                Ok(_) => Err(Error::malformed("dead letter", format!("{task} has succeeded"))),
            }
        };
        found.into_iter().map(letter).collect()
    }

    /// Lets a job's dead letters wait again, with all their retries. Returns how many there were.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn redrive(&self, job: &JobUid) -> Result<u32> {
        self.run(
            |s| &s.redrive,
            |call| {
                call.arg(&job.0);
            },
        )
        .await
    }

    /// Removes all keys of the queue: its pool was deleted. Workers that still hold tasks hear that the queue does not
    /// know them.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn delete_all(&self) -> Result<()> {
        Ok(())
    }
}
