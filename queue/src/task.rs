//! Single tasks as they stand in Redis: a touched one in its job's hash, what a claim grants, a lease.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    DeadLetter, Error, JobUid, Lease, LeaseSeen, Outcome, Result, TaskId, TaskKind, WorkerId,
    spec::{Spec, whole},
};

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| Error::malformed(what, error))
}

/// A task's state, as lua/task.lua writes it: words on one line, then text.
pub(crate) enum TaskState<'a> {
    /// It waits again, or a worker has it.
    Open,
    Done {
        attempts: u32,
        finished_ms: u64,
        result: &'a [u8],
    },
    Dead {
        attempts: u32,
        finished_ms: u64,
        error: &'a [u8],
    },
}

impl<'a> TaskState<'a> {
    pub(crate) fn decode(state: &'a [u8]) -> Result<Self> {
        let bad = |why: &str| Error::malformed("task", why);
        let (head, rest) = split(state).ok_or_else(|| bad("it has no head"))?;
        let mut words = head.split(' ');
        let mut word = || words.next().ok_or_else(|| bad("its head is cut short"));
        let kind = word()?;
        if kind != "done" && kind != "dead" {
            return Ok(Self::Open);
        }
        let attempts = word()?.parse().map_err(|_| bad("attempts is not a number"))?;
        let finished_ms = word()?.parse().map_err(|_| bad("its time is not a number"))?;
        Ok(match kind {
            "done" => Self::Done { attempts, finished_ms, result: rest },
            _ => Self::Dead { attempts, finished_ms, error: rest },
        })
    }
}

/// The first line, and what follows it.
fn split(state: &[u8]) -> Option<(&str, &[u8])> {
    let end = state.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&state[..end]).ok()?, &state[end + 1..]))
}

/// What came of a finished task.
pub(crate) fn outcome(index: u32, state: &[u8]) -> Result<Outcome> {
    let (attempts, finished_ms, result) = match TaskState::decode(state)? {
        TaskState::Done { attempts, finished_ms, result } => {
            (attempts, finished_ms, Ok(from_json("outcome", result)?))
        }
        TaskState::Dead { attempts, finished_ms, error } => {
            (attempts, finished_ms, Err(from_json("outcome", error)?))
        }
        TaskState::Open => return Err(Error::malformed("outcome", "the task has not ended")),
    };
    Ok(Outcome { index, attempts, finished_ms, result })
}

/// A dead letter, by its task's state.
pub(crate) fn dead_letter(job: JobUid, index: u32, state: &[u8]) -> Result<DeadLetter> {
    let Outcome { index, attempts, finished_ms, result } = outcome(index, state)?;
    let task = TaskId { job, index };
    match result {
        Err(error) => Ok(DeadLetter { task, attempts, failed_ms: finished_ms, error }),
        Ok(_) => Err(Error::malformed("dead letter", format!("{task} has succeeded"))),
    }
}

/// A job's latest dead letter, as its record has it: the task's index on one line, then its state.
pub(crate) fn last_dead(job: &JobUid, letter: &[u8]) -> Result<DeadLetter> {
    let bad = || Error::malformed("dead letter", "it has no index");
    let (index, state) = split(letter).ok_or_else(bad)?;
    dead_letter(job.clone(), index.parse().map_err(|_| bad())?, state)
}

/// Tasks of one job that were claimed together, as the claim script returns them: uid, first index, how many,
/// attempt, whether to look for the object first, when the leases end, expected GPU ms of one, the job's record and
/// its payload if that is small.
pub(crate) type Chunk = (String, u32, u32, u32, bool, u64, u64, Vec<u8>, Option<Vec<u8>>);

/// One lease per task of the chunk; they share the payload.
/// `lease_ms`: how long a lease lasts.
pub(crate) fn leases(chunk: Chunk, lease_ms: u64) -> Result<impl Iterator<Item = Lease>> {
    let (uid, first, count, attempt, recheck, expires_ms, expected_ms, record, payload) = chunk;
    let spec = Spec::decode(&record)?;
    let payload = payload.map(Bytes::from);
    let queued_ms = expires_ms.saturating_sub(lease_ms).saturating_sub(spec.arrival_ms);
    Ok((first..first + count).map(move |index| Lease {
        task: TaskId { job: JobUid(uid.clone()), index },
        kind: kind(&spec, index),
        attempt,
        expires_ms,
        recheck,
        tenant: spec.tenant.clone(),
        class: spec.class.clone(),
        model: if index < spec.total { spec.model.clone() } else { String::new() },
        work: spec.work.clone(),
        due_ms: spec.due_ms,
        queued_ms,
        units: spec.units,
        expected_ms,
        payload: payload.clone(),
    }))
}

fn kind(spec: &Spec, index: u32) -> TaskKind {
    if index < spec.total { TaskKind::Image } else { TaskKind::Listing }
}

/// A lease as the stats script returns it: task, worker, when it ends, the task's state, and `tenant done all`.
pub(crate) type SeenChunk = (String, String, f64, Vec<u8>, String);

/// `None` for one that can't be read: it is none of ours, or ends just now.
pub(crate) fn lease_seen(chunk: &SeenChunk, spec: Spec) -> Option<LeaseSeen> {
    let (task, worker, ends, state, progress) = chunk;
    let task = task_id(task)?;
    let (attempt, started_ms) = held_since(state)?;
    let (_tenant, progress) = progress.split_once(' ')?;
    let kind = kind(&spec, task.index);
    let Spec { arrival_ms: _, due_ms, units, total: _, listing: _, class, work, model, tenant } = spec;
    Some(LeaseSeen {
        task,
        kind,
        attempt,
        worker: WorkerId(worker.clone()),
        tenant,
        class,
        model,
        work,
        units,
        due_ms,
        started_ms,
        expires_ms: whole(*ends),
        progress: steps(progress),
    })
}

/// Of a task that a worker has: which attempt it is, and since when.
pub(crate) fn held_since(state: &[u8]) -> Option<(u32, u64)> {
    let (head, _) = split(state)?;
    let mut words = head.split(' ');
    let ("held", attempt, started) = (words.next()?, words.next()?, words.next()?) else { return None };
    Some((attempt.parse().ok()?, started.parse().ok()?))
}

/// `done all`, once there are any.
pub(crate) fn steps(told: &str) -> Option<(u32, u32)> {
    let (done, all) = told.split_once(' ')?;
    let (done, all) = (done.parse().ok()?, all.parse().ok()?);
    (all > 0).then_some((done, all))
}

/// Splits `uid/index`.
fn task_id(member: &str) -> Option<TaskId> {
    let (uid, index) = member.rsplit_once('/')?;
    Some(TaskId { job: JobUid(uid.to_owned()), index: index.parse().ok()? })
}
