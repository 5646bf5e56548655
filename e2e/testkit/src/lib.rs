//! Real services for tests: Redis (single, Cluster, Sentinel), S3, a Kubernetes control plane, a collector of traces, and a proxy that makes
//! the network between them fail. Each runs on free loopback ports and ends when its handle is dropped.
mod clock;
mod cluster;
mod collector;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod resp;
mod s3;
mod tls;
mod wait;

use std::{
    collections::BTreeSet,
    io,
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

pub use clock::Clock;
pub use cluster::{Cluster, ClusterOptions};
pub use collector::{Collector, SpanSeen};
pub use process::{Process, memory_mb};
pub use proxy::{Fault, Proxy};
pub use redis::{Access, Persistence, Redis, RedisOptions, Transport, redis_server};
pub use redis_cluster::{RedisCluster, RedisSentinel};
pub use s3::{Reading, S3, S3Fault, S3Options, S3Request};
pub use wait::wait_for;

/// A loopback port on which no process listens at this moment. Each call returns another port, since the last one may
/// not be in use yet.
///
/// # Errors
/// If the machine has no free port.
pub fn free_port() -> io::Result<u16> {
    const TRIES: usize = 1000;
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if given.insert(port) {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
