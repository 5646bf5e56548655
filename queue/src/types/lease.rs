use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{NodeProgress, Notice, TaskError, TaskId, Trouble, WorkerId};

/// What a worker wants when it claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Who asks.
    pub worker: WorkerId,
    /// What kind of machine it runs on: which classes it serves follows from that and the pool's
    /// [`Settings`](super::Settings).
    pub capacity: String,
    /// The model its engine has loaded, preferred where no deadline suffers.
    pub loaded: Option<String>,
    /// At most so many tasks.
    pub max: u32,
}

/// What there is to do for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Make the image of this index.
    Image,
    /// All images of the job have ended: store the listing of them. Its index is the job's total; it needs no model.
    /// To be ended by [`complete_listing`](crate::Queue::complete_listing), or given back like any other.
    Listing,
}

/// A worker's time-limited right to one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// What there is to do.
    pub kind: TaskKind,
    /// 1 for the first try; fences stale writers: every write carries it.
    pub attempt: u32,
    /// When it ends unless renewed, ms since the Unix epoch by Redis' clock.
    pub expires_ms: u64,
    /// The object may exist already: look before generating. True for attempt > 1 and for rechecked jobs.
    pub recheck: bool,
    /// Whose job.
    pub tenant: String,
    /// Its class.
    pub class: String,
    /// What to have loaded.
    pub model: String,
    /// The job's work key, [`Job::work`](super::Job::work).
    pub work: String,
    /// When it should be done, ms since the Unix epoch.
    pub due_ms: u64,
    /// How long it had been due to begin: from the job's arrival to this claim, ms.
    pub queued_ms: u64,
    /// Work in the task, in units.
    pub units: f64,
    /// GPU time that the queue expects, ms: learned from all tasks of this work key, or the operator's guess.
    pub expected_ms: u64,
    /// The job's payload where it is small; else it is fetched by [`spec_of`](crate::Queue::spec_of).
    pub payload: Option<Bytes>,
}

/// What became of one lease at a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Extended, or the worker's again after Redis had lost it.
    Keep,
    /// The job was cancelled or forgotten: stop at once, nobody wants the image.
    Cancelled,
    /// Someone else holds the task, or it was finished or waits again: stop, write nothing.
    Lost,
    /// The queue does not know the job (any more), as when Redis was emptied: go on, store the image and report it.
    Unknown,
}

/// What the operator orders a worker to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Work,
    /// Claim nothing more for now (at risk); finish what is held.
    Hold,
    /// Claim nothing more, exit when idle.
    Retire,
    /// The machine goes away: finish what fits, release the rest.
    Doomed {
        /// How long there is left, at the moment of the call that says so: no two clocks need agree.
        left: Duration,
    },
}

/// How far a worker has come in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WorkerState {
    /// It waits for its engine or its bucket.
    Starting,
    /// It takes tasks.
    #[default]
    Ready,
}

/// A heartbeat: what the worker holds and how it goes. Sent from the first moment on at which Redis can be reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beat {
    /// The leases held: task, attempt, and how far it is.
    pub leases: Vec<HeldLease>,
    /// How far it has come.
    pub state: WorkerState,
    /// What kind of machine it runs on.
    pub capacity: String,
    /// The model loaded in the engine.
    pub loaded: Option<String>,
    /// What the machine said of its end, if anything.
    pub notice: Option<Notice>,
    /// Why it takes no tasks, if it can't.
    pub trouble: Option<Trouble>,
}

/// One lease in a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldLease {
    /// The task.
    pub task: TaskId,
    /// Its attempt.
    pub attempt: u32,
    /// Sampling steps done and steps in all, when known.
    pub progress: Option<(u32, u32)>,
    /// How far the graph is, when known.
    pub nodes: Option<NodeProgress>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct BeatReply {
    /// One per lease of the beat, in its order.
    pub leases: Vec<Renewed>,
    /// What the worker shall do.
    pub order: Order,
    /// Of the tasks that this worker doubted, or under which its engine ended: how many another worker made, since the
    /// worker is known.
    pub refuted: u32,
    /// Of the same tasks, how many became dead letters by the word of another worker.
    pub confirmed: u32,
}

/// How a worker gives a task back.
#[derive(Debug, Clone, PartialEq)]
pub enum Release {
    /// The machine goes away: to the front of its class, already charged, not a failure.
    Preempted,
    /// It has not begun, and others wait less long elsewhere: to the front, nothing is counted, and not to this worker
    /// while another lives.
    HandedBack,
    /// The engine ended under it: later, and not on this worker while another lives. Counted across workers: dead
    /// ([`EngineCrashed`](super::Reason::EngineCrashed)) after [`MAX_CRASHES`](crate::MAX_CRASHES) on at least two workers.
    Crashed {
        /// Why, for the user.
        error: TaskError,
    },
    /// It does not work here, which may be this worker's fault: at once to another worker, no retry used. The word of a
    /// second worker makes it [`Rejected`](Self::Rejected).
    Doubted {
        /// Why, for the user.
        error: TaskError,
    },
    /// The task went wrong; tried again after the delay while retries last, then a dead letter.
    Failed {
        /// Why, for the user.
        error: TaskError,
        /// Not before this much time.
        retry_after: Duration,
    },
    /// The task can never work (the engine refuses the graph): dead at once, no retry.
    Rejected {
        /// Why, for the user.
        error: TaskError,
    },
    /// The pool or the machine is at fault: back after the delay, nothing is counted; not to this worker while another
    /// lives, unless the fault is the pool's.
    Withheld {
        /// Why.
        error: TaskError,
        /// Not before this much time.
        retry_after: Duration,
    },
}

/// What came of a finished task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// The files, the most important first; at least one.
    pub outputs: Vec<StoredFile>,
    /// What they were made from, where it is one seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Engine time that went into the files, over all attempts, milliseconds.
    pub gpu_ms: u64,
    /// `spot` or `onDemand`; where the worker ran.
    pub capacity: String,
    /// Who made it.
    pub worker: WorkerId,
    /// It was found in the store, made by an earlier attempt.
    pub found: bool,
    /// Where the time of the attempt went; not known of what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// Where the time of an attempt went, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// From the job's arrival until the worker took the task.
    pub queue_ms: u64,
    /// In the engine until the first sampling step.
    pub load_ms: u64,
    /// Sampling.
    pub sample_ms: u64,
    /// In the engine after the last sampling step.
    pub decode_ms: u64,
    /// From the engine into the bucket.
    pub upload_ms: u64,
}

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// The id of the node that made it.
    pub node: String,
    /// A name for people.
    pub name: String,
    /// Its kind, as its bytes show it: `image/png`.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
    /// In lower-case hexadecimal digits, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// In pixels, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How long it plays, where it does and tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Its key in the bucket.
    pub key: String,
    /// Where it can be fetched, as the worker was configured when it stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// As the bucket gave it.
    pub etag: String,
}

/// An object in the store that no task made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// Its key in the bucket.
    pub key: String,
    /// Where it can be fetched, as the worker was configured when it stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// As the bucket gave it.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
}

/// One finished task among several that are written at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The task.
    pub task: TaskId,
    /// The attempt that made it.
    pub attempt: u32,
    /// What came of it.
    pub result: TaskResult,
}

/// Was a worker's write taken?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Yes.
    Accepted,
    /// No: the lease is no longer the writer's. Nothing was changed.
    Stale,
}
