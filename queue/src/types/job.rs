use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{StoredObject, TaskError, TaskInput, TaskResult};

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
    /// Its kind, model and graph in one: jobs of one work key take the same GPU time per unit.
    pub work: String,
    /// GPU time of one unit, ms, as guessed until the queue has learned it for this work key, > 0.
    pub unit_ms: f64,
    /// When its due clock started, ms since the Unix epoch: its acceptance, moved by the time it was suspended, so that a
    /// rebuild keeps its place.
    pub arrival_ms: u64,
    /// The class's promise; due = arrival + sla.
    pub sla: Duration,
    /// Work in one task, in units (steps × width × height / 512² where they are known, else 1), > 0.
    pub units: f64,
    /// Tasks in the job, ≥ 1.
    pub total: u32,
    /// Failures allowed per task.
    pub retries: u32,
    /// The job stops once more images than this have failed for good. `None`: it stops once
    /// [`MAX_ALIKE_FAILURES`](crate::MAX_ALIKE_FAILURES) have failed for the same reason and none was made.
    pub max_failed_images: Option<u32>,
    /// After its last image a worker stores a listing of all, see [`TaskKind::Listing`](super::TaskKind::Listing).
    pub listing: bool,
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
    /// What the engine runs, in ComfyUI's API format: node id → {class_type, inputs}. All images of the job share it, but
    /// for what follows.
    pub graph: Map<String, Value>,
    /// The inputs that a seed goes into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<SeedAt>,
    /// The files that it starts from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<TaskInput>,
    /// How its sampling may be cut; `None`: it is made in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// The nodes whose files are kept, the most important first. None: all that save a file, by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// In which form the files are stored.
    #[serde(default)]
    pub form: Form,
    /// An image whose every pixel is black is a failure. A workflow may rightly make one, as a mask.
    #[serde(default)]
    pub black_is_wrong: bool,
    /// The job's labels, which its objects carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The trace that the job's images belong to, a `traceparent` of W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Longest time one image may take in the engine, seconds.
    pub timeout_seconds: u32,
}

/// An input that a seed goes into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedAt {
    /// The node's id.
    pub node: String,
    /// The input's name.
    pub input: String,
    /// The seed of image 0.
    pub first: u64,
    /// Image i uses `first + i`, modulo 2^64; else all use `first`.
    pub counts: bool,
}

/// How the sampling of an image may be cut into segments, whose latents another worker can go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The id of a KSampler node, whose seed, steps and denoise: 1 stand in the graph.
    pub sampler: String,
    /// Its steps.
    pub steps: u32,
    /// Into how many segments; 1 is in one piece.
    pub segments: u32,
}

/// In which form files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// What still pictures are converted to; `None`: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Of formats with a loss, 1 to 100; `None`: 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// The texts that the engine writes into files stay there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_texts: bool,
}

/// The formats of still pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the formats' own names
pub enum Format {
    Png,
    Webp,
    Jpeg,
    Avif,
}

impl Cut {
    /// The steps after which the sampling is cut, ascending. A sampler begins anew at each, so other cuts may make
    /// another picture: they are the job's for its whole life, and this rule must not change.
    pub fn at(&self) -> impl Iterator<Item = u32> {
        let (steps, segments) = (self.steps, self.segments.min(self.steps));
        (1..segments).map(move |done| steps.saturating_mul(done) / segments)
    }
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
    /// Images nobody makes yet.
    pub waiting: u32,
    /// Images leased.
    pub running: u32,
    /// Images made.
    pub succeeded: u32,
    /// Images that are dead letters.
    pub failed: u32,
    /// The latest of them.
    pub last_dead: Option<Box<DeadLetter>>,
    /// Images that will not be made, because the job was [cancelled](crate::Queue::cancel) or stopped.
    pub cancelled: u32,
    /// Times a task came back because its machine went away.
    pub interruptions: u32,
    /// Times an engine ended under a task of it.
    pub crashes: u32,
    /// Times a task was tried again after a failure.
    pub retries: u32,
    /// Claims pass it by.
    pub suspended: bool,
    /// Why the queue stopped it: the images that had not begun are not made.
    pub stopped: Option<TaskError>,
    /// What came of its listing, if it has one and all its images have ended.
    pub listing: Option<Result<StoredObject, TaskError>>,
    /// Nothing of it waits or runs any more, its listing included.
    pub finished: bool,
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

#[cfg(test)]
mod tests {
    use super::Cut;

    fn cuts(steps: u32, segments: u32) -> Vec<u32> {
        Cut { sampler: "3".to_owned(), steps, segments }.at().collect()
    }

    #[test]
    fn cuts_are_spread_evenly_and_never_at_either_end() {
        let table = [
            (20, 1, vec![]),
            (20, 2, vec![10]),
            (20, 3, vec![6, 13]),
            (7, 4, vec![1, 3, 5]),
            (3, 8, vec![1, 2]),
            (1, 2, vec![]),
            (1, 0, vec![]),
        ];
        for (steps, segments, expected) in table {
            assert_eq!(cuts(steps, segments), expected, "{steps} steps in {segments}");
        }
    }
}
