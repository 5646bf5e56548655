use std::{sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue};

use crate::{
    Redis, Result,
    fleet::ReaperClock,
    names,
    payload::Payloads,
    script::{Script, Scripts},
};

/// How long a lease lasts unless renewed.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often a worker sends a heartbeat: two may be lost before its leases end, whether they are refused or not answered
/// within [`BEAT_TIMEOUT`].
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// For a heartbeat to be answered; then it is sent again.
pub const BEAT_TIMEOUT: Duration = Duration::from_secs(2);
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

/// Crashes of one task, on at least two workers if others live, after which it is a dead letter; and of one job without
/// an image made, after which the job stops.
pub const MAX_CRASHES: u32 = 3;
/// Images of one job that fail for good for the same reason, with none made, after which the job stops.
pub const MAX_ALIKE_FAILURES: u32 = 3;

/// The queue of one WorkerPool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(crate) redis: Redis,
    pub(crate) shared: Arc<Shared>,
    /// The leader's term for which this handle writes; 0 is nobody's.
    pub(crate) term: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    prefix: String,
    options: Options,
    /// Heartbeats have a connection of their own: no large answer is in front of them.
    beats: Redis,
    pub(crate) clock: ReaperClock,
    pub(crate) payloads: Payloads,
}

impl Queue {
    /// The queue of the pool with this name, `namespace/name`.
    pub fn new(redis: Redis, pool: &str) -> Self {
        Self::with_options(redis, pool, Options::default())
    }

    /// As [`new`](Self::new). All who use one queue should set the same options.
    pub fn with_options(redis: Redis, pool: &str, options: Options) -> Self {
        let shared = Shared {
            prefix: names::prefix(pool),
            options,
            beats: redis.dedicated(BEAT_TIMEOUT),
            clock: ReaperClock::default(),
            payloads: Payloads::default(),
        };
        Self { redis, shared: Arc::new(shared), term: 0 }
    }

    /// The same queue for the operator that leads in this term: once an operator with a higher term has written, what
    /// this handle would change is refused with [`Error::Deposed`](crate::Error::Deposed). Workers and tools have no term.
    #[must_use]
    pub fn with_term(&self, term: u64) -> Self {
        Self { term, ..self.clone() }
    }

    /// The term given to [`with_term`](Self::with_term); 0 is nobody's.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The Redis it is in.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.shared.prefix)
    }

    pub(crate) fn lease(&self) -> Duration {
        self.shared.options.lease
    }

    /// One call of an operator's script, whose first argument is the term, with the arguments that `fill` adds.
    pub(crate) async fn run_fenced<T: FromRedisValue>(
        &self,
        script: impl FnOnce(&Scripts) -> &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<T> {
        let fill = |call: &mut Cmd| {
            call.arg(self.term);
            fill(call);
        };
        self.run(script, fill).await
    }

    /// One call of a script, with the arguments that `fill` adds.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: impl FnOnce(&Scripts) -> &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<T> {
        self.run_over(&self.redis, script, fill).await
    }

    /// The same for a heartbeat.
    pub(crate) async fn run_beat<T: FromRedisValue>(&self, fill: impl FnOnce(&mut Cmd)) -> Result<T> {
        self.run_over(&self.shared.beats, |s| &s.beat, fill).await
    }

    async fn run_over<T: FromRedisValue>(
        &self,
        redis: &Redis,
        script: impl FnOnce(&Scripts) -> &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<T> {
        let script = script(redis.scripts());
        let mut call = script.call(&self.shared.prefix);
        fill(&mut call);
        script.run(redis, &call, self.term).await
    }
}
