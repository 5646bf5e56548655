use super::WorkerId;

/// How far an image is that a worker has in hand, as of its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskProgress {
    /// Which image of the job.
    pub index: u32,
    /// Which attempt at it.
    pub attempt: u32,
    /// Who makes it.
    pub worker: WorkerId,
    /// When the worker claimed it, ms since the Unix epoch.
    pub started_ms: u64,
    /// Sampling steps done and in all, when known.
    pub steps: Option<(u32, u32)>,
    /// How far the graph is; `None` until the engine has begun with it.
    pub nodes: Option<NodeProgress>,
}

/// How far an engine is in a graph. The graph is the one that the engine runs: of an image that is made in segments it has
/// the nodes that cut it too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeProgress {
    /// So many of its nodes have run, or need not …
    pub done: u32,
    /// … of so many. Those that no output needs never run.
    pub total: u32,
    /// The node that runs; of several at once, the one that began last.
    pub running: Option<RunningNode>,
}

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningNode {
    /// Its id, at most [`LONGEST_NAME`](crate::LONGEST_NAME) characters of it.
    pub id: String,
    /// Its class, likewise; `None` for a node that another one has added to the graph while it ran.
    pub class: Option<String>,
}
