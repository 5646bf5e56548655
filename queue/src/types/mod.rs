//! The queue's vocabulary.

mod fleet;
mod job;
mod lease;
mod notice;

pub use fleet::{
    Backlog, Epoch, EventKind, LeaseSeen, ReapReport, ResultEvent, Retired, Ring, ServerRun, Stats,
    WorkerSeen,
};
pub use job::{
    DeadLetter, Enqueued, Job, JobState, JobUid, Outcome, TaskId, TaskSpec, TextToImage, Work, WorkerId,
};
pub use lease::{
    Beat, BeatReply, Claim, Completion, HeldLease, Lease, Order, Release, Renewed, StoredImage, TaskError,
    TaskResult, Written,
};
pub use notice::Notice;
