//! The records of single tasks: a finished one in its job's hash, a leased one in `active`.

use bytes::Bytes;

use crate::{
    Error, JobUid, Lease, LeaseSeen, Outcome, Result, TaskId, TaskKind, WorkerId,
    spec::{Reader, Spec, whole},
};

/// `D attempts finished_ms worker\nJSON of the result`, or `X attempts finished_ms\nJSON of the error`.
pub(crate) fn outcome(index: u32, record: &[u8]) -> Result<Outcome> {
    let bad = |why: &str| Error::malformed("outcome", why);
    let end = record.iter().position(|byte| *byte == b'\n').ok_or_else(|| bad("it has one line"))?;
    let (head, json) = (&record[..end], &record[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| bad("its head is not text"))?;
    let mut words = head.split(' ');
    let mut word = || words.next().ok_or_else(|| bad("its head is cut short"));
    let kind = word()?;
    let attempts = word()?.parse().map_err(|_| bad("attempts is not a number"))?;
    let finished_ms = word()?.parse().map_err(|_| bad("its time is not a number"))?;
    let wrong = |error: serde_json::Error| Error::malformed("outcome", error);
    let result = match kind {
        "D" => Ok(serde_json::from_slice(json).map_err(wrong)?),
        "X" => Err(serde_json::from_slice(json).map_err(wrong)?),
        _ => return Err(bad("neither a result nor an error")),
    };
    Ok(Outcome { index, attempts, finished_ms, result })
}

/// Tasks of one job that were claimed together, as the claim script returns them: uid, first index, how many,
/// attempt, whether to look for the object first, when the leases end, the job's record and payload.
pub(crate) type Chunk = (String, u32, u32, u32, bool, u64, Vec<u8>, Vec<u8>);

/// One lease per task of the chunk; they share the payload.
pub(crate) fn leases(chunk: Chunk) -> Result<impl Iterator<Item = Lease>> {
    let (uid, first, count, attempt, recheck, expires_ms, record, payload) = chunk;
    let spec = Spec::decode(&record)?;
    let payload = Bytes::from(payload);
    Ok((first..first + count).map(move |index| Lease {
        task: TaskId { job: JobUid(uid.clone()), index },
        kind: TaskKind::Image,
        attempt,
        expires_ms,
        recheck,
        tenant: spec.tenant.clone(),
        class: spec.class.clone(),
        model: spec.model.clone(),
        work: spec.work.clone(),
        expected_ms: 0,
        due_ms: spec.due_ms,
        units: spec.units,
        payload: Some(payload.clone()),
    }))
}

/// An entry of `active`, as lua/lease.lua packs it: attempt, worker, start, steps done and in all.
pub(crate) struct Held {
    attempt: u32,
    pub(crate) worker: WorkerId,
    started_ms: u64,
    progress: Option<(u32, u32)>,
}

impl Held {
    pub(crate) fn decode(entry: &[u8]) -> Result<Self> {
        let mut read = Reader { what: "lease", bytes: entry };
        let attempt = read.u32()?;
        let worker = WorkerId(read.text()?);
        let [started] = read.floats()?;
        let (done, all) = (read.u32()?, read.u32()?);
        Ok(Self { attempt, worker, started_ms: whole(started), progress: (all > 0).then_some((done, all)) })
    }

    pub(crate) fn seen(self, task: TaskId, job: Spec, expires_ms: u64) -> LeaseSeen {
        let Self { attempt, worker, started_ms, progress } = self;
        let Spec { due_ms, units, total: _, class, model, tenant, work } = job;
        LeaseSeen {
            task,
            kind: TaskKind::Image,
            attempt,
            worker,
            tenant,
            class,
            model,
            work,
            units,
            due_ms,
            started_ms,
            expires_ms,
            progress,
        }
    }
}

/// Splits `uid/index`.
pub(crate) fn task_id(member: &str) -> Result<TaskId> {
    let (uid, index) = member.rsplit_once('/').ok_or_else(|| Error::malformed("task", member))?;
    let index = index.parse().map_err(|_| Error::malformed("task", member))?;
    Ok(TaskId { job: JobUid(uid.to_owned()), index })
}
