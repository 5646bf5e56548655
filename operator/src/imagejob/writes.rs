//! Status writes: one JSON patch that replaces the whole status, only on the version it was worked out from.
//!
//! A stale cache or a deposed leader thus gets a conflict instead of overwriting what is newer. Our own writes
//! come back by the watch a moment later; until then [`Writes::latest`] hands out what we wrote, so a job that
//! changes twice in that moment does not conflict with itself.
//!
//! Few are sent at once, and none while Pods are created. A burst of jobs is on the queue long before the API server has
//! taken all their statuses, and the Pods it needs must not wait behind them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crds::{ImageJob, ImageJobStatus};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};

use queue::JobUid;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{
    Error,
    decide::ended,
    validate::{namespace, uid},
};
use crate::{context::Context, lock, patch};

/// Progress of a running job is written at most this often; in between it lives in the queue.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Status writes under way at once.
const AT_ONCE: usize = 16;

/// Status writes wait this long at most for Pods that are being created, however slow their admission.
const PODS_FIRST: Duration = Duration::from_millis(500);

pub(crate) struct Writes {
    /// The last writes; an entry goes when the watch shows that its job ended or was deleted.
    last: Mutex<HashMap<JobUid, Written>>,
    turns: Semaphore,
    /// Until then Pods go first.
    pods_first: watch::Sender<Instant>,
}

impl Default for Writes {
    fn default() -> Self {
        let pods_first = watch::Sender::new(Instant::now());
        Self { last: Mutex::default(), turns: Semaphore::new(AT_ONCE), pods_first }
    }
}

/// As long as it is kept, but no longer than [`PODS_FIRST`], no status write is begun. Of several the first to go ends it.
pub(crate) struct PodsFirst<'a>(&'a Writes);

impl Drop for PodsFirst<'_> {
    fn drop(&mut self) {
        self.0.pods_first.send_replace(Instant::now());
    }
}

struct Written {
    at: Instant,
    /// What the API server answered, while the watch still shows one of `onto`.
    pending: Option<Pending>,
}

struct Pending {
    onto: Vec<String>,
    job: Arc<ImageJob>,
}

impl Pending {
    /// Versions are opaque, so ours is ahead of those it was written on top of, and of no other we know.
    fn is_ahead_of(&self, job: &ImageJob) -> bool {
        job.metadata.resource_version.as_ref().is_some_and(|version| self.onto.contains(version))
    }
}

impl Writes {
    /// The job as last written by us, if the cache's version is one we wrote on top of; else the cache's.
    pub(crate) fn latest(&self, cached: Arc<ImageJob>) -> Arc<ImageJob> {
        let mut writes = lock(&self.last);
        let Some(written) = writes.get_mut(&uid(&cached)) else { return cached };
        match &written.pending {
            Some(pending) if pending.is_ahead_of(&cached) => Arc::clone(&pending.job),
            Some(_) => {
                written.pending = None;
                cached
            }
            None => cached,
        }
    }

    /// How long until the job's progress may be written again.
    pub(crate) fn wait(&self, job: &ImageJob) -> Duration {
        let writes = lock(&self.last);
        let at = writes.get(&uid(job)).map(|written| written.at);
        at.map_or(Duration::ZERO, |at| PROGRESS_EVERY.saturating_sub(at.elapsed()))
    }

    /// Replaces the job's status. A conflict means that the job is newer than what we looked at.
    pub(crate) async fn replace(
        &self,
        context: &Context,
        job: &ImageJob,
        status: &ImageJobStatus,
    ) -> Result<Arc<ImageJob>, Error> {
        let patch = patch::status(job.resource_version(), status).map_err(Error::Serialize)?;
        self.send(context, job, patch).await
    }

    /// Says that an ended job's spec was seen. The cache keeps its status only in part, so no more is written.
    pub(crate) async fn acknowledge(
        &self,
        context: &Context,
        job: &ImageJob,
        observed: &patch::Observed,
    ) -> Result<Arc<ImageJob>, Error> {
        let patch = patch::observed(job.resource_version(), observed).map_err(Error::Serialize)?;
        self.send(context, job, patch).await
    }

    async fn send(
        &self,
        context: &Context,
        job: &ImageJob,
        patch: json_patch::Patch,
    ) -> Result<Arc<ImageJob>, Error> {
        let api: Api<ImageJob> = Api::namespaced(context.client.clone(), namespace(job));
        let patch = Patch::Json::<()>(patch);
        // Never closed, so there is always a turn.
        let _turn = self.turns.acquire().await;
        self.wait_for_pods().await;
        let written = api.patch_status(&job.name_any(), &PatchParams::default(), &patch).await;
        let version = job.resource_version().unwrap_or_default();
        let shown = || context.seen.jobs.get(&ObjectRef::from_obj(job));
        Ok(self.remember(version, written.map_err(Error::Api)?, shown))
    }

    /// Has status writes wait for Pods.
    pub(crate) fn pods_first(&self) -> PodsFirst<'_> {
        self.pods_first.send_replace(Instant::now() + PODS_FIRST);
        PodsFirst(self)
    }

    /// Other Pods that are created meanwhile do not prolong the wait.
    async fn wait_for_pods(&self) {
        let mut until = self.pods_first.subscribe();
        let at = *until.borrow();
        let created = until.wait_for(|until| *until <= Instant::now());
        // However it ends, the write is due.
        let _ = timeout_at(at, created).await;
    }

    /// The watch shows this version: what led up to it need not be kept, nor anything of a job that ended.
    ///
    /// Until then even an ended job is kept: a stale cache would show it unfinished, and it would be queued again.
    pub(crate) fn caught_up(&self, job: &ImageJob) {
        let mut writes = lock(&self.last);
        let Some(written) = writes.get_mut(&uid(job)) else { return };
        if written.pending.as_ref().is_some_and(|pending| pending.is_ahead_of(job)) {
            return;
        }
        written.pending = None;
        if ended(job) {
            writes.remove(&uid(job));
        }
    }

    /// The job is gone.
    pub(crate) fn forget(&self, job: &ImageJob) {
        lock(&self.last).remove(&uid(job));
    }

    /// Forgets all jobs but these: a deletion during a gap in the watch is not told.
    pub(crate) fn keep(&self, there: impl Fn(&JobUid) -> bool) {
        lock(&self.last).retain(|uid, _| there(uid));
    }

    /// Keeps what was written until the watch shows it, which it may by now: then there is nothing to wait for.
    fn remember(
        &self,
        version: String,
        mut written: ImageJob,
        shown: impl FnOnce() -> Option<Arc<ImageJob>>,
    ) -> Arc<ImageJob> {
        written.managed_fields_mut().clear();
        let job = Arc::new(written);
        let mut writes = lock(&self.last);
        let entry = writes.entry(uid(&job)).or_insert_with(|| Written { at: Instant::now(), pending: None });
        entry.at = Instant::now();
        let mut onto = entry.pending.take().map(|pending| pending.onto).unwrap_or_default();
        onto.push(version);
        let pending = Pending { onto, job: Arc::clone(&job) };
        // Asked for under the lock, so that `caught_up` comes after it if the watch does.
        match shown() {
            Some(shown) if !pending.is_ahead_of(&shown) => {
                if ended(&shown) {
                    writes.remove(&uid(&job));
                }
            }
            _ => entry.pending = Some(pending),
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::sleep_until;

    use super::*;
    use crate::fixtures::job_with;

    fn version(version: &str) -> ImageJob {
        job_with(json!({"metadata": {"resourceVersion": version}}))
    }

    fn ended(version: &str) -> ImageJob {
        let complete = json!({"type": "Complete", "status": "True", "reason": "Completed", "message": "",
                              "lastTransitionTime": crate::fixtures::CREATED});
        job_with(json!({"metadata": {"resourceVersion": version}, "status": {"conditions": [complete]}}))
    }

    /// Written onto what the watch still shows.
    fn write(writes: &Writes, onto: &str, written: ImageJob) -> Arc<ImageJob> {
        writes.remember(onto.into(), written, || Some(Arc::new(version(onto))))
    }

    fn latest(writes: &Writes, cached: &str) -> Option<String> {
        writes.latest(Arc::new(version(cached))).resource_version()
    }

    #[tokio::test(start_paused = true)]
    async fn status_writes_wait_for_pods_but_not_for_ever() {
        let writes = Writes::default();
        let begun = Instant::now();
        writes.wait_for_pods().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "no Pods");
        let pods = writes.pods_first();
        let created = async {
            sleep_until(begun + PODS_FIRST / 4).await;
            drop(pods);
        };
        tokio::join!(writes.wait_for_pods(), created);
        assert!(begun.elapsed() < PODS_FIRST / 2, "{:?}", begun.elapsed());
        let (_slow, begun) = (writes.pods_first(), Instant::now());
        let more = async {
            sleep_until(begun + PODS_FIRST / 2).await;
            writes.pods_first()
        };
        let ((), _more) = tokio::join!(writes.wait_for_pods(), more);
        assert!(begun.elapsed() >= PODS_FIRST, "{:?}", begun.elapsed());
        assert!(begun.elapsed() < PODS_FIRST * 5 / 4, "{:?}", begun.elapsed());
    }

    #[test]
    fn until_the_watch_shows_our_writes_the_last_of_them_counts() {
        let writes = Writes::default();
        assert_eq!(latest(&writes, "1").as_deref(), Some("1"));
        write(&writes, "1", version("2"));
        write(&writes, "2", version("3"));
        for stale in ["1", "2"] {
            assert_eq!(latest(&writes, stale).as_deref(), Some("3"), "the cache shows {stale}");
            writes.caught_up(&version(stale));
        }
        assert_eq!(latest(&writes, "3").as_deref(), Some("3"));
        assert_eq!(latest(&writes, "4").as_deref(), Some("4"), "somebody else's write");
        writes.caught_up(&version("4"));
        assert_eq!(latest(&writes, "1").as_deref(), Some("1"), "nothing is kept once the watch is ahead");
    }

    #[test]
    fn a_job_that_ended_stays_ended_until_the_watch_says_so_and_then_costs_no_memory() {
        let writes = Writes::default();
        write(&writes, "1", version("2"));
        let written = write(&writes, "2", ended("3"));
        for stale in ["1", "2"] {
            writes.caught_up(&version(stale));
            let latest = writes.latest(Arc::new(version(stale)));
            assert!(Arc::ptr_eq(&latest, &written), "a stale cache would have it queued again");
        }
        writes.caught_up(&ended("3"));
        assert_eq!(lock(&writes.last).len(), 0);
    }

    #[test]
    fn an_ended_job_that_somebody_else_changed_at_once_is_forgotten_too() {
        let writes = Writes::default();
        write(&writes, "1", ended("2"));
        writes.caught_up(&ended("5"));
        assert_eq!(lock(&writes.last).len(), 0);
    }

    #[test]
    fn what_the_watch_shows_before_the_answer_comes_is_not_kept() {
        let writes = Writes::default();
        writes.remember("1".into(), version("2"), || Some(Arc::new(version("2"))));
        assert!(lock(&writes.last).values().all(|written| written.pending.is_none()));
        writes.remember("2".into(), ended("3"), || Some(Arc::new(ended("3"))));
        assert_eq!(lock(&writes.last).len(), 0);
    }

    #[test]
    fn progress_waits_its_turn_and_a_first_write_does_not() {
        let writes = Writes::default();
        assert_eq!(writes.wait(&version("1")), Duration::ZERO);
        write(&writes, "1", version("2"));
        let wait = writes.wait(&version("2"));
        assert!(wait > Duration::ZERO && wait <= PROGRESS_EVERY, "{wait:?}");
    }

    #[test]
    fn what_went_unseen_is_forgotten() {
        let writes = Writes::default();
        write(&writes, "1", version("2"));
        writes.keep(|_| true);
        assert_eq!(lock(&writes.last).len(), 1);
        writes.keep(|_| false);
        assert_eq!(lock(&writes.last).len(), 0);
    }
}
