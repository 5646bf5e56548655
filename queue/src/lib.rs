//! The task queue on Redis: leases, fair order, priorities and results.
//!
//! One [`Queue`] is the queue of one WorkerPool. Every operation is one atomic script, all of whose keys
//! carry the pool's hash tag, so that a Redis Cluster works. The ImageJob in the API server remains the only
//! durable record: everything here can be rebuilt from it (see [`Queue::epoch`]).

mod bell;
mod connection;
mod epoch;
mod error;
mod fleet;
mod jobs;
mod names;
mod queue;
mod results;
mod script;
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
pub use queue::{HEARTBEAT, LEASE, MAX_INTERRUPTIONS, Options, Queue, REAP_EVERY};
pub use results::Results;
pub use spec::{MAX_WAIT_SLAS, VIRTUAL_MS_PER_UNIT};
pub use types::*;

/// Everything here returns this.
pub type Result<T> = std::result::Result<T, Error>;
