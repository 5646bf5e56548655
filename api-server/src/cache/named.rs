//! Objects by their name.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Objects by name. Each is known by where it comes from too (its own name in Kubernetes), as its key here may change.
#[derive(Debug)]
pub(crate) struct Named<K, V> {
    maps: RwLock<Maps<K, V>>,
}

#[derive(Debug)]
struct Maps<K, V> {
    objects: HashMap<K, Arc<V>>,
    keys: HashMap<String, K>,
}

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self { maps: RwLock::new(Maps { objects: HashMap::new(), keys: HashMap::new() }) }
    }
}

impl<K: Hash + Eq + Clone, V> Named<K, V> {
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.read().objects.get(key).cloned()
    }

    /// One that is as asked.
    pub(crate) fn find(&self, asked: impl Fn(&V) -> bool) -> Option<Arc<V>> {
        self.read().objects.values().find(|object| asked(object)).cloned()
    }

    /// All, in no order.
    pub(crate) fn all(&self) -> Vec<(K, Arc<V>)> {
        self.read().objects.iter().map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
    }

    pub(crate) fn put(&self, object: String, key: K, value: V) {
        let mut maps = self.write();
        maps.remove(&object);
        maps.keys.insert(object, key.clone());
        maps.objects.insert(key, Arc::new(value));
    }

    pub(crate) fn remove(&self, object: &str) {
        self.write().remove(object);
    }

    /// Removes all but these.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut maps = self.write();
        let gone: Vec<String> = maps.keys.keys().filter(|object| !keep(object)).cloned().collect();
        for object in gone {
            maps.remove(&object);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps<K, V>> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps<K, V>> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Maps<K, V> {
    fn remove(&mut self, object: &str) {
        if let Some(key) = self.keys.remove(object) {
            self.objects.remove(&key);
        }
    }
}
