//! The task queue on Redis: leases, fair order, priorities and results.
//!
//! One [`Queue`] is the queue of one WorkerPool. Every operation is one atomic script, all of whose keys
//! carry the pool's hash tag, so that a Redis Cluster works. The ImageJob in the API server remains the only
//! durable record: everything here can be rebuilt from it (see [`Queue::epoch`]).

mod error;
mod types;

pub use error::Error;
pub use types::*;

/// Everything here returns this.
pub type Result<T> = std::result::Result<T, Error>;
