//! The pool that an endpoint's id names.

use std::sync::Arc;

use axum::http::HeaderMap;
use crds::WorkerPool;

use crate::{
    app::App,
    auth::Caller,
    cache::{Job, PoolKey},
    error::Error,
    http::Mount,
};

/// A caller at an endpoint.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) caller: Caller,
    pub(super) key: PoolKey,
    pub(super) pool: Arc<WorkerPool>,
}

impl Endpoint {
    /// The endpoint of this id: a pool's name, or `namespace--name`.
    ///
    /// # Errors
    /// [`Error::NotFound`] alike for a pool that does not exist and for one that the tenant may not use.
    pub(super) fn of(app: &App, headers: &HeaderMap, id: &str) -> Result<Self, Error> {
        let caller = app.caller(headers)?;
        let is_meant = |key: &PoolKey| key.name == id || format!("{}--{}", key.namespace, key.name) == id;
        let found = caller.tenant.pools(&app.cache.pools).into_iter().find(|(key, _)| is_meant(key));
        let (key, pool) = found.ok_or_else(|| Error::NotFound { what: "endpoint", name: id.to_owned() })?;
        Ok(Self { caller, key, pool })
    }

    /// As if the URL named the pool.
    pub(super) fn mount(&self) -> Mount {
        Mount { pool: Some(self.key.clone()) }
    }

    /// Whether the job is one of this endpoint.
    pub(super) fn has(&self, job: &Job) -> bool {
        let accepted = job.status.pool.as_ref().map(|pool| (&*pool.namespace, &*pool.name));
        let asked = || {
            let pool = job.pool.as_ref()?;
            Some((pool.namespace.as_deref().unwrap_or(&job.namespace), &*pool.name))
        };
        accepted.or_else(asked) == Some((&*self.key.namespace, &*self.key.name))
    }

    /// The endpoint's job of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`], alike for a job that is not the tenant's.
    pub(super) async fn job(&self, app: &App, name: &str) -> Result<Arc<Job>, Error> {
        let job = app.jobs.get(&self.caller.tenant, name).await?;
        if self.has(&job) { Ok(job) } else { Err(Error::no_job(name)) }
    }

    /// The endpoint's jobs that are as asked.
    pub(super) fn jobs(&self, app: &App, asked: impl Fn(&Job) -> bool) -> Vec<Arc<Job>> {
        app.cache.jobs.page(&self.caller.tenant, None, usize::MAX, |job| self.has(job) && asked(job)).jobs
    }
}
