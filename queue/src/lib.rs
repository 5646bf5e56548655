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
//!       redrive        │  │  └── to the front ─┘ │ │   Interrupted, lease ended or missing, worker evicted
//!   dead ──────────────┘  └───── after a delay ──┘ │   Failed, retries left
//!    ▲                                             │
//!    └─────────────────────────────────────────────┘   Rejected, no retries left, or interrupted 21 times
//! ```
//! Cancelling a job stops its waiting tasks at once and its leased ones at their workers' next heartbeat.
//! A lease lasts [`LEASE`]; each claim of a task has a higher attempt, and a write that names another worker or
//! attempt than the lease changes nothing.
//!
//! # Who comes first
//!
//! A class has one lane. In it stand *lines*: a tenant's jobs for one model, the earliest due first. A lane serves
//! the line with the lowest **tag**; all numbers are milliseconds:
//!
//! ```text
//!   when a tenant's line gets its first job:   tag  = max(vt, arrival + lead)
//!   when a task of it is claimed:              lead = max(lead, tag − now)
//!                                              vt   = tag + VIRTUAL_MS_PER_UNIT × units / weight
//!                                              tag  = vt
//! ```
//! `vt` is the tenant's virtual time in this class (0 at first), `lead` how far the lane's clock is ahead of the
//! real one (0 at first). This is start-time fair queueing: tenants who have work waiting get shares by weight,
//! nobody saves up shares by staying away, nobody is punished for having used idle machines; and since
//! [`VIRTUAL_MS_PER_UNIT`] is large against any wait, tenants below their share are served by arrival.
//!
//! These come before that:
//! 1. A task that came back by **interruption** goes before everything, the earliest due first. It was charged
//!    when it was first claimed and is not charged again: that is its tenant's refund.
//! 2. A line whose tenant was not served for its **longest wait**, [`MAX_WAIT_SLAS`] × SLA after
//!    max(arrival, last served), goes next. [`Queue::reap`] puts it first, up to 10 s early.
//! 3. Between **classes** the head with the earliest max(arrival, last served) + SLA is taken.
//! 4. A worker's **loaded model** is preferred among the first 64 lines of the classes it serves, as long as a quarter
//!    of the head's SLA is left (counted as in 3), that is, until it presses. A job so fresh that less than a twelfth of
//!    its SLA is over is left to another worker that has its model, if there is one.
//! 5. Lines whose first job has used up three quarters of its SLA **press**: they go before those that don't, by tag
//!    among themselves. So shares decide who waits, but nobody waits until it is too late while others could.
//!
//! A claim of many tasks gives each tenant some at once; who gets how many in the long run is the same. A tenant
//! who runs `max_running` tasks has its lines parked, and one of each class is let in as a task ends.
//!
//! # Keys
//!
//! All begin with `ij1:{namespace/name}:`. A line's name is `class:model:tenant`, the last two as 64-bit digests:
//! names are data, whatever they contain.
//!
//! | key | type | what |
//! |---|---|---|
//! | `job:UID` | hash | `s` record, `p` payload, `m` total, `n` next index, `b` given back, `k` succeeded, `d` dead, `x` cancelled, `i` interruptions, `r` retries, `t` started, `f` flags (`s`uspended, `c`ancelled, `r`echeck); by index a touched task: `A` attempts failures interruptions, `D` result, `X` error |
//! | `lane:CLASS` | zset | lines by tag; `!UID/INDEX` what goes before everything |
//! | `line:LINE` | zset | `UID` and `UID/INDEX` (given back) by due time |
//! | `park:CLASS:TENANT`, `parked:TENANT` | zset, set | lines of a tenant without room; their classes |
//! | `running` | hash | leased tasks of tenants with a limit |
//! | `fair` | hash | `lead:CLASS`; `vt:` and `due:` (last served + SLA) by class and tenant |
//! | `leases`, `active` | zset, hash | leased tasks: when the lease ends; attempt, worker, progress |
//! | `back:UID`, `later` | zset | tasks given back, and of those with a delay when they may be claimed |
//! | `dead`, `dead:UID` | zset | dead letters by time; of one job |
//! | `backlog` | hash | waiting tasks by class, model, due time, size (see [`Queue::stats`]) |
//! | `workers` | hash | order, last seen, idle since, loaded model |
//! | `results` | stream | events for the operator |
//! | `lanes`, `reaper` | set, hash | classes with a lane; where the reaper goes on |
//! | `epoch` | string | the run of the server that the operator last filled |
//! | `bell` | channel | wakes workers |

mod bell;
mod connection;
mod epoch;
mod error;
mod fleet;
mod jobs;
mod library;
mod names;
mod payload;
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
pub use error::Error;
pub use jobs::JobPage;
pub use library::PASSES;
pub use queue::{
    HEARTBEAT, LEASE, MAX_ALIKE_FAILURES, MAX_CRASHES, MAX_INTERRUPTIONS, Options, Queue, REAP_EVERY,
};
pub use results::Results;
pub use script::scripts;
pub use spec::MAX_WAIT_SLAS;
pub use types::*;

/// Everything here returns this.
pub type Result<T> = std::result::Result<T, Error>;
