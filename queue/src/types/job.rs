use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{StoredObject, TaskError, TaskResult};

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
    /// Work in one task, in units (steps × width × height / 512² for textToImage, 1 for a workflow), > 0.
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
    /// In how many segments its steps are taken, see [`TextToImage::cuts`]; 1 is in one piece.
    #[serde(default = "one_piece")]
    pub segments: u32,
}

fn one_piece() -> u32 {
    1
}

impl TextToImage {
    /// The steps after which the sampling is cut, ascending. A sampler begins anew at each, so other cuts may make
    /// another picture: they are the job's for its whole life, and this rule must not change.
    pub fn cuts(&self) -> impl Iterator<Item = u32> {
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
    use super::TextToImage;

    fn cuts(steps: u32, segments: u32) -> Vec<u32> {
        let picture = TextToImage {
            model: String::new(),
            prompt: String::new(),
            negative_prompt: String::new(),
            width: 512,
            height: 512,
            steps,
            cfg_scale: 7.0,
            sampler: String::new(),
            scheduler: String::new(),
            seed: 0,
            segments,
        };
        picture.cuts().collect()
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
