//! What a job refers to, and how far the queue is with it.

use std::sync::Arc;

use crds::{ImageJob, NamespacesFrom, Work, WorkerPool};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, core::SelectorExt as _};
use queue::JobState;

use super::{
    Error,
    validate::{namespace, uid, units},
};
use crate::{
    context::{Context, PoolKey},
    lock,
};

/// The objects a job refers to.
pub(crate) struct References {
    /// The pool named, or the namespace's default one.
    pub(crate) pool_key: Option<PoolKey>,
    /// That pool, if it exists.
    pub(crate) pool: Option<Arc<WorkerPool>>,
    /// Whether the pool lets the job's namespace use it.
    pub(crate) allowed: bool,
    pub(crate) workflow: WorkflowSource,
    /// What one image of textToImage should take, by what the pool has learnt; 0 for a workflow.
    pub(crate) image_seconds: f64,
}

/// Where a job's workflow stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkflowSource {
    /// In the job itself, or there is none.
    Inline,
    /// In a ConfigMap.
    Text {
        /// For messages: `ConfigMap studio/flows, key a.json`.
        at: String,
        text: String,
    },
    /// The ConfigMap or its key is not there.
    Missing { message: String },
}

/// How far the queue is with a job; `None`: it knows nothing of it.
pub(crate) async fn progress(
    job: &ImageJob,
    pool: Option<&PoolKey>,
    context: &Context,
) -> Result<Option<JobState>, Error> {
    let Some(pool) = pool else { return Ok(None) };
    context.queue(pool).job(&uid(job)).await.map_err(Error::Queue)
}

/// The pool a job was accepted by, else the one it asks for.
pub(crate) fn pool_key(job: &ImageJob, context: &Context) -> Option<PoolKey> {
    if let Some(accepted) = job.status.as_ref().and_then(|status| status.pool.as_deref()) {
        return Some(match accepted.split_once('/') {
            Some((namespace, name)) => PoolKey::new(namespace, name),
            None => PoolKey::new(namespace(job), accepted),
        });
    }
    if let Some(pool) = &job.spec.pool_ref {
        let namespace = pool.namespace.as_deref().unwrap_or_else(|| namespace(job));
        return Some(PoolKey::new(namespace, &pool.name));
    }
    // With several marked default, the oldest is it, so that a new one does not take over unasked.
    let default_here =
        |pool: &WorkerPool| pool.spec.default && pool.metadata.namespace.as_deref() == Some(namespace(job));
    let oldest =
        |pool: &Arc<WorkerPool>| (pool.metadata.creation_timestamp.clone(), pool.metadata.name.clone());
    context
        .seen
        .pools
        .state_filter(default_here)
        .iter()
        .min_by_key(|pool| oldest(pool))
        .map(|p| PoolKey::of(p))
}

/// Reads what the job refers to.
pub(crate) async fn references(job: &ImageJob, context: &Context) -> Result<References, Error> {
    let pool_key = pool_key(job, context);
    let pool = pool_key.as_ref().and_then(|key| context.pool(key));
    let allowed = match &pool {
        Some(pool) => allowed(job, pool, context).await?,
        None => false,
    };
    let image_seconds = pool.as_deref().map_or(0.0, |pool| image_seconds(job, pool, context));
    Ok(References { pool_key, pool, allowed, workflow: workflow(job, context).await?, image_seconds })
}

fn image_seconds(job: &ImageJob, pool: &WorkerPool, context: &Context) -> f64 {
    let Some(picture) = &job.spec.text_to_image else { return 0.0 };
    lock(&context.pools.get(&PoolKey::of(pool))).task_seconds(pool, &picture.model, units(picture))
}

async fn allowed(job: &ImageJob, pool: &WorkerPool, context: &Context) -> Result<bool, Error> {
    if pool.metadata.namespace.as_deref() == Some(namespace(job)) {
        return Ok(true);
    }
    let allowed = &pool.spec.allowed_namespaces;
    match (allowed.from, &allowed.selector) {
        (NamespacesFrom::All, _) => Ok(true),
        (NamespacesFrom::Selector, Some(selector)) => {
            let api: Api<Namespace> = Api::all(context.client.clone());
            let found = api.get_metadata_opt(namespace(job)).await.map_err(Error::Api)?;
            let labels = found.and_then(|n| n.metadata.labels).unwrap_or_default();
            let selector: kube::core::Selector =
                selector.clone().try_into().map_err(|error| Error::Selector(format!("{error}")))?;
            Ok(selector.matches(&labels))
        }
        (NamespacesFrom::Same | NamespacesFrom::Selector, _) => Ok(false),
    }
}

async fn workflow(job: &ImageJob, context: &Context) -> Result<WorkflowSource, Error> {
    let Ok(Work::Workflow(workflow)) = job.spec.work() else { return Ok(WorkflowSource::Inline) };
    let Some(reference) = &workflow.config_map_ref else { return Ok(WorkflowSource::Inline) };
    let namespace = namespace(job);
    let at = format!("ConfigMap {namespace}/{}", reference.name);
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let Some(config_map) = api.get_opt(&reference.name).await.map_err(Error::Api)? else {
        return Ok(WorkflowSource::Missing { message: format!("{at} does not exist (yet)") });
    };
    match config_map.data.and_then(|mut data| data.remove(&reference.key)) {
        Some(text) => Ok(WorkflowSource::Text { at: format!("{at}, key {}", reference.key), text }),
        None => Ok(WorkflowSource::Missing { message: format!("{at} has no key {:?} (yet)", reference.key) }),
    }
}
