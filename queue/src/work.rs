//! Work: claimed, kept, finished and given back by workers.

use redis::Cmd;

use crate::{
    Beat, BeatReply, Claim, Completion, Error, Fault, Lease, Notice, Order, Queue, Release, Renewed, Result,
    StoredObject, TaskError, TaskId, TaskResult, WorkerId, Written, library::BATCH, names, progress,
    spec::millis, task,
};

/// A user reads it in a condition; more would be cut there anyway.
const LONGEST_MESSAGE: usize = 1024;
/// A claim is repeated so often when a script could only put things right.
const CLAIM_ROUNDS: usize = 20;

impl Queue {
    /// Takes tasks that wait, in the queue's order, at most 500. None when there are none for this worker, or when it was
    /// told to hold or retire, is doomed, or was evicted, or when the pool is suspended.
    ///
    /// # Errors
    /// When Redis can't be reached. What a lost answer would have granted comes back when the lease ends.
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<Lease>> {
        let Claim { worker, capacity, loaded, max } = claim;
        let loaded = loaded.as_deref().unwrap_or_default();
        let mut leases = Vec::new();
        for _ in 0..CLAIM_ROUNDS {
            let fill = |call: &mut Cmd| {
                call.arg(&worker.0).arg(millis(self.lease())).arg(BATCH.min(*max as usize)).arg(capacity);
                call.arg(loaded).arg(digest(loaded));
            };
            let (chunks, more): (Vec<task::Chunk>, bool) = self.run(|s| &s.claim, fill).await?;
            for chunk in chunks {
                leases.extend(task::leases(chunk, millis(self.lease()))?);
            }
            if !more || !leases.is_empty() {
                break;
            }
        }
        Ok(leases)
    }

    /// A heartbeat: renews the leases held, and tells what became of each and what the worker shall do.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn beat(&self, worker: &WorkerId, beat: &Beat) -> Result<BeatReply> {
        let Beat { leases, state, capacity, loaded, notice, trouble } = beat;
        let loaded = loaded.as_deref().unwrap_or_default();
        let (notice, left_ms) = Notice::encode(*notice);
        let trouble = trouble.as_ref().map(to_json).transpose()?.unwrap_or_default();
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(millis(self.lease())).arg(state.as_str()).arg(capacity);
            call.arg(loaded).arg(digest(loaded)).arg(notice).arg(left_ms).arg(trouble);
            for held in leases {
                call.arg(&held.task.job.0).arg(held.task.index).arg(held.attempt).arg(progress::encode(held));
            }
        };
        let (order, left_ms, fates, refuted, confirmed): (String, u64, Vec<String>, u32, u32) =
            self.run_beat(fill).await?;
        let fate = |fate: &String| match fate.as_str() {
            "keep" => Ok(Renewed::Keep),
            "cancelled" => Ok(Renewed::Cancelled),
            "lost" => Ok(Renewed::Lost),
            "unknown" => Ok(Renewed::Unknown),
            other => Err(Error::malformed("heartbeat", other)),
        };
        let leases = fates.iter().map(fate).collect::<Result<_>>()?;
        Ok(BeatReply { leases, order: Order::decode(&order, left_ms)?, refuted, confirmed })
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
        for batch in done.chunks(BATCH) {
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
            tasks.push((task, attempt, result, to_json(result)?));
        }
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0);
            for (task, attempt, result, json) in &tasks {
                call.arg(&task.job.0).arg(task.index).arg(*attempt);
                call.arg(result.gpu_ms).arg(u8::from(!result.found)).arg(json);
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
        let json = to_json(stored)?;
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(&task.job.0).arg(task.index).arg(attempt).arg(json);
        };
        self.run(|s| &s.complete_listing, fill).await.map(written)
    }

    /// Gives a task back. `gpu_ms` is the engine time that this attempt took: where the task is to be charged anew, its
    /// tenant pays for that, but never for more than the lease lasted.
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
        let (kind, delay, error) = release.parts();
        let json = error.map(brief).transpose()?.unwrap_or_default();
        let fault = blame(error.map_or(Fault::Nobody, |error| error.reason.fault()));
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(&task.job.0).arg(task.index).arg(attempt);
            call.arg(kind).arg(millis(delay)).arg(json).arg(fault).arg(gpu_ms);
        };
        self.run(|s| &s.release, fill).await.map(written)
    }
}

impl Release {
    /// What it is called in the scripts, the delay, and the error.
    fn parts(&self) -> (&'static str, std::time::Duration, Option<&TaskError>) {
        let none = std::time::Duration::ZERO;
        match self {
            Self::Preempted => ("preempted", none, None),
            Self::HandedBack => ("handedBack", none, None),
            Self::Crashed { error } => ("crashed", none, Some(error)),
            Self::Doubted { error } => ("doubted", none, Some(error)),
            Self::Failed { error, retry_after } => ("failed", *retry_after, Some(error)),
            Self::Rejected { error } => ("rejected", none, Some(error)),
            Self::Withheld { error, retry_after } => ("withheld", *retry_after, Some(error)),
        }
    }
}

fn blame(fault: Fault) -> &'static str {
    match fault {
        Fault::Task => "task",
        Fault::Worker => "worker",
        Fault::Machine => "machine",
        Fault::Pool => "pool",
        Fault::Nobody => "nobody",
    }
}

/// Of a loaded model; "" while none is loaded.
fn digest(loaded: &str) -> String {
    if loaded.is_empty() { String::new() } else { names::digest(loaded) }
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
