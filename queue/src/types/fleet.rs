use std::collections::HashMap;

use super::{JobUid, Notice, Order, TaskId, TaskKind, Trouble, WorkerId, WorkerState};

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
    /// GPU time of one unit of work, ms, as learned, by work key.
    pub unit_ms: HashMap<String, f64>,
}

/// Waiting tasks of one class and model that are due at about one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Their class.
    pub class: String,
    /// Their model.
    pub model: String,
    /// Their work key.
    pub work: String,
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
    pub kind: TaskKind,
    pub attempt: u32,
    pub worker: WorkerId,
    pub tenant: String,
    pub class: String,
    pub model: String,
    pub work: String,
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
    /// Its order.
    pub order: Order,
    /// How far it has come.
    pub state: WorkerState,
    /// What kind of machine it runs on; "" until it says so.
    pub capacity: String,
    /// Why it takes no tasks, if it can't.
    pub trouble: Option<Trouble>,
    /// What its engine has loaded.
    pub loaded: Option<String>,
    /// What its machine said of its end, if anything.
    pub notice: Option<Notice>,
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

/// What the reaper found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReapReport {
    /// Leases that had ended; their tasks wait at the front again, or are dead letters.
    pub expired: u32,
    /// Active tasks whose lease was missing; likewise.
    pub missing: u32,
    /// Tasks whose delay is over.
    pub ready: u32,
    /// Records that could not be read and were dropped.
    pub malformed: u32,
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
    /// One or more of its tasks were interrupted or failed, and wait again.
    Returned,
    /// A task of it became a dead letter; others are left.
    Dead,
    /// Nothing of it waits or runs any more, its listing included.
    Finished,
    /// A kind that this program does not know: a newer one wrote it.
    Other,
}

/// Why the [bell](crate::Bell) rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// There may be work: claim.
    Work,
    /// There is an order for this worker: send a heartbeat to read it.
    Order,
}
