//! The watches. Each turns what it sees into records of the index and says whom it concerns. What does not parse is
//! reported and left out, and the rest goes on.

use std::{collections::HashSet, fmt::Debug, sync::Arc, time::Duration};

use crds::{Lenient, WorkerPool, names};
use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{Index, JobObject, PoolKey, listings::Watching};
use crate::{metrics::Metrics, node::karpenter::Followed};

/// What `kubectl apply` keeps in an object: all of it a second time.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Jobs in one page of a list: each may have a megabyte of workflow.
const JOBS_A_PAGE: u32 = 20;
/// A watch that failed for so long is told to whoever asks whether the operator is ready.
pub(crate) const FAILING_FOR: Duration = Duration::from_secs(30);

/// Follows everything for ever.
pub(crate) async fn run(client: Client, index: &Index, karpenter: Followed, metrics: &Arc<Metrics>) {
    let everything = watcher::Config::default;
    let workers = everything().labels(&format!("{}={}", names::LABEL_APP, names::WORKER_APP));
    tokio::join!(
        follow(Api::all(client.clone()), everything().page_size(JOBS_A_PAGE), Jobs(index), metrics),
        follow(Api::all(client.clone()), everything(), PoolsSeen::of(index), metrics),
        follow(Api::all(client.clone()), workers, PodsSeen::of(index), metrics),
        follow(Api::all(client.clone()), everything(), NodesSeen::of(index), metrics),
        karpenter.run(client, |uid| wake(index, index.workers.pools_by_report(uid))),
    );
}

/// What a watch does with what it sees.
trait Keep<K> {
    fn index(&self) -> &Index;
    fn apply(&mut self, object: K);
    fn delete(&mut self, object: K);
    fn begin_list(&mut self);
    /// The list shows this object, whether it can be read or not.
    fn listed(&mut self, metadata: &ObjectMeta);
    fn end_list(&mut self);
}

async fn follow<K>(api: Api<Lenient<K>>, config: watcher::Config, mut keep: impl Keep<K>, metrics: &Metrics)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let kind = K::kind(&());
    let watching = keep.index().listings.begin(kind_name(&kind));
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => see(event, &mut keep, &watching, metrics),
            Err(error) => {
                tracing::warn!(%error, %kind, "watch interrupted, it is tried again");
                watching.fails(error.to_string());
            }
        }
    }
}

fn see<K>(event: Event<Lenient<K>>, keep: &mut impl Keep<K>, watching: &Watching, metrics: &Metrics)
where
    K: Resource<DynamicType = ()>,
{
    match event {
        Event::Apply(object) => {
            watching.works();
            if let Some(object) = readable(object, metrics) {
                keep.apply(object);
            }
        }
        Event::InitApply(object) => {
            keep.listed(object.meta());
            if let Some(object) = readable(object, metrics) {
                keep.apply(object);
            }
        }
        Event::Delete(object) => {
            if let Some(object) = readable(object, metrics) {
                keep.delete(object);
            }
        }
        Event::Init => keep.begin_list(),
        Event::InitDone => {
            keep.end_list();
            watching.complete();
        }
    }
}

fn readable<K: Resource<DynamicType = ()>>(object: Lenient<K>, metrics: &Metrics) -> Option<K> {
    match object.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove(LAST_APPLIED);
            Some(object)
        }
        Err(unreadable) => {
            let kind = K::kind(&());
            metrics.unparseable.with_label_values(&[kind.as_ref()]).inc();
            tracing::error!(
                %kind,
                namespace = unreadable.metadata.namespace,
                name = unreadable.metadata.name,
                error = unreadable.error,
                "object does not parse and is left alone"
            );
            None
        }
    }
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "ImageJob" => "ImageJob",
        "WorkerPool" => "WorkerPool",
        "Pod" => "Pod",
        _ => "Node",
    }
}

fn wake(index: &Index, pools: impl IntoIterator<Item = PoolKey>) {
    for key in pools {
        index.pools.wake(&key);
    }
}

struct Jobs<'a>(&'a Index);

impl Keep<JobObject> for Jobs<'_> {
    fn index(&self) -> &Index {
        self.0
    }

    fn apply(&mut self, object: JobObject) {
        let (namespace, name) = (object.namespace(), object.name_any());
        if let Err(error) = self.0.jobs.apply(object) {
            tracing::error!(%error, namespace, name, "object is left alone");
        }
    }

    fn delete(&mut self, object: JobObject) {
        if let Some(uid) = object.uid().and_then(|uid| uid.parse().ok()) {
            self.0.jobs.delete(uid);
        }
    }

    fn begin_list(&mut self) {
        self.0.jobs.begin_list();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        if let Some(uid) = metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) {
            self.0.jobs.listed(uid);
        }
    }

    fn end_list(&mut self) {
        self.0.jobs.end_list();
    }
}

struct PoolsSeen<'a> {
    index: &'a Index,
    listed: Vec<PoolKey>,
}

impl<'a> PoolsSeen<'a> {
    fn of(index: &'a Index) -> Self {
        Self { index, listed: Vec::new() }
    }
}

impl Keep<WorkerPool> for PoolsSeen<'_> {
    fn index(&self) -> &Index {
        self.index
    }

    fn apply(&mut self, pool: WorkerPool) {
        self.index.apply_pool(pool);
    }

    fn delete(&mut self, pool: WorkerPool) {
        self.index.delete_pool(&PoolKey::of(&pool), pool.metadata.uid.as_deref());
    }

    fn begin_list(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        let part = |part: &Option<String>| part.as_deref().unwrap_or_default().to_owned();
        self.listed.push(PoolKey::new(part(&metadata.namespace), part(&metadata.name)));
    }

    fn end_list(&mut self) {
        for key in self.index.pools.others_than(&std::mem::take(&mut self.listed)) {
            self.index.delete_pool(&key, None);
        }
    }
}

struct PodsSeen<'a> {
    index: &'a Index,
    /// Their uids.
    listed: HashSet<String>,
}

impl<'a> PodsSeen<'a> {
    fn of(index: &'a Index) -> Self {
        Self { index, listed: HashSet::new() }
    }
}

impl Keep<Pod> for PodsSeen<'_> {
    fn index(&self) -> &Index {
        self.index
    }

    fn apply(&mut self, mut pod: Pod) {
        if let Some(spec) = &mut pod.spec {
            spec.containers = Vec::new();
            spec.init_containers = None;
            spec.volumes = None;
        }
        wake(self.index, self.index.workers.apply_pod(pod));
    }

    fn delete(&mut self, pod: Pod) {
        wake(self.index, self.index.workers.delete_pod(&pod));
    }

    fn begin_list(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        self.listed.extend(metadata.uid.clone());
    }

    fn end_list(&mut self) {
        wake(self.index, self.index.workers.keep_pods(&std::mem::take(&mut self.listed)));
    }
}

struct NodesSeen<'a> {
    index: &'a Index,
    /// Their names.
    listed: HashSet<String>,
}

impl<'a> NodesSeen<'a> {
    fn of(index: &'a Index) -> Self {
        Self { index, listed: HashSet::new() }
    }
}

impl Keep<Node> for NodesSeen<'_> {
    fn index(&self) -> &Index {
        self.index
    }

    fn apply(&mut self, mut node: Node) {
        if let Some(status) = &mut node.status {
            status.images = None;
            status.allocatable = None;
            status.capacity = None;
        }
        wake(self.index, self.index.workers.apply_node(node));
    }

    fn delete(&mut self, node: Node) {
        wake(self.index, self.index.workers.delete_node(&node.name_any()));
    }

    fn begin_list(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        self.listed.extend(metadata.name.clone());
    }

    fn end_list(&mut self) {
        wake(self.index, self.index.workers.keep_nodes(&std::mem::take(&mut self.listed)));
    }
}
