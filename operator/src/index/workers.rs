//! Every worker's Pod, and every node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crds::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::{PoolKey, WorkerRecord, worker::record};
use crate::{
    lock,
    node::karpenter::{self, Reports},
};

/// For so long a Pod that was deleted is remembered: its creator may hear of it later than of its end.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Every worker that is there.
#[derive(Default)]
pub(crate) struct Workers {
    inner: Mutex<Inner>,
    karpenter: Reports,
}

#[derive(Default)]
struct Inner {
    /// By the pool that a Pod's label names, then by its name.
    pods: HashMap<PoolKey, HashMap<String, Arc<Pod>>>,
    nodes: HashMap<String, Arc<Node>>,
    deleted: HashMap<String, Instant>,
}

impl Workers {
    pub(crate) fn new(karpenter: Reports) -> Self {
        Self { inner: Mutex::default(), karpenter }
    }

    /// Whether a pool has any.
    pub(crate) fn has_any(&self, key: &PoolKey) -> bool {
        lock(&self.inner).pods.get(key).is_some_and(|pods| !pods.is_empty())
    }

    /// The Pods that say they belong to a pool.
    pub(crate) fn of_pool(&self, key: &PoolKey, now: Timestamp) -> Vec<WorkerRecord> {
        let (pods, nodes) = {
            let inner = lock(&self.inner);
            let pods: Vec<_> = inner.pods.get(key).into_iter().flat_map(HashMap::values).cloned().collect();
            let nodes: Vec<_> = pods.iter().map(|pod| inner.node_of(pod)).collect();
            (pods, nodes)
        };
        let record = |(pod, node): (Arc<Pod>, Option<Arc<Node>>)| {
            let report = node.as_deref().map(|node| self.karpenter.of_node(node)).unwrap_or_default();
            let waits = pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none());
            let uid = pod.metadata.uid.as_deref().filter(|_| waits);
            let awaited = uid.map(|uid| self.karpenter.awaited(uid, now)).unwrap_or_default();
            record(&pod, node.as_deref(), report, awaited, now)
        };
        pods.into_iter().zip(nodes).map(record).collect()
    }

    /// The pools that Pods name.
    pub(crate) fn pools(&self) -> Vec<PoolKey> {
        lock(&self.inner).pods.keys().cloned().collect()
    }

    /// Whether a Pod was there and is not any more.
    pub(crate) fn was_deleted(&self, name: &str) -> bool {
        lock(&self.inner).deleted.contains_key(name)
    }

    /// The watch shows a Pod.
    #[cfg(test)]
    pub(crate) fn see(&self, pod: Pod) {
        self.apply_pod(pod);
    }

    /// A Pod was seen; its pool.
    pub(super) fn apply_pod(&self, pod: Pod) -> Option<PoolKey> {
        let key = pool_of(&pod)?;
        let mut inner = lock(&self.inner);
        inner.pods.entry(key.clone()).or_default().insert(pod.name_any(), Arc::new(pod));
        Some(key)
    }

    /// A Pod is gone; its pool.
    pub(super) fn delete_pod(&self, pod: &Pod) -> Option<PoolKey> {
        let key = pool_of(pod)?;
        lock(&self.inner).delete(&key, &pod.name_any(), Instant::now());
        Some(key)
    }

    /// Keeps these Pods only; the pools of those that went.
    pub(super) fn keep_pods(&self, there: &std::collections::HashSet<String>) -> Vec<PoolKey> {
        let mut inner = lock(&self.inner);
        let all =
            inner.pods.iter().flat_map(|(key, pods)| pods.iter().map(move |(name, pod)| (key, name, pod)));
        let gone = all.filter(|(_, _, pod)| pod.uid().is_none_or(|uid| !there.contains(&uid)));
        let gone: Vec<_> = gone.map(|(key, name, _)| (key.clone(), name.clone())).collect();
        for (key, name) in &gone {
            inner.delete(key, name, Instant::now());
        }
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// A node was seen; the pools that have workers on it.
    pub(super) fn apply_node(&self, node: Node) -> Vec<PoolKey> {
        let name = node.name_any();
        let mut inner = lock(&self.inner);
        inner.nodes.insert(name.clone(), Arc::new(node));
        inner.pools_on(&name)
    }

    /// A node is gone; the pools that have workers on it.
    pub(super) fn delete_node(&self, name: &str) -> Vec<PoolKey> {
        let mut inner = lock(&self.inner);
        inner.nodes.remove(name);
        inner.pools_on(name)
    }

    /// Keeps these nodes only; the pools that have workers on others.
    pub(super) fn keep_nodes(&self, there: &std::collections::HashSet<String>) -> Vec<PoolKey> {
        let mut inner = lock(&self.inner);
        let gone: Vec<_> = inner.nodes.keys().filter(|name| !there.contains(*name)).cloned().collect();
        let mut pools = Vec::new();
        for name in gone {
            inner.nodes.remove(&name);
            pools.extend(inner.pools_on(&name));
        }
        pools
    }

    /// The pools that have workers on the node of this uid, or of the NodeClaim of this uid, or whose worker's Pod has it.
    pub(super) fn pools_by_report(&self, uid: &str) -> Vec<PoolKey> {
        let inner = lock(&self.inner);
        let nodes = inner.nodes.values().filter(|node| karpenter::is(node, uid));
        let by_node = nodes.flat_map(|node| inner.pools_on(&node.name_any()));
        let is_it = |pods: &HashMap<String, Arc<Pod>>| {
            pods.values().any(|pod| pod.metadata.uid.as_deref() == Some(uid))
        };
        let by_pod = inner.pods.iter().filter(|(_, pods)| is_it(pods)).map(|(key, _)| key.clone());
        by_node.chain(by_pod).collect()
    }
}

impl Inner {
    fn node_of(&self, pod: &Pod) -> Option<Arc<Node>> {
        self.nodes.get(pod.spec.as_ref()?.node_name.as_ref()?).cloned()
    }

    fn pools_on(&self, node: &str) -> Vec<PoolKey> {
        let on_it = |pod: &Arc<Pod>| {
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|name| name == node)
        };
        let pools = self.pods.iter().filter(|(_, pods)| pods.values().any(on_it));
        pools.map(|(key, _)| key.clone()).collect()
    }

    fn delete(&mut self, key: &PoolKey, name: &str, now: Instant) {
        if let Some(pods) = self.pods.get_mut(key) {
            pods.remove(name);
            if pods.is_empty() {
                self.pods.remove(key);
            }
        }
        self.deleted.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        self.deleted.insert(name.to_owned(), now);
    }
}

fn pool_of(pod: &Pod) -> Option<PoolKey> {
    Some(PoolKey::new(pod.namespace()?, pod.labels().get(names::LABEL_POOL)?.as_str()))
}
