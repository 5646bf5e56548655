use std::{sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue};

use crate::{
    Redis, Result, names,
    script::{Script, Scripts},
};

/// How long a lease lasts unless renewed.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often a worker sends a heartbeat: two may be lost before its leases end.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often to [`reap`](Queue::reap).
pub const REAP_EVERY: Duration = Duration::from_secs(1);
/// How often one task may come back because its machine went away; once more and it is a dead letter, since
/// something that kills every machine it meets must not do so for ever.
pub const MAX_INTERRUPTIONS: u32 = 20;

/// What can be set on a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a lease lasts unless renewed; [`LEASE`].
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease: LEASE }
    }
}

/// The queue of one WorkerPool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(crate) redis: Redis,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    prefix: String,
    options: Options,
    scripts: Scripts,
}

impl Queue {
    /// The queue of the pool with this name, `namespace/name`.
    pub fn new(redis: Redis, pool: &str) -> Self {
        Self::with_options(redis, pool, Options::default())
    }

    /// As [`new`](Self::new). All who use one queue should set the same options.
    pub fn with_options(redis: Redis, pool: &str, options: Options) -> Self {
        let shared = Shared { prefix: names::prefix(pool), options, scripts: Scripts::new() };
        Self { redis, shared: Arc::new(shared) }
    }

    /// The Redis it is in.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.shared.prefix)
    }

    pub(crate) fn lease_ms(&self) -> u64 {
        crate::spec::millis(self.shared.options.lease)
    }

    /// One call of a script, with the arguments that `fill` adds.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: impl FnOnce(&Scripts) -> &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<T> {
        let script = script(&self.shared.scripts);
        let mut call = script.call(&self.shared.prefix);
        fill(&mut call);
        script.run(&self.redis, &call).await
    }
}
