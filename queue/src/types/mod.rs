//! The queue's vocabulary.

mod blame;
mod fleet;
mod job;
mod lease;
mod notice;
mod settings;

pub use blame::{Fault, Reason, TaskError, Trouble};
pub use fleet::{
    Backlog, Epoch, EventKind, LeaseSeen, ReapReport, ResultEvent, Retired, Ring, ServerRun, Stats,
    WorkerSeen,
};
pub use job::{
    DeadLetter, Enqueued, Job, JobState, JobUid, Outcome, TaskId, TaskSpec, TextToImage, Work, WorkerId,
};
pub use lease::{
    Beat, BeatReply, Claim, Completion, HeldLease, Lease, Order, Release, Renewed, StoredImage, StoredObject,
    TaskKind, TaskResult, WorkerState, Written,
};
pub use notice::Notice;
pub use settings::{ClassSetting, Settings};
