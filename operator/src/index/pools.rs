//! Every WorkerPool.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crds::WorkerPool;
use tokio::sync::{Notify, watch};

use super::PoolKey;
use crate::lock;

/// A pool as last seen.
#[derive(Debug, Clone)]
pub(crate) struct PoolRecord {
    pub(crate) key: PoolKey,
    /// `metadata.uid`: a pool made again under its name is another.
    pub(crate) uid: Arc<str>,
    pub(crate) object: Arc<WorkerPool>,
}

impl PoolRecord {
    pub(crate) fn of(pool: WorkerPool) -> Self {
        let uid = pool.metadata.uid.as_deref().unwrap_or_default().into();
        Self { key: PoolKey::of(&pool), uid, object: Arc::new(pool) }
    }

    /// It was deleted, and its workers are going.
    pub(crate) fn is_going(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }
}

/// Every pool that is there.
#[derive(Default)]
pub(crate) struct Pools {
    pools: Mutex<HashMap<PoolKey, PoolRecord>>,
    /// Who is woken when something of a pool changes; made by who asks first.
    changed: Mutex<HashMap<PoolKey, Arc<Notify>>>,
    /// Counts up when a pool comes or goes.
    members: watch::Sender<u64>,
}

impl Pools {
    /// Whether the pool or its spec is one not seen before.
    pub(crate) fn apply(&self, pool: WorkerPool) -> bool {
        let record = PoolRecord::of(pool);
        let mut pools = lock(&self.pools);
        let id = |record: &PoolRecord| {
            (Arc::clone(&record.uid), record.object.metadata.generation, record.is_going())
        };
        let new = id(&record);
        let before = pools.insert(record.key.clone(), record);
        let is_other = before.as_ref().is_none_or(|before| before.uid != new.0);
        let is_new = before.is_none_or(|before| id(&before) != new);
        drop(pools);
        if is_other {
            self.members.send_modify(|n| *n += 1);
        }
        is_new
    }

    /// Whether it was there. With `uid`: only if it is that one.
    pub(crate) fn delete(&self, key: &PoolKey, uid: Option<&str>) -> bool {
        let mut pools = lock(&self.pools);
        let is_it = pools.get(key).is_some_and(|record| uid.is_none_or(|uid| *record.uid == *uid));
        if is_it {
            pools.remove(key);
            drop(pools);
            self.members.send_modify(|n| *n += 1);
        }
        is_it
    }

    /// Keeps these pools only: what a new list does not show is gone.
    pub(crate) fn others_than(&self, listed: &[PoolKey]) -> Vec<PoolKey> {
        lock(&self.pools).keys().filter(|key| !listed.contains(key)).cloned().collect()
    }

    pub(crate) fn get(&self, key: &PoolKey) -> Option<PoolRecord> {
        lock(&self.pools).get(key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<PoolRecord> {
        lock(&self.pools).values().cloned().collect()
    }

    /// The pool that jobs of a namespace use unasked. Of several the oldest, so that a new one does not take over.
    pub(crate) fn default_of(&self, namespace: &str) -> Option<PoolKey> {
        let pools = lock(&self.pools);
        let of_namespace = |record: &&PoolRecord| {
            record.object.spec.default && !record.is_going() && *record.key.namespace == *namespace
        };
        let age = |record: &&PoolRecord| {
            (record.object.metadata.creation_timestamp.clone(), Arc::clone(&record.key.name))
        };
        pools.values().filter(of_namespace).min_by_key(age).map(|record| record.key.clone())
    }

    /// Says when a pool came or went.
    pub(crate) fn members(&self) -> watch::Receiver<u64> {
        self.members.subscribe()
    }

    pub(crate) fn changed(&self, key: &PoolKey) -> Arc<Notify> {
        Arc::clone(lock(&self.changed).entry(key.clone()).or_default())
    }

    pub(crate) fn wake(&self, key: &PoolKey) {
        if let Some(changed) = lock(&self.changed).get(key) {
            changed.notify_one();
        }
    }

    /// Nobody waits for changes of this pool any more.
    pub(crate) fn forget(&self, key: &PoolKey) {
        lock(&self.changed).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::pool_with;

    #[test]
    fn new_pools_and_new_specs_are_told_from_new_statuses() {
        let pools = Pools::default();
        let of = |uid: &str, generation: i64, version: &str| {
            pool_with(json!({"metadata": {"uid": uid, "generation": generation, "resourceVersion": version}}))
        };
        let seen = [("a", 1, "1"), ("a", 1, "2"), ("a", 2, "3"), ("b", 1, "4")];
        let new = seen.map(|(uid, generation, version)| pools.apply(of(uid, generation, version)));
        assert_eq!(new, [true, false, true, true]);
        let key = PoolKey::new("studio", "sd15");
        assert!(!pools.delete(&key, Some("a")), "a late word of the one before");
        assert!(pools.delete(&key, Some("b")) && pools.get(&key).is_none());
    }

    #[test]
    fn the_oldest_of_several_default_pools_is_the_default() {
        let pools = Pools::default();
        for (name, created) in [("new", "2026-02-01T00:00:00Z"), ("old", "2026-01-01T00:00:00Z")] {
            let metadata = json!({"name": name, "uid": name, "creationTimestamp": created});
            pools.apply(pool_with(json!({"metadata": metadata, "spec": {"default": true}})));
        }
        assert_eq!(pools.default_of("studio"), Some(PoolKey::new("studio", "old")));
        assert_eq!(pools.default_of("elsewhere"), None);
    }
}
