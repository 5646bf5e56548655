//! The queue's vocabulary.

mod blame;
mod fleet;
mod input;
mod job;
mod lease;
mod notice;
mod progress;
mod settings;

pub use blame::{Fault, Reason, TaskError, Trouble};
pub use fleet::{
    Backlog, Epoch, EventKind, LeaseSeen, ReapReport, ResultEvent, Retired, Ring, ServerRun, Stats,
    WorkerSeen,
};
pub use input::{InputKind, InputSource, TaskInput};
pub use job::{
    Cut, DeadLetter, Enqueued, Form, Format, Job, JobState, JobUid, Outcome, SeedAt, TaskId, TaskSpec,
    WorkerId,
};
pub use lease::{
    Beat, BeatReply, Claim, Completion, HeldLease, Lease, Order, Release, Renewed, StoredFile, StoredObject,
    TaskKind, TaskResult, Timings, WorkerState, Written,
};
pub use notice::Notice;
pub use progress::{NodeProgress, RunningNode, TaskProgress};
pub use settings::{ClassSetting, Settings};
