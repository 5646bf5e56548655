//! What callers do with jobs, whatever front they come by. Every job is an ImageJob; nothing is kept beside it.

mod cursor;
mod digest;
mod may;
mod submit;
mod workflow;

use std::{sync::Arc, time::Duration};

use crds::{ImageJob, ImageRecipe, names::ANNOTATION_REQUEST};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, time::timeout};

pub(crate) use cursor::{cursor, place_at};
pub(crate) use submit::{IdempotencyKey, Submission, Submitted};
pub(crate) use workflow::workflow_spec;

use crate::{
    auth::Caller,
    cache::{Cache, Job, JobObject, Request, State, Tenant},
    error::Error,
    limits::Limits,
};

/// For an answer of the cluster's API server to a read or a small write.
const ANSWER: Duration = Duration::from_secs(5);
/// When to try again what the cluster's API server did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Reads of jobs that the cache does not show, at once: more wait.
const READS_AT_ONCE: usize = 16;
/// Jobs that one request changes at once.
const CHANGES_AT_ONCE: usize = 16;

/// The jobs of a cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JobStore {
    client: Client,
    cache: Cache,
    reads: Arc<Semaphore>,
    making: submit::Making,
    limits: Limits,
    /// Of jobs that say nothing of it, seconds.
    ttl: u32,
}

impl JobStore {
    pub(crate) fn new(client: Client, cache: Cache, limits: Limits, ttl: u32) -> Self {
        let reads = Arc::new(Semaphore::new(READS_AT_ONCE));
        Self { client, cache, reads, making: submit::Making::default(), limits, ttl }
    }

    /// The client of the cluster's API server.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The tenant's job of this name. One that the cache does not show is asked for: another replica may have created it a
    /// moment ago.
    ///
    /// # Errors
    /// [`Error::NotFound`] alike for a job that does not exist and for one of another tenant, after the same questions.
    pub(crate) async fn get(&self, tenant: &Tenant, name: &str) -> Result<Arc<Job>, Error> {
        if let Some(job) = self.cache.jobs.get(tenant, name) {
            return Ok(job);
        }
        if !is_job_name(name) {
            return Err(Error::no_job(name));
        }
        let _turn = self.reads.acquire().await;
        let api: Api<JobObject> = Api::namespaced(self.client.clone(), &tenant.spec.namespace);
        let found = match timeout(ANSWER, api.get_opt(name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(away(&error)),
            Err(_) => return Err(away(&"no answer in time")),
        };
        let job = found.map(Job::from).filter(|job| *job.tenant == *tenant.name);
        job.map(Arc::new).ok_or_else(|| Error::no_job(name))
    }

    /// The tenant's job with its work, from the API server.
    pub(crate) async fn whole(&self, tenant: &Tenant, name: &str) -> Result<ImageJob, Error> {
        self.get(tenant, name).await?;
        let api: Api<ImageJob> = Api::namespaced(self.client.clone(), &tenant.spec.namespace);
        match timeout(ANSWER, api.get_opt(name)).await {
            Ok(Ok(found)) => found.ok_or_else(|| Error::no_job(name)),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }

    /// The recipes that a tenant's jobs may use.
    pub(crate) async fn recipes(&self, tenant: &Tenant) -> Result<Vec<ImageRecipe>, Error> {
        let api: Api<ImageRecipe> = Api::namespaced(self.client.clone(), &tenant.spec.namespace);
        let listed = timeout(ANSWER, api.list(&ListParams::default())).await;
        let listed = listed.map_err(|_| away(&"no answer in time"))?.map_err(|error| away(&error))?;
        let mut recipes = listed.items;
        recipes.retain(|recipe| tenant.may_use_recipe(&recipe.name_any()));
        Ok(recipes)
    }

    /// Whether the caller may change something now.
    async fn may_change(&self, caller: &Caller) -> Result<(), Error> {
        caller.may_write()?;
        self.limits.admit(caller, None).await.map(drop)
    }

    /// Cancels a job; one that has ended stays as it is.
    pub(crate) async fn cancel(&self, caller: &Caller, name: &str) -> Result<Arc<Job>, Error> {
        self.may_change(caller).await?;
        let job = self.get(&caller.tenant, name).await?;
        match job.state() {
            state if state.is_final() => Ok(job),
            State::Cancelling => Ok(job),
            _ => self.change(&job, json!({ "cancel": true })).await,
        }
    }

    /// Cancels all of these jobs that have not ended, as one request; returns how many were.
    pub(crate) async fn cancel_all(&self, caller: &Caller, jobs: Vec<Arc<Job>>) -> Result<usize, Error> {
        self.may_change(caller).await?;
        let open = jobs.into_iter().filter(|job| !job.state().is_final() && job.state() != State::Cancelling);
        let cancelled = stream::iter(open)
            .map(async |job| match self.change(&job, json!({ "cancel": true })).await {
                Ok(_) => Ok(1),
                Err(Error::NotFound { .. }) => Ok(0),
                Err(error) => Err(error),
            })
            .buffer_unordered(CHANGES_AT_ONCE);
        cancelled.try_fold(0, async |all, one| Ok(all + one)).await
    }

    /// Keeps a job's images from being started, or lets them.
    pub(crate) async fn suspend(
        &self,
        caller: &Caller,
        name: &str,
        suspend: bool,
    ) -> Result<Arc<Job>, Error> {
        self.may_change(caller).await?;
        let job = self.get(&caller.tenant, name).await?;
        if job.state().is_final() {
            return Ok(job);
        }
        self.change(&job, json!({ "suspend": suspend })).await
    }

    /// Deletes a job; its images stay in the bucket.
    pub(crate) async fn delete(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        self.may_change(caller).await?;
        let job = self.get(&caller.tenant, name).await?;
        let api: Api<ImageJob> = Api::namespaced(self.client.clone(), &job.namespace);
        let same = Preconditions { uid: Some(job.uid.clone()), ..Preconditions::default() };
        let how = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match timeout(ANSWER, api.delete(name, &how)).await {
            Ok(Ok(_)) => {}
            // Gone, or another job of that name by now.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {}
            Ok(Err(error)) => return Err(away(&error)),
            Err(_) => return Err(away(&"no answer in time")),
        }
        self.cache.jobs.remove(&job.key(), &job.uid);
        Ok(())
    }

    /// Replaces what the front keeps of a job.
    pub(crate) async fn keep(
        &self,
        caller: &Caller,
        job: &Job,
        kept: Map<String, Value>,
    ) -> Result<Arc<Job>, Error> {
        caller.may_write()?;
        let request = Request { front: kept, ..job.request.clone() };
        let request = serde_json::to_string(&request).map_err(|error| Error::Internal(error.to_string()))?;
        self.patch(job, json!({ "metadata": { "annotations": { ANNOTATION_REQUEST: request } } })).await
    }

    async fn change(&self, job: &Job, spec: Value) -> Result<Arc<Job>, Error> {
        self.patch(job, json!({ "metadata": {}, "spec": spec })).await
    }

    async fn patch(&self, job: &Job, mut patch: Value) -> Result<Arc<Job>, Error> {
        let api: Api<JobObject> = Api::namespaced(self.client.clone(), &job.namespace);
        patch["metadata"]["uid"] = json!(job.uid);
        let patch = Patch::Merge(patch);
        match timeout(ANSWER, api.patch(&job.name, &PatchParams::default(), &patch)).await {
            Ok(Ok(changed)) => Ok(self.cache.jobs.put_answer(changed.into())),
            // A patch that names another uid conflicts.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Err(Error::no_job(&job.name))
            }
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }
}

/// Whether a job was created with the caller's key.
pub(crate) fn is_of_key(job: &Job, caller: &Caller) -> bool {
    let Caller { tenant, key, .. } = caller;
    job.namespace == tenant.spec.namespace
        && *job.tenant == *tenant.name
        && job.key.as_deref() == Some(key.label())
}

/// The cluster's API server does not do what it is asked.
fn away(error: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%error, "the cluster's API server does not answer as it should");
    Error::Unavailable {
        what: "the cluster's API server does not answer".to_owned(),
        retry_after: RETRY_AFTER,
    }
}

/// Whether a job may have this name at all.
fn is_job_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (1..=63).contains(&name.len()) && name.chars().all(inside)
}
