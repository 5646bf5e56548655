//! Work: claimed, kept, finished and given back by workers.

use redis::Cmd;

use crate::{
    Beat, BeatReply, Claim, Completion, Error, Lease, Order, Queue, Release, Renewed, Result, StoredObject,
    TaskError, TaskId, TaskResult, WorkerId, Written, names, spec, task,
};

/// A script can't pass more to one command.
const LARGEST_BATCH: usize = 1000;
/// A user reads it in a condition; more would be cut there anyway.
const LONGEST_MESSAGE: usize = 1024;

impl Queue {
    /// Takes tasks that wait, the most urgent first, at most 1000. None when there are none, or when the worker was told to
    /// hold or retire, is doomed, or was evicted.
    ///
    /// # Errors
    /// When Redis can't be reached. What a lost answer would have granted comes back when the lease ends.
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>> {
        let Claim { worker, capacity, loaded, max } = claim;
        let classes = self.classes_of(capacity).await?;
        if classes.is_empty() {
            return Ok(Vec::new());
        }
        let fill = |call: &mut Cmd| {
            let loaded = loaded.as_deref();
            call.arg(&worker.0)
                .arg(self.lease_ms())
                .arg(LARGEST_BATCH.min(*max as usize))
                .arg(loaded.unwrap_or_default());
            call.arg(loaded.map(names::digest).unwrap_or_default()).arg(&classes);
        };
        let chunks: Vec<task::Chunk> = self.run(|s| &s.claim, fill).await?;
        let mut leases = Vec::new();
        for chunk in chunks {
            leases.extend(task::leases(chunk)?);
        }
        Ok(leases)
    }

    /// A heartbeat: renews the leases held, and tells what became of each and what the worker shall do.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn beat(&self, worker: &WorkerId, beat: &Beat) -> Result<BeatReply> {
        let trouble = beat.trouble.as_ref().map(to_json).transpose()?.unwrap_or_default();
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(self.lease_ms()).arg(beat.loaded.as_deref().unwrap_or_default());
            let (notice, left_ms) = crate::Notice::encode(beat.notice);
            call.arg(notice).arg(left_ms).arg(beat.state.as_str()).arg(&beat.capacity).arg(&trouble);
            for held in &beat.leases {
                let (done, all) = held.progress.unwrap_or_default();
                call.arg(&held.task.job.0).arg(held.task.index).arg(held.attempt).arg(done).arg(all);
            }
        };
        let (order, left_ms, fates): (String, u64, Vec<String>) = self.run(|s| &s.beat, fill).await?;
        let fate = |fate: &String| match fate.as_str() {
            "K" => Ok(Renewed::Keep),
            "C" => Ok(Renewed::Cancelled),
            "L" => Ok(Renewed::Lost),
            "U" => Ok(Renewed::Unknown),
            other => Err(Error::malformed("heartbeat", other)),
        };
        let leases = fates.iter().map(fate).collect::<Result<_>>()?;
        Ok(BeatReply { leases, order: Order::decode(&order, left_ms)? })
    }

    /// A task is done. To repeat it after an error is safe: the same write is accepted again.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn complete(
        &self,
        worker: &WorkerId,
        task: &TaskId,
        attempt: u32,
        result: &TaskResult,
    ) -> Result<Written> {
        let written = self.complete_each(worker, [(task, attempt, result)]).await?;
        written.first().copied().ok_or_else(|| Error::malformed("completion", "no answer"))
    }

    /// Several tasks are done; one answer each, in their order.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn complete_many(&self, worker: &WorkerId, done: &[Completion]) -> Result<Vec<Written>> {
        let mut written = Vec::with_capacity(done.len());
        for batch in done.chunks(LARGEST_BATCH) {
            let batch = batch.iter().map(|done| (&done.task, done.attempt, &done.result));
            written.extend(self.complete_each(worker, batch).await?);
        }
        Ok(written)
    }

    async fn complete_each<'a>(
        &self,
        worker: &WorkerId,
        done: impl IntoIterator<Item = (&'a TaskId, u32, &'a TaskResult)>,
    ) -> Result<Vec<Written>> {
        let mut tasks = Vec::new();
        for (task, attempt, result) in done {
            tasks.push((task, attempt, to_json(result)?));
        }
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0);
            for (task, attempt, result) in &tasks {
                call.arg(&task.job.0).arg(task.index).arg(*attempt).arg(result);
            }
        };
        let accepted: Vec<bool> = self.run(|s| &s.complete, fill).await?;
        Ok(accepted.into_iter().map(written).collect())
    }

    /// The listing of a job's images is stored. To repeat it after an error is safe.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn complete_listing(
        &self,
        worker: &WorkerId,
        task: &TaskId,
        attempt: u32,
        stored: &StoredObject,
    ) -> Result<Written> {
        let _ = (worker, task, attempt, stored);
        Ok(Written::Stale)
    }

    /// Gives a task back. `gpu_ms` is the engine time that this attempt took.
    ///
    /// # Errors
    /// When Redis can't be reached; repeated after a success whose answer was lost, it says
    /// [`Written::Stale`].
    pub async fn release(
        &self,
        worker: &WorkerId,
        task: &TaskId,
        attempt: u32,
        release: &Release,
        gpu_ms: u64,
    ) -> Result<Written> {
        let _ = gpu_ms;
        let (how, retry_after, error) = match release {
            Release::Preempted | Release::HandedBack => ("I", 0, Vec::new()),
            Release::Crashed { error } => ("F", 5000, brief(error)?),
            Release::Doubted { error } => ("F", 0, brief(error)?),
            Release::Failed { error, retry_after } | Release::Withheld { error, retry_after } => {
                ("F", spec::millis(*retry_after), brief(error)?)
            }
            Release::Rejected { error } => ("R", 0, brief(error)?),
        };
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(&task.job.0).arg(task.index).arg(attempt);
            call.arg(how).arg(retry_after).arg(error);
        };
        self.run(|s| &s.release, fill).await.map(written)
    }
}

fn written(accepted: bool) -> Written {
    if accepted { Written::Accepted } else { Written::Stale }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::malformed("outcome", error))
}

/// The error as it is kept: not longer than a user would read.
fn brief(error: &TaskError) -> Result<Vec<u8>> {
    let mut message = error.message.as_str();
    if message.len() > LONGEST_MESSAGE {
        message = &message[..message.floor_char_boundary(LONGEST_MESSAGE)];
    }
    to_json(&TaskError { reason: error.reason, message: message.to_owned() })
}
