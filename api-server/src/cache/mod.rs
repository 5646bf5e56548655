//! What the API server's watches show: jobs, pools, tenants and keys. Every read of a job comes from here, so that any
//! replica answers, also while the cluster's API server or Redis is away.

mod job;
mod jobs;
mod named;
mod watch;

use std::sync::Arc;

use crds::{ImageTenant, ImageTenantSpec, WorkerPool};
use jiff::Timestamp;
use workflow::is_like;

pub(crate) use job::{Job, JobObject, Request, State};
pub(crate) use jobs::{Change, JobKey, Jobs, Place, Seen};
pub(crate) use watch::{Watches, run};

use crate::{
    auth::{ApiKey, Caller, Hash},
    webhooks::SigningSecret,
};
use named::Named;

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tenant {
    /// Its name, which its jobs bear.
    pub(crate) name: Arc<str>,
    pub(crate) spec: ImageTenantSpec,
}

/// A pool's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Whether the limits of a pool let its jobs load this model file.
pub(crate) fn pool_allows(pool: &WorkerPool, model: &str) -> bool {
    let patterns = &pool.spec.limits.models;
    patterns.is_empty() || patterns.iter().any(|pattern| is_like(pattern, model))
}

/// All that is watched. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) pools: Arc<Named<PoolKey, WorkerPool>>,
    pub(crate) tenants: Arc<Named<String, Tenant>>,
    pub(crate) keys: Arc<Named<Hash, ApiKey>>,
    /// What tenants' webhooks are signed with.
    pub(crate) signing: Arc<Named<String, SigningSecret>>,
    pub(crate) watches: Arc<Watches>,
}

impl Cache {
    /// Whether the caller's key or token, and tenant, are as good as they were.
    pub(crate) fn still_knows(&self, caller: &Caller) -> bool {
        let tenant = self.tenants.get(&*caller.tenant.name);
        let is_good = match caller.until {
            Some(until) => Timestamp::now() < until,
            None => self.keys.get(&caller.key.hash).is_some(),
        };
        is_good && tenant.is_some_and(|tenant| !tenant.spec.disabled)
    }
}

impl PoolKey {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of its queue.
    pub(crate) fn queue(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Tenant {
    fn of(object: ImageTenant) -> Self {
        Self { name: object.metadata.name.unwrap_or_default().into(), spec: object.spec }
    }

    /// Whether its jobs may be of this class.
    pub(crate) fn may_have_class(&self, class: &str) -> bool {
        self.spec.classes.is_empty() || self.spec.classes.iter().any(|listed| listed == class)
    }

    /// Whether its jobs may load this model file.
    pub(crate) fn may_load(&self, model: &str) -> bool {
        self.spec.models.is_empty() || self.spec.models.iter().any(|pattern| is_like(pattern, model))
    }

    /// Whether its jobs may use this recipe.
    pub(crate) fn may_use_recipe(&self, recipe: &str) -> bool {
        self.spec.recipes.is_empty() || self.spec.recipes.iter().any(|listed| listed == recipe)
    }

    /// Whether its jobs name it: those of a tenant that has a namespace of its own need not.
    pub(crate) fn is_its_namespace(&self) -> bool {
        *self.name == *self.spec.namespace
    }

    /// The pools that it may use, the one of jobs that name none first.
    pub(crate) fn pools(&self, known: &Named<PoolKey, WorkerPool>) -> Vec<(PoolKey, Arc<WorkerPool>)> {
        let own = &self.spec.namespace;
        if self.spec.pools.is_empty() {
            let mut pools = known.all();
            pools.retain(|(key, _)| key.namespace == *own);
            pools.sort_by_key(|(key, pool)| (!pool.spec.default, key.clone()));
            return pools;
        }
        let keys = self
            .spec
            .pools
            .iter()
            .map(|pool| PoolKey::new(pool.namespace.as_ref().unwrap_or(own), &pool.name));
        keys.filter_map(|key| known.get(&key).map(|pool| (key, pool))).collect()
    }
}
