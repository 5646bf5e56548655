use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Notice, TaskId, TaskSpec, WorkerId};

/// What a worker wants when it claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Who asks.
    pub worker: WorkerId,
    /// The classes it may serve; among them the task with the earliest key comes first.
    pub classes: Vec<String>,
    /// The model its engine has loaded, preferred where no deadline suffers.
    pub loaded: Option<String>,
    /// At most so many tasks.
    pub max: u32,
}

/// A worker's time-limited right to one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
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
    /// When it should be done, ms since the Unix epoch.
    pub due_ms: u64,
    /// Work in the task, in units.
    pub units: f64,
    /// [`Job::payload`](crate::Job::payload).
    pub payload: Bytes,
}

impl Lease {
    /// The work. What can't be read is to be [rejected](Release::Rejected): it will not read better elsewhere.
    ///
    /// # Errors
    /// When the payload is not the JSON of a [`TaskSpec`].
    pub fn spec(&self) -> crate::Result<TaskSpec> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| crate::Error::Malformed { what: "payload", why: error.to_string() })
    }
}

/// What became of one lease at a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Extended.
    Keep,
    /// The job was cancelled or forgotten: stop at once, nobody wants the image.
    Cancelled,
    /// Someone else holds the task, or it was finished or requeued: stop, write nothing.
    Lost,
}

/// What a worker is told of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Go on.
    Work,
    /// Claim nothing more for now (at risk); finish what is held.
    Hold,
    /// Claim nothing more, exit when idle.
    Retire,
    /// The machine goes away at the time given (ms since the Unix epoch): finish what fits, release the rest.
    Doomed {
        /// When the machine stops.
        deadline_ms: u64,
    },
}

/// A heartbeat: what the worker holds and how it goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beat {
    /// The leases held: task, attempt, and how far it is.
    pub leases: Vec<HeldLease>,
    /// The model loaded in the engine.
    pub loaded: Option<String>,
    /// What the machine said of its end, if anything.
    pub notice: Option<Notice>,
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
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct BeatReply {
    /// One per lease of the beat, in its order.
    pub leases: Vec<Renewed>,
    /// What the worker shall do.
    pub order: Order,
}

/// How a worker gives a task back.
#[derive(Debug, Clone, PartialEq)]
pub enum Release {
    /// The machine goes away or its engine broke: to the front, refunded, not counted as a failure.
    Interrupted,
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
}

/// Why a task failed, for its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskError {
    /// A CamelCase constant, for machines: `EngineRejected`, `OutOfMemory`, `Timeout`, …
    pub reason: String,
    /// For people, at most 1 KiB.
    pub message: String,
}

/// What came of a finished task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// The images, the task's own first; more only from a workflow with several outputs.
    pub images: Vec<StoredImage>,
    /// Engine time that went into the images, over all attempts, milliseconds.
    pub gpu_ms: u64,
    /// `spot` or `onDemand`; where the worker ran.
    pub capacity: String,
    /// Who made it.
    pub worker: WorkerId,
    /// It was found in the store, made by an earlier attempt.
    pub found: bool,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // plain facts of an object
pub struct StoredImage {
    pub key: String,
    pub etag: String,
    pub bytes: u64,
    pub width: u32,
    pub height: u32,
    pub seed: Option<u64>,
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
