use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The ImageJob's `metadata.uid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobUid(pub String);

/// A worker: the name of its Pod, or what a stand-alone worker calls itself. Unique in a pool for all time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

/// One image of a job: the unit of queueing, leasing, retry and cost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// The job it belongs to.
    pub job: JobUid,
    /// 0 … total − 1.
    pub index: u32,
}

impl fmt::Display for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.index)
    }
}

/// A job as the queue sees it: one entry with a cursor over its tasks, whatever their number.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Identity; a second enqueue of the same uid changes nothing (but see `recheck`).
    pub uid: JobUid,
    /// Whose job it is. Any bytes; never part of a key.
    pub tenant: String,
    /// The tenant's share against other tenants, > 0.
    pub weight: f64,
    /// How many of the tenant's tasks may run at once in this pool; `None`: no limit.
    pub max_running: Option<u32>,
    /// The class, whose name is also the name of the lane the job waits in.
    pub class: String,
    /// What a worker must have loaded to run it (a checkpoint's name; "" for a workflow we can't tell of).
    pub model: String,
    /// When it was asked for, ms since the Unix epoch: the ImageJob's creation, so a rebuild keeps its place.
    pub arrival_ms: u64,
    /// The class's promise; due = arrival + sla.
    pub sla: Duration,
    /// Work in one task, in units (steps × width × height / 512² for textToImage, 1 for a workflow), > 0.
    pub units: f64,
    /// Tasks in the job, ≥ 1.
    pub total: u32,
    /// Failures allowed per task.
    pub retries: u32,
    /// Some of its objects may exist already (rebuild after Redis was lost): workers look before generating.
    pub recheck: bool,
    /// Enqueue it without letting it be claimed.
    pub suspended: bool,
    /// What the worker needs to know, the same for all tasks of the job; JSON of [`TaskSpec`].
    pub payload: Bytes,
}

impl TaskSpec {
    /// As [`Job::payload`].
    ///
    /// # Errors
    /// Never for a spec that came from JSON.
    pub fn to_payload(&self) -> serde_json::Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from)
    }
}

/// The work of a job's tasks; travels as [`Job::payload`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// What to generate.
    pub work: Work,
    /// Longest time one image may take in the engine, seconds.
    pub timeout_seconds: u32,
}

/// What to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// A plain text-to-image picture.
    TextToImage(TextToImage),
    /// Any ComfyUI API-format graph, inputs already substituted. Image i adds i to each literal `seed` and
    /// `noise_seed` input, so the images of a job differ.
    Workflow {
        /// node id → {class_type, inputs}
        graph: serde_json::Map<String, serde_json::Value>,
    },
}

/// A plain text-to-image picture. Ranges are the API's (crds); image i uses `seed + i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names are the field's own; units and ranges stand in the ImageJob API
pub struct TextToImage {
    pub model: String,
    pub prompt: String,
    pub negative_prompt: String,
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub cfg_scale: f64,
    pub sampler: String,
    pub scheduler: String,
    pub seed: u64,
}

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
    /// [`Job::payload`].
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
    /// Engine time of the successful attempt, milliseconds.
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

/// Whether a job was new to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is queued now.
    New,
    /// It was there before.
    Known,
}

/// A job's state in the queue: the truth about its progress between two status writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobState {
    /// Tasks nobody runs.
    pub waiting: u32,
    /// Tasks leased.
    pub running: u32,
    /// Tasks finished with an image.
    pub succeeded: u32,
    /// Tasks that are dead letters.
    pub failed: u32,
    /// Tasks that [`cancel`](crate::Queue::cancel) stopped.
    pub cancelled: u32,
    /// Times a task came back because its machine went away.
    pub interruptions: u32,
    /// Times a task was tried again after a failure.
    pub retries: u32,
    /// Claims pass it by.
    pub suspended: bool,
    /// First claim, ms since the Unix epoch.
    pub started_ms: Option<u64>,
}

/// What came of one task, as kept until [`forget`](JobUid).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The task's index.
    pub index: u32,
    /// Attempts it took, interruptions included.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub finished_ms: u64,
    /// The image, or why there is none.
    pub result: Result<TaskResult, TaskError>,
}

/// The queue at a glance; cost independent of the number of jobs and tasks waiting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    /// Redis' clock, ms since the Unix epoch.
    pub now_ms: u64,
    /// Waiting tasks by class, model and due time, as far as their tenants' `max_running` lets them run beside
    /// what runs already. Suspended jobs are not in it.
    pub backlog: Vec<Backlog>,
    /// Waiting tasks that are not in `backlog` because their tenants run as much as they may.
    pub held_back: u64,
    /// When the oldest waiting job arrived, ms since the Unix epoch, rounded down by at most 1/32 of its SLA.
    pub oldest_ms: Option<u64>,
    /// All leases.
    pub leases: Vec<LeaseSeen>,
    /// All workers seen within the last minute, or holding a lease.
    pub workers: Vec<WorkerSeen>,
}

/// Waiting tasks of one class and model that are due at about one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Their class.
    pub class: String,
    /// Their model.
    pub model: String,
    /// Due, ms since the Unix epoch, rounded down to the bucket.
    pub due_ms: u64,
    /// How many.
    pub tasks: u64,
    /// Their work, in units; exact to two digits.
    pub units: f64,
}

/// A lease, as seen from outside.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // as in Lease
pub struct LeaseSeen {
    pub task: TaskId,
    pub attempt: u32,
    pub worker: WorkerId,
    pub tenant: String,
    pub class: String,
    pub model: String,
    pub units: f64,
    /// Milliseconds since the Unix epoch.
    pub due_ms: u64,
    pub started_ms: u64,
    pub expires_ms: u64,
    /// Steps done and in all.
    pub progress: Option<(u32, u32)>,
}

/// A worker, as the queue knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSeen {
    /// Who.
    pub worker: WorkerId,
    /// What it was told.
    pub order: Order,
    /// What its engine has loaded.
    pub loaded: Option<String>,
    /// Its last claim or heartbeat, ms since the Unix epoch.
    pub seen_ms: u64,
    /// Since when it holds no lease; `None` while it holds one.
    pub idle_since_ms: Option<u64>,
}

/// Whether a worker may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// It holds nothing and will claim nothing more.
    Yes,
    /// It holds a lease; nothing was changed.
    Busy,
}

/// A task that will not be tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The task.
    pub task: TaskId,
    /// Attempts it took, interruptions included.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub failed_ms: u64,
    /// Why.
    pub error: TaskError,
}

/// What the reaper found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReapReport {
    /// Leases that had ended; their tasks wait at the front again, or are dead letters.
    pub expired: u32,
    /// Active tasks whose lease was missing; likewise.
    pub missing: u32,
    /// Failed tasks whose delay is over.
    pub ready: u32,
    /// Jobs that had waited for their longest time and go before all others now.
    pub overdue: u32,
}

/// Whether this Redis still holds what the operator put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Epoch {
    /// The same server as at the last [`set_epoch`](crate::Queue::set_epoch), never restarted since.
    Same,
    /// Another server, the same one restarted, or an emptied one: it may have lost something. Enqueue every
    /// unfinished job again (with `recheck`), then [`set_epoch`](crate::Queue::set_epoch) this.
    Changed(ServerRun),
}

/// One run of one Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRun(pub(crate) String);

/// Something happened to a job; look at its state for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultEvent {
    /// For [`ack`](crate::Results::ack). Events of one write share it.
    pub id: String,
    /// The job.
    pub job: JobUid,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Its first task was claimed.
    Started,
    /// One or more of its tasks finished with an image; others are left.
    Advanced,
    /// A task of it became a dead letter; others are left.
    Dead,
    /// Nothing of it waits or runs any more.
    Finished,
}

/// Why the [bell](crate::Bell) rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// There may be work: claim.
    Work,
    /// There is an order for this worker: send a heartbeat to read it.
    Order,
}
