//! Jobs: queued, watched, stopped and forgotten by the operator.

use redis::Cmd;

use crate::{
    DeadLetter, Enqueued, Error, Job, JobState, JobUid, Outcome, Queue, Result, TaskError,
    payload::LARGE,
    spec::{self, Spec, whole},
    task::{self, TaskState},
};

/// Jobs per script call: enough to be fast, few enough not to hold Redis up for longer than a millisecond or two.
const AT_ONCE: usize = 100;

/// A page of the jobs a queue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    /// Some uids. A job that was there all the time is on at least one page, perhaps on two.
    pub jobs: Vec<JobUid>,
    /// Jobs of which Redis has lost what counts, as with an eviction policy: the queue forgot them. To be enqueued again,
    /// with `recheck`.
    pub lost: Vec<JobUid>,
    /// Jobs that stood where no claim would have found them, and are found now.
    pub mended: u32,
    /// Where the next page begins; `None` after the last.
    pub next: Option<u64>,
}

/// What a script says of a job that it may not have done with: whether the job is known, and whether to call again.
type Step = (bool, bool);

impl Queue {
    /// Queues a job. A uid that is known already changes nothing, but for `recheck`, which is taken over.
    ///
    /// # Errors
    /// [`Error::Full`] when Redis is at its memory limit and does not know the job yet, [`Error::Job`] when the job
    /// makes no sense, [`Error::Deposed`], or when Redis can't be reached; to repeat is safe.
    pub async fn enqueue(&self, job: &Job) -> Result<Enqueued> {
        let answers = self.enqueue_many(std::slice::from_ref(job)).await?;
        answers.first().copied().ok_or_else(|| Error::malformed("enqueue", "no answer"))
    }

    /// Queues several jobs; one answer each, in their order. A hundred at a time are queued in one step.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); some of the jobs may be queued then.
    pub async fn enqueue_many(&self, jobs: &[Job]) -> Result<Vec<Enqueued>> {
        let mut answers = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(AT_ONCE) {
            let records = batch.iter().map(spec::encode).collect::<Result<Vec<_>>>()?;
            let fill = |call: &mut Cmd| {
                for (job, (record, counted)) in batch.iter().zip(&records) {
                    call.arg(&job.uid.0).arg(record).arg(counted).arg(&*job.payload);
                    call.arg(u8::from(job.payload.len() > LARGE));
                    call.arg(u8::from(job.recheck)).arg(u8::from(job.suspended));
                }
            };
            let new: Vec<bool> = match self.run_fenced(|s| &s.enqueue, fill).await {
                Err(Error::Full(why)) => self.all_known(batch, why).await?,
                answer => answer?,
            };
            answers.extend(new.into_iter().map(|new| if new { Enqueued::New } else { Enqueued::Known }));
        }
        Ok(answers)
    }

    /// What enqueueing answers where there is no memory for new jobs: if none is new, as ever.
    async fn all_known(&self, jobs: &[Job], why: String) -> Result<Vec<bool>> {
        let fill = |call: &mut Cmd| {
            for job in jobs {
                call.arg(&job.uid.0).arg(u8::from(job.recheck));
            }
        };
        let known: Vec<bool> = self.run_fenced(|s| &s.known, fill).await?;
        if known.iter().all(|known| *known) { Ok(vec![false; jobs.len()]) } else { Err(Error::Full(why)) }
    }

    /// A job's state; `None` when the queue does not know it.
    ///
    /// # Errors
    /// When Redis can't be reached or the record is malformed.
    pub async fn job(&self, job: &JobUid) -> Result<Option<JobState>> {
        const COUNTS: [&str; 9] = [
            "next",
            "returned",
            "adopted",
            "succeeded",
            "failed",
            "cancelled",
            "interruptions",
            "crashes",
            "retries",
        ];
        type Flags = (Option<f64>, Option<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
        let key = self.key(&format!("job:{job}"));
        let mut call = redis::cmd("HMGET");
        call.arg(&key)
            .arg("record")
            .arg("started")
            .arg("suspended")
            .arg("stopped")
            .arg("last_dead")
            .arg(&COUNTS);
        let (record, flags, counts): (Option<Vec<u8>>, Flags, Vec<Option<u32>>) =
            redis::from_redis_value(nest(self.redis.query(&call).await?))
                .map_err(|error| Error::malformed("job", error))?;
        let (started, suspended, stopped, last_dead) = flags;
        let Some(record) = record else { return Ok(None) };
        let Spec { total, listing, .. } = Spec::decode(&record)?;
        let counts: Vec<u32> = counts.into_iter().map(Option::unwrap_or_default).collect();
        let &[next, returned, adopted, succeeded, failed, cancelled, interruptions, crashes, retries] =
            &counts[..]
        else {
            return Err(Error::malformed("job", "counts are missing"));
        };
        let unbegun = (total + returned).saturating_sub(next + adopted);
        let running = total.saturating_sub(unbegun + succeeded + failed + cancelled);
        let stopped: Option<TaskError> = stopped.map(|json| task::from_json("job", &json)).transpose()?;
        let (waiting, cancelled) =
            if stopped.is_some() { (0, cancelled + unbegun) } else { (unbegun, cancelled) };
        let images_ended = waiting == 0 && running == 0;
        let listing = match listing && images_ended && succeeded > 0 {
            true => Some(self.listing(&key, total).await?),
            false => None,
        };
        Ok(Some(JobState {
            waiting,
            running,
            succeeded,
            failed,
            last_dead: last_dead.map(|letter| task::last_dead(job, &letter).map(Box::new)).transpose()?,
            cancelled,
            interruptions,
            crashes,
            retries,
            suspended: suspended.is_some(),
            stopped,
            finished: images_ended && listing.as_ref().is_none_or(Option::is_some),
            listing: listing.flatten(),
            started_ms: started.map(whole),
        }))
    }

    /// What came of a job's listing; `None` while it is still to come.
    async fn listing(
        &self,
        key: &str,
        total: u32,
    ) -> Result<Option<std::result::Result<crate::StoredObject, TaskError>>> {
        let mut call = redis::cmd("HGET");
        call.arg(key).arg(total);
        let state: Option<Vec<u8>> = self.redis.query(&call).await?;
        state.map_or(Ok(None), |state| match TaskState::decode(&state)? {
            TaskState::Done { result, .. } => Ok(Some(Ok(task::from_json("listing", result)?))),
            TaskState::Dead { error, .. } => Ok(Some(Err(task::from_json("listing", error)?))),
            TaskState::Open => Ok(None),
        })
    }

    /// What came of the images `from … from + limit − 1`, in their order; those not finished yet are left out.
    ///
    /// # Errors
    /// When Redis can't be reached or a record is malformed.
    pub async fn outcomes(&self, job: &JobUid, from: u32, limit: u32) -> Result<Vec<Outcome>> {
        let fill = |call: &mut Cmd| {
            call.arg(&job.0).arg(from).arg(limit);
        };
        let found: Vec<(u32, Vec<u8>)> = self.run(|s| &s.outcomes, fill).await?;
        found.into_iter().map(|(index, state)| task::outcome(index, &state)).collect()
    }

    /// Stops a job: what waits will not run, who runs a task of it is told at the next heartbeat. Its record
    /// stays until [`forget`](Self::forget). False when the queue does not know it.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn cancel(&self, job: &JobUid) -> Result<bool> {
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(&job.0);
            };
            let (known, more): Step = self.run_fenced(|s| &s.cancel, fill).await?;
            if !more {
                return Ok(known);
            }
        }
    }

    /// Keeps a job's waiting tasks from being claimed. What runs goes on. False when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn suspend(&self, job: &JobUid) -> Result<bool> {
        let mut seen_to = 0;
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(&job.0).arg(seen_to);
            };
            let (known, more): Step = self.run_fenced(|s| &s.suspend, fill).await?;
            if !more {
                return Ok(known);
            }
            seen_to += crate::library::BATCH;
        }
    }

    /// Lets a suspended job's tasks be claimed again. Its due clock goes on as if it had started at `arrival_ms`. False
    /// when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn resume(&self, job: &JobUid, arrival_ms: u64) -> Result<bool> {
        self.resume_as(job, Some(arrival_ms)).await
    }

    async fn resume_as(&self, job: &JobUid, arrival_ms: Option<u64>) -> Result<bool> {
        let mut seen_to = 0;
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(&job.0).arg(arrival_ms.map_or(String::new(), |ms| ms.to_string())).arg(seen_to);
            };
            let (known, more): Step = self.run_fenced(|s| &s.resume, fill).await?;
            if !more {
                return Ok(known);
            }
            seen_to += crate::library::BATCH;
        }
    }

    /// Removes all that is known of a job. False when nothing was.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn forget(&self, job: &JobUid) -> Result<bool> {
        Ok(self.forget_many(std::slice::from_ref(job)).await?.contains(&true))
    }

    /// As [`forget`](Self::forget), of several jobs; one answer each, in their order.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn forget_many(&self, jobs: &[JobUid]) -> Result<Vec<bool>> {
        const AGAIN: u8 = 2;
        let mut answers = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(AT_ONCE) {
            let mut known = vec![0; batch.len()];
            let mut left: Vec<usize> = (0..batch.len()).collect();
            while !left.is_empty() {
                let fill = |call: &mut Cmd| {
                    left.iter().for_each(|at| {
                        call.arg(&batch[*at].0);
                    });
                };
                let steps: Vec<u8> = self.run_fenced(|s| &s.forget, fill).await?;
                for (at, step) in left.iter().zip(&steps) {
                    known[*at] = known[*at].max(*step);
                }
                let again = left.iter().zip(&steps).filter(|(_, step)| **step == AGAIN);
                left = again.map(|(at, _)| *at).collect();
            }
            answers.extend(known.into_iter().map(|known| known > 0));
        }
        Ok(answers)
    }

    /// A page of the jobs the queue knows, from cursor 0 on; for finding those that nobody wants any more. Each is
    /// looked after on the way, in case Redis evicts keys.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over.
    pub async fn jobs(&self, cursor: u64) -> Result<JobPage> {
        let fill = |call: &mut Cmd| {
            call.arg(cursor);
        };
        let (next, jobs, lost, mended): (u64, Vec<String>, Vec<String>, u32) =
            self.run_fenced(|s| &s.jobs, fill).await?;
        let uids = |uids: Vec<String>| uids.into_iter().map(JobUid).collect();
        Ok(JobPage { jobs: uids(jobs), lost: uids(lost), mended, next: (next != 0).then_some(next) })
    }

    /// Dead letters, job by job, that with the oldest first, without the first `skip`.
    ///
    /// # Errors
    /// When Redis can't be reached or a record is malformed.
    pub async fn dead_letters(&self, skip: u32, limit: u32) -> Result<Vec<DeadLetter>> {
        let fill = |call: &mut Cmd| {
            call.arg(skip).arg(limit);
        };
        let found: Vec<(String, u32, Vec<u8>)> = self.run(|s| &s.dead_letters, fill).await?;
        let letter =
            |(uid, index, state): (String, u32, Vec<u8>)| task::dead_letter(JobUid(uid), index, &state);
        found.into_iter().map(letter).collect()
    }

    /// Lets a job's dead letters wait again, with all their retries; a job that the queue stopped goes on. Returns how
    /// many there were.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over.
    pub async fn redrive(&self, job: &JobUid) -> Result<u32> {
        let mut driven = 0;
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(&job.0);
            };
            let (some, more, resume): (u32, bool, bool) = self.run_fenced(|s| &s.redrive, fill).await?;
            driven += some;
            if resume {
                self.resume_as(job, None).await?;
            }
            if !more {
                return Ok(driven);
            }
        }
    }

    /// Removes all keys of the queue: its pool was deleted. Workers that still hold tasks hear that the queue does not
    /// know them; what they write of themselves afterwards goes within a day.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn delete_all(&self) -> Result<()> {
        let mut cursor: u64 = 0;
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(cursor);
            };
            cursor = self.run_fenced(|s| &s.delete_all, fill).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// The values of the fields `job` asks for, as record, flags and counts.
fn nest(values: Vec<redis::Value>) -> redis::Value {
    use redis::Value::Array;
    let mut values = values.into_iter();
    let record = values.next().unwrap_or(redis::Value::Nil);
    let flags: Vec<_> = values.by_ref().take(4).collect();
    Array(vec![record, Array(flags), Array(values.collect())])
}
