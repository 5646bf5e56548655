//! The task queue on Redis: leases, fair order, priorities and results.
//!
//! One [`Queue`] is the queue of one WorkerPool. Every operation is one atomic script (`src/lua`), all of whose
//! keys carry the pool's hash tag, so that a Redis Cluster works. The ImageJob in the API server remains the only
//! durable record: everything here can be rebuilt from it (see [`Queue::epoch`]).
//!
//! # The life of a task
//!
//! ```text
//!             enqueue                claim                       complete
//!   (unborn) ────────▶ waiting ─────────────▶ leased ─────────────────────▶ succeeded
//!                      ▲  ▲  ▲                 │ │ │
//!       redrive        │  │  └── to the front ─┘ │ │   Preempted, HandedBack, Doubted once, Withheld; lease ended
//!   dead ──────────────┘  └───── after a delay ──┘ │   Failed (retries left), Crashed
//!    ▲                                             │
//!    └─────────────────────────────────────────────┘   Rejected, Doubted by two, no retries left, crashed 3 times,
//!                                                      or preempted 21 times
//! ```
//! Cancelling a job stops its waiting tasks at once and its leased ones at their workers' next heartbeat.
//! A lease lasts [`LEASE`]; each claim of a task has a higher attempt, and a write that names another worker or
//! attempt than the lease changes nothing. Whose fault it is that a task comes back is in [`Release`] and [`Reason`].
//!
//! # Who comes first
//!
//! Each class has three orders: `returned`, what came back and is charged already, by due time; `limits`, tenants by when
//! they are to be served at the latest; and `turns`, tenants by tag. There is one choice between them, made by each claim
//! (`src/lua/choose.lua`):
//! 1. **Between classes** the one is served whose first task must start first: at its due time less what it takes. A late
//!    one counts as if it had come when its tenant was last served. But a class with a shorter promise that has work is
//!    passed over for others at most [`PASSES`] times in a row.
//! 2. **In a class** first what came back; then what presses; then whose turn it is.
//! 3. **Turns** are start-time fair queueing: each tenant has a tag, its virtual time in GPU ms ÷ weight, and the lowest
//!    tag is served; of equal ones the tenant whose head must start first. A task moves its tenant's tag on by
//!    `units × ms per unit ÷ weight`, where the ms per unit are learned from all tasks of the same work key; at its end the
//!    tag is corrected by what it really took. A tenant whose work comes in anew starts no lower than the class's clock,
//!    the largest tag that was the lowest of all: nobody saves up turns by staying away.
//! 4. A task **presses** when less than a quarter of its class's promise ([`PRESSING_SLAS`]) is left before it must start.
//!    Of the tasks that press and can still be in time the one that must start first goes before its tenant's turn, but only
//!    within the **allowance**: its tenant's tag is above the lowest by no more than the GPU time that all busy workers spend
//!    in such a quarter. So over any time no tenant gets more for its weight than one that always waits, but for twice the
//!    allowance and a task of each. A late task has no precedence: a late bulk job gets its share and no more. Only a tenant
//!    that is not served for [`MAX_WAIT_SLAS`] promises is given one task.
//! 5. While nothing presses, or what does has more than an eighth of the promise left ([`LOAD_SLAS`]), work that needs no
//!    **load** (its model is loaded, or it has none) goes before a head that does, within the allowance too. A task that
//!    came just now is left to an idle worker that has its model.
//! 6. A task that **excludes** a worker (it crashed there, or was refused or handed back) is not for it while another worker
//!    that could take it lives.
//! 7. A tenant that runs `max_running` tasks leaves the turns until one of them ends.
//!
//! The reaper has no part in this: it only finds what became due, however often it looks.
//!
//! # Keys
//!
//! All begin with `ij2:{namespace/name}:`. A flow is a tenant in a class, `CLASS:TENANT`; tenants and models stand in keys as
//! 64-bit digests: names are data, whatever they contain. Scripts make these names from their one `KEYS[1]`; Redis, Valkey
//! and their Clusters allow that, as all are in one slot (Dragonfly asks for `allow-undeclared-keys`).
//!
//! | key | type | what |
//! |---|---|---|
//! | `job:UID` | hash | `record`, `counted` (total and backlog bucket), `payload` if small; `next` index, `returned`, `adopted`, `succeeded`, `failed`, `cancelled`, `interruptions`, `crashes`, `retries`, `started`; `last_dead`, the index of the latest dead letter and its state; `closed` while nothing of it may be claimed (`suspended`, `stopped`, `unwanted`), `recheck`; by index each touched task: `held`, `back`, `done`, `dead` (lua/task.lua) |
//! | `payload:UID` | string | a payload of more than 4 KiB |
//! | `jobs` | set | all uids |
//! | `returned:CLASS` | zset | tasks that came back and are charged, by due time |
//! | `turns:CLASS` | zset | tenants that have work and room, by tag |
//! | `limits:CLASS` | zset | the same tenants by when they are to be served at the latest |
//! | `clock`, `left:CLASS` | zset | classes by their clock; tags of tenants that have no work or no room now |
//! | `passes` | hash | how often a class was passed over |
//! | `lines:FLOW`, `line:FLOW:MODEL` | zset | a flow's models by when their heads must start; `UID` and `UID/INDEX` likewise |
//! | `running`, `parked:TENANT` | hash | tasks of tenants with a limit; classes, and their promises, in which such a tenant waits for room |
//! | `leases`, `held:WORKER` | zset, hash | `UID/INDEX@WORKER` by when they end; what a worker holds, and how far it is |
//! | `back:UID`, `later` | zset | tasks given back; those of them with a delay, by when they may be claimed |
//! | `dead`, `dead:UID` | zset | jobs with dead letters; their indexes |
//! | `backlog`, `gpu_ms` | hash | waiting tasks by due time and kind (see [`Queue::stats`]); learned ms per unit by work key |
//! | `workers`, `worker:NAME` | zset, hash | workers by when they were last seen; order, state, capacity, model, trouble |
//! | `engines`, `facts:DIGEST`, `engine:DIGEST`, `engines:revision` | zset, strings | workers' engines by when they were last told of; what each has (JSON); its node definitions (gzip); higher whenever one has something else |
//! | `settings`, `leader`, `epoch` | hash, strings | what the pool's owner wants; the leader's term; the run of the server that was last filled |
//! | `results`, `bell` | stream, channel | events for the operator; wakes workers |
//!
//! Beside these, the hash `ij2:pools` has the pools that have a queue, and whose each is (see [`pools`]).

pub mod access;
mod bell;
mod connection;
mod engines;
mod epoch;
mod error;
mod fleet;
mod jobs;
mod library;
mod names;
mod payload;
pub mod pools;
mod progress;
mod queue;
mod results;
mod script;
mod settings;
mod spec;
mod stats;
mod task;
mod types;
mod url;
mod work;

pub use bell::Bell;
pub use connection::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, Redis, Tls};
pub use engines::{EngineFacts, EngineSeen, EnginesRead, ModelFile};
pub use error::Error;
pub use jobs::JobPage;
pub use library::{LOAD_SLAS, PASSES, PRESSING_SLAS};
pub use progress::LONGEST_NAME;
pub use queue::{
    BEAT_TIMEOUT, HEARTBEAT, LEASE, MAX_ALIKE_FAILURES, MAX_CRASHES, MAX_INTERRUPTIONS, Options, Queue,
    REAP_EVERY,
};
pub use results::Results;
pub use script::scripts;
pub use spec::{MAX_WAIT_SLAS, due_rounding};
pub use types::*;

/// Everything here returns this.
pub type Result<T> = std::result::Result<T, Error>;
