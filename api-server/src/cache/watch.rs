//! The watches that fill the cache. What does not parse is logged and left out, and the rest goes on.

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use crds::{
    ImageTenant, Lenient, WorkerPool,
    names::{API_KEY_SECRET, WEBHOOK_SECRET},
};
use futures::StreamExt as _;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{Cache, JobKey, PoolKey, Tenant, job::JobObject, named::Named};
use crate::{
    auth::{self, ApiKey},
    webhooks::SigningSecret,
};

/// Jobs in one page of a list: each may have a megabyte of workflow.
const JOBS_A_PAGE: u32 = 20;

const KINDS: [&str; 5] = ["ImageJob", "WorkerPool", "ImageTenant", "API key", "webhook secret"];

/// The kinds that were not listed yet.
#[derive(Debug)]
pub(crate) struct Watches(Mutex<Vec<&'static str>>);

impl Default for Watches {
    fn default() -> Self {
        Self(Mutex::new(KINDS.to_vec()))
    }
}

impl Watches {
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn listed(&self, kind: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|missing| *missing != kind);
    }
}

/// Follows everything for ever. Tenants and keys stand in `namespace`.
pub(crate) async fn run(client: Client, namespace: &str, cache: &Cache) {
    let everything = watcher::Config::default;
    let keys = everything().fields(&format!("type={API_KEY_SECRET}"));
    let signing = everything().fields(&format!("type={WEBHOOK_SECRET}"));
    let jobs = JobsSeen { cache, listed: HashSet::new() };
    tokio::join!(
        follow(Api::all(client.clone()), everything().page_size(JOBS_A_PAGE), jobs),
        follow(Api::all(client.clone()), everything(), named(cache, KINDS[1], &cache.pools, pool)),
        follow(
            Api::namespaced(client.clone(), namespace),
            everything(),
            named(cache, KINDS[2], &cache.tenants, tenant)
        ),
        follow(Api::namespaced(client.clone(), namespace), keys, named(cache, KINDS[3], &cache.keys, key)),
        follow(
            Api::namespaced(client, namespace),
            signing,
            named(cache, KINDS[4], &cache.signing, signing_secret)
        ),
    );
}

fn named<'a, O, K, V>(
    cache: &'a Cache,
    kind: &'static str,
    kept: &'a Named<K, V>,
    read: fn(O) -> Option<(K, V)>,
) -> NamedSeen<'a, O, K, V> {
    NamedSeen { cache, kind, kept, read, listed: HashSet::new() }
}

/// What a watch does with what it sees.
trait Keep<K> {
    fn kind(&self) -> &'static str;
    fn cache(&self) -> &Cache;
    fn put(&mut self, object: K);
    fn remove(&mut self, metadata: &ObjectMeta);
    fn begin_list(&mut self);
    /// The list shows this object, whether it can be read or not.
    fn listed(&mut self, metadata: &ObjectMeta);
    fn end_list(&mut self);
}

async fn follow<K>(api: Api<Lenient<K>>, config: watcher::Config, mut keep: impl Keep<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => see(event, &mut keep),
            Err(error) => tracing::warn!(%error, kind = keep.kind(), "watch interrupted, it is tried again"),
        }
    }
}

fn see<K: Resource<DynamicType = ()>>(event: Event<Lenient<K>>, keep: &mut impl Keep<K>) {
    match event {
        Event::Apply(object) => put(object, keep),
        Event::InitApply(object) => {
            keep.listed(object.meta());
            put(object, keep);
        }
        Event::Delete(object) => keep.remove(object.meta()),
        Event::Init => keep.begin_list(),
        Event::InitDone => {
            keep.end_list();
            keep.cache().watches.listed(keep.kind());
        }
    }
}

fn put<K>(object: Lenient<K>, keep: &mut impl Keep<K>) {
    match object.0 {
        Ok(object) => keep.put(object),
        Err(unreadable) => {
            let ObjectMeta { namespace, name, .. } = &unreadable.metadata;
            tracing::error!(
                kind = keep.kind(),
                ?namespace,
                ?name,
                error = unreadable.error,
                "object does not parse and is left alone"
            );
        }
    }
}

fn name_of(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn full_name(metadata: &ObjectMeta) -> String {
    format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), name_of(metadata))
}

struct JobsSeen<'a> {
    cache: &'a Cache,
    listed: HashSet<JobKey>,
}

impl JobsSeen<'_> {
    fn key(metadata: &ObjectMeta) -> JobKey {
        JobKey { namespace: metadata.namespace.clone().unwrap_or_default(), name: name_of(metadata) }
    }
}

impl Keep<JobObject> for JobsSeen<'_> {
    fn kind(&self) -> &'static str {
        KINDS[0]
    }

    fn cache(&self) -> &Cache {
        self.cache
    }

    fn put(&mut self, object: JobObject) {
        self.cache.jobs.put(object.into());
    }

    fn remove(&mut self, metadata: &ObjectMeta) {
        self.cache.jobs.remove(&Self::key(metadata), metadata.uid.as_deref().unwrap_or_default());
    }

    fn begin_list(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        self.listed.insert(Self::key(metadata));
    }

    fn end_list(&mut self) {
        self.cache.jobs.retain(&std::mem::take(&mut self.listed));
    }
}

/// Objects of which one thing each is kept, by name.
struct NamedSeen<'a, O, K, V> {
    cache: &'a Cache,
    kind: &'static str,
    kept: &'a Named<K, V>,
    /// What is kept of an object; `None`: nothing, and why is logged.
    read: fn(O) -> Option<(K, V)>,
    listed: HashSet<String>,
}

impl<O: Resource<DynamicType = ()>, K: Hash + Eq + Clone, V> Keep<O> for NamedSeen<'_, O, K, V> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn cache(&self) -> &Cache {
        self.cache
    }

    fn put(&mut self, object: O) {
        let name = full_name(object.meta());
        match (self.read)(object) {
            Some((key, value)) => self.kept.put(name, key, value),
            None => self.kept.remove(&name),
        }
    }

    fn remove(&mut self, metadata: &ObjectMeta) {
        self.kept.remove(&full_name(metadata));
    }

    fn begin_list(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, metadata: &ObjectMeta) {
        self.listed.insert(full_name(metadata));
    }

    fn end_list(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.kept.retain(|name| listed.contains(name));
    }
}

fn pool(mut pool: WorkerPool) -> Option<(PoolKey, WorkerPool)> {
    pool.metadata.managed_fields = None;
    pool.metadata.annotations = None;
    pool.spec.pod_template = None;
    Some((PoolKey::new(pool.namespace().unwrap_or_default(), pool.name_any()), pool))
}

fn tenant(tenant: ImageTenant) -> Option<(String, Tenant)> {
    Some((tenant.name_any(), Tenant::of(tenant)))
}

#[allow(clippy::needless_pass_by_value, reason = "watches give what they see away")]
fn key(secret: Secret) -> Option<(auth::Hash, ApiKey)> {
    match ApiKey::of_secret(&secret) {
        Ok(key) => Some((key.hash, key)),
        Err(error) => {
            tracing::error!(secret = secret.name_any(), error, "the Secret is no API key and is left alone");
            None
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "watches give what they see away")]
fn signing_secret(secret: Secret) -> Option<(String, SigningSecret)> {
    SigningSecret::of_secret(&secret)
}
