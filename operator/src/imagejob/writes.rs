//! Status writes: one JSON patch that replaces the whole status, only on the version it was worked out from.
//!
//! A stale cache or a deposed leader thus gets a conflict instead of overwriting what is newer. Our own writes
//! come back by the watch a moment later; until then [`Writes::latest`] hands out what we wrote, so a job that
//! changes twice in that moment does not conflict with itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crds::{ImageJob, ImageJobStatus};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};

use super::Error;
use crate::{lock, patch};

/// Progress of a running job is written at most this often; in between it lives in the queue.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// The last writes, by the job's uid; an entry goes when its job ends or is deleted.
#[derive(Default)]
pub(crate) struct Writes(Mutex<HashMap<String, Written>>);

struct Written {
    at: Instant,
    /// What the API server answered, while the watch still shows one of `onto`.
    pending: Option<Pending>,
}

struct Pending {
    onto: Vec<String>,
    job: Arc<ImageJob>,
}

impl Writes {
    /// The job as last written by us, if the cache's version is one we wrote on top of; else the cache's.
    pub(crate) fn latest(&self, cached: Arc<ImageJob>) -> Arc<ImageJob> {
        let (Some(uid), Some(version)) = (cached.uid(), cached.resource_version()) else { return cached };
        let mut writes = lock(&self.0);
        let Some(written) = writes.get_mut(&uid) else { return cached };
        match &written.pending {
            Some(pending) if pending.onto.contains(&version) => Arc::clone(&pending.job),
            Some(_) => {
                written.pending = None;
                cached
            }
            None => cached,
        }
    }

    /// How long until the job's progress may be written again.
    pub(crate) fn wait(&self, job: &ImageJob) -> Duration {
        let writes = lock(&self.0);
        let at = job.uid().and_then(|uid| writes.get(&uid).map(|written| written.at));
        at.map_or(Duration::ZERO, |at| PROGRESS_EVERY.saturating_sub(at.elapsed()))
    }

    /// Replaces the job's status. A conflict means that the job is newer than what we looked at.
    pub(crate) async fn replace(
        &self,
        client: &Client,
        job: &ImageJob,
        status: &ImageJobStatus,
    ) -> Result<Arc<ImageJob>, Error> {
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<ImageJob> = Api::namespaced(client.clone(), namespace);
        let version = job.resource_version().unwrap_or_default();
        let patch = patch::status(Some(version.clone()), status).map_err(Error::Serialize)?;
        let params = PatchParams::default();
        let written = api
            .patch_status(&job.name_any(), &params, &Patch::Json::<()>(patch))
            .await
            .map_err(Error::Api)?;
        Ok(self.remember(version, written))
    }

    /// The watch shows this version: if it is the one we wrote, it need not be kept twice.
    pub(crate) fn caught_up(&self, job: &ImageJob) {
        let Some(uid) = job.uid() else { return };
        if let Some(written) = lock(&self.0).get_mut(&uid)
            && written.pending.as_ref().is_some_and(|p| p.job.resource_version() == job.resource_version())
        {
            written.pending = None;
        }
    }

    /// The job ended or is gone: nothing more will be written.
    pub(crate) fn forget(&self, job: &ImageJob) {
        if let Some(uid) = job.uid() {
            lock(&self.0).remove(&uid);
        }
    }

    fn remember(&self, version: String, mut written: ImageJob) -> Arc<ImageJob> {
        written.managed_fields_mut().clear();
        let uid = written.uid().unwrap_or_default();
        let job = Arc::new(written);
        let mut writes = lock(&self.0);
        let entry = writes.entry(uid).or_insert_with(|| Written { at: Instant::now(), pending: None });
        entry.at = Instant::now();
        let mut onto = entry.pending.take().map(|pending| pending.onto).unwrap_or_default();
        onto.push(version);
        entry.pending = Some(Pending { onto, job: Arc::clone(&job) });
        job
    }
}
