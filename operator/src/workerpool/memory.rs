//! What the operator knows of a pool besides its object: what scaling has learnt, and what it did a moment ago
//! that the watches do not show yet.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crds::{PoolDecision, WorkerPool};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use policy::{Memory, Sample};
use queue::WorkerId;
use tokio::task::AbortHandle;

use super::{ledger::Ledger, outlook::Outlook, refusal::Refusals};
use crate::{context::PoolKey, lock};

/// A Pod we created that the watch does not show after this long is not there.
const CREATED_SHOWS_WITHIN: Duration = Duration::from_secs(60);

/// A Secret that somebody deleted or changed is back after this long.
const SECRET_EVERY: Duration = Duration::from_secs(60);

/// All pools.
#[derive(Default)]
pub(crate) struct Pools(Mutex<HashMap<PoolKey, Arc<Mutex<PoolState>>>>);

/// One pool.
#[derive(Default)]
pub(crate) struct PoolState {
    /// `None` until read from the pool's status.
    pub(crate) memory: Option<Memory>,
    /// What was learnt since the last plan.
    pub(crate) samples: Vec<Sample>,
    /// When the work should be done, as of the last plan.
    pub(crate) outlook: Outlook,
    /// `None` until read from the pool's status.
    ledger: Option<Ledger>,
    /// Pods created that the watch may not show yet.
    created: HashMap<String, (Instant, Arc<Pod>)>,
    /// Workers seen at work, whose start-up time was learnt; `None` until the queue was first read.
    pub(crate) up: Option<HashSet<WorkerId>>,
    /// Workers whose leases were taken back for good.
    pub(crate) evicted: HashSet<WorkerId>,
    /// The pool, by its uid, whose Secret with the queue's URL was written, and when.
    secret: Option<(String, Instant)>,
    pub(crate) last_decision: Option<PoolDecision>,
    pub(crate) last_status_write: Option<Instant>,
    /// That Pods are refused, until none is or none is wanted.
    pub(crate) refused: Option<Refusals>,
    /// Since when the queue could be read without a gap.
    readable_since: Option<Instant>,
    /// What the last reconcile failed with, as it was logged.
    failure: Option<String>,
    /// The pool's uid and the generation of its spec, as the watch last showed them.
    seen: Option<(Option<String>, Option<i64>)>,
    consumer: Option<Consumer>,
}

/// A task that reads the pool's results; ends with the pool.
struct Consumer(AbortHandle);

impl Drop for Consumer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pools {
    /// The pool's state, made on first sight.
    pub(crate) fn get(&self, key: &PoolKey) -> Arc<Mutex<PoolState>> {
        Arc::clone(lock(&self.0).entry(key.clone()).or_default())
    }

    /// Whether the pool or its spec is one not seen before.
    pub(crate) fn is_new(&self, pool: &WorkerPool) -> bool {
        let state = self.get(&PoolKey::of(pool));
        let seen = Some((pool.uid(), pool.metadata.generation));
        std::mem::replace(&mut lock(&state).seen, seen.clone()) != seen
    }

    /// Whether how the pool fares is news: a failure other than the last one, or the first success after one.
    pub(crate) fn is_news(&self, key: &PoolKey, failure: Option<String>) -> bool {
        let Some(state) = lock(&self.0).get(key).map(Arc::clone) else { return failure.is_some() };
        let mut state = lock(&state);
        let news = state.failure != failure;
        state.failure = failure;
        news
    }

    /// The pool was deleted.
    pub(crate) fn forget(&self, key: &PoolKey) {
        lock(&self.0).remove(key);
    }
}

impl PoolState {
    /// What scaling remembers: from the pool's status at first, then our own.
    pub(crate) fn memory(&mut self, pool: &WorkerPool) -> Memory {
        let stored = || {
            let memory = pool.status.as_ref().and_then(|status| status.memory.as_deref());
            serde_json::from_str(memory.unwrap_or("{}")).unwrap_or_else(|error| {
                tracing::warn!(pool = %pool.name_any(), %error, "status.memory is unreadable; starting afresh");
                Memory::default()
            })
        };
        let mut memory = self.memory.take().unwrap_or_else(stored);
        for sample in self.samples.drain(..) {
            memory.estimates.observe(&sample);
        }
        memory
    }

    /// What the pool costs: from its status at first, then our own.
    pub(crate) fn ledger(&mut self, pool: &WorkerPool) -> &mut Ledger {
        self.ledger.get_or_insert_with(|| Ledger::of(pool, Timestamp::now()))
    }

    /// Whether the Secret with the queue's URL is to be written (again).
    pub(crate) fn secret_is_due(&self, uid: &str, now: Instant) -> bool {
        self.secret
            .as_ref()
            .is_none_or(|(of, at)| of != uid || now.saturating_duration_since(*at) >= SECRET_EVERY)
    }

    pub(crate) fn secret_written(&mut self, uid: String, now: Instant) {
        self.secret = Some((uid, now));
    }

    /// What one task should take, by what was learnt so far.
    pub(crate) fn task_seconds(&mut self, pool: &WorkerPool, model: &str, units: f64) -> f64 {
        let memory = self.memory(pool);
        let seconds = memory.estimates.task_seconds("", model, units);
        self.memory = Some(memory);
        seconds
    }

    /// Whether the queue could be read just now.
    pub(crate) fn queue_read(&mut self, readable: bool) {
        self.readable_since = readable.then(|| self.readable_since.unwrap_or_else(Instant::now));
    }

    /// For how long the queue could be read without a gap.
    pub(crate) fn readable_for(&self) -> Duration {
        self.readable_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Keeps a Pod in view until the watch shows it.
    pub(crate) fn created(&mut self, pod: Pod) {
        self.created.insert(pod.name_any(), (Instant::now(), Arc::new(pod)));
    }

    /// The Pods the watch shows, and those it will show in a moment.
    pub(crate) fn with_created(&mut self, mut shown: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
        let names: HashSet<String> = shown.iter().map(|pod| pod.name_any()).collect();
        self.created.retain(|name, (at, _)| !names.contains(name) && at.elapsed() < CREATED_SHOWS_WITHIN);
        shown.extend(self.created.values().map(|(_, pod)| Arc::clone(pod)));
        shown
    }

    /// Starts what `spawn` starts, once.
    pub(crate) fn consume(&mut self, spawn: impl FnOnce() -> AbortHandle) {
        self.consumer.get_or_insert_with(|| Consumer(spawn()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_written_for_each_pool_and_again_after_a_while() {
        let (now, mut state) = (Instant::now(), PoolState::default());
        assert!(state.secret_is_due("a", now));
        state.secret_written("a".into(), now);
        assert!(!state.secret_is_due("a", now + SECRET_EVERY / 2));
        assert!(state.secret_is_due("a", now + SECRET_EVERY), "somebody may have deleted it");
        assert!(state.secret_is_due("b", now), "a pool recreated under the name");
    }
}
