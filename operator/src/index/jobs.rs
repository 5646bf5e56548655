//! Every ImageJob, as a record; and which of them somebody has to look at.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use crds::JobOutput;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::{
    EndedJob, JobRecord, PoolKey, Told, Uid,
    intern::Names,
    job::{Incomplete, Job},
    wire::JobObject,
};
use crate::lock;

/// Specs of jobs that are not accepted yet take so many bytes at most; those beyond it are asked for again.
const TEXT_BYTES: usize = 16 * 1024 * 1024;

/// Why somebody has to look at a job. The later outweighs the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// An image of it is made or begun: worth a look now and then.
    Progress,
    /// It takes a turn that its user waits for.
    Turn,
    /// Its pool is another one than before.
    Pool,
    /// It is new, or its spec is.
    Spec,
}

/// What somebody has to look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Job(Uid, Why),
    /// The API server says that it was deleted. The pool is the one that may have it on its queue.
    Deleted(Uid, Option<PoolKey>),
    /// A new list does not show it: it was deleted while nobody watched, or so it seems.
    Missing {
        uid: Uid,
        namespace: Arc<str>,
        name: Box<str>,
        pool: Option<PoolKey>,
    },
    /// A new list is complete.
    Listed,
}

/// Every job that is there.
#[derive(Default)]
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<Uid, Job>,
    live: usize,
    /// Jobs that have not ended, by the pool that accepted them or that they name.
    of_pool: HashMap<PoolKey, HashSet<Uid>>,
    /// Jobs that have not ended and have no pool.
    unassigned: HashSet<Uid>,
    texts: HashMap<Uid, Box<RawValue>>,
    text_bytes: usize,
    /// When ended jobs are to be deleted.
    expiries: BTreeSet<(Timestamp, Uid)>,
    /// What a list has shown so far.
    listed: HashSet<Uid>,
    marked: HashMap<Uid, Why>,
    changes: VecDeque<Change>,
    names: Names,
}

impl Jobs {
    /// Waits until there is a change to take.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes up to `max` changes, the oldest first.
    pub(crate) fn take(&self, max: usize) -> Vec<Change> {
        let mut inner = lock(&self.inner);
        let n = inner.changes.len().min(max);
        let mut taken: Vec<Change> = inner.changes.drain(..n).collect();
        for change in &mut taken {
            if let Change::Job(uid, why) = change {
                *why = inner.marked.remove(uid).unwrap_or(*why);
            }
        }
        if !inner.changes.is_empty() {
            self.changed.notify_one();
        }
        taken
    }

    /// A job was seen.
    pub(super) fn apply(&self, object: JobObject) -> Result<(), Incomplete> {
        let mut inner = lock(&self.inner);
        let (uid, job) = Job::read(&object, &mut inner.names)?;
        if inner.jobs.get(&uid).is_some_and(|known| known.version() > job.version()) {
            return Ok(()); // older than what was written since
        }
        let why = inner.put(uid, job, object.text);
        if let Some(why) = why {
            inner.mark(uid, why);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// A job is there as the API server shows it.
    #[cfg(test)]
    pub(crate) fn see(&self, job: &crds::ImageJob) {
        self.apply(serde_json::from_str(&serde_json::to_string(job).unwrap()).unwrap()).unwrap();
    }

    /// The API server says that a job is gone.
    #[cfg(test)]
    pub(crate) fn see_deleted(&self, uid: Uid) {
        self.delete(uid);
    }

    /// A list begins.
    pub(super) fn begin_list(&self) {
        lock(&self.inner).listed.clear();
    }

    /// The list shows this job.
    pub(super) fn listed(&self, uid: Uid) {
        lock(&self.inner).listed.insert(uid);
    }

    /// A list has shown all there is.
    pub(super) fn end_list(&self) {
        let mut inner = lock(&self.inner);
        let listed = std::mem::take(&mut inner.listed);
        let missing = inner.jobs.iter().filter(|(uid, _)| !listed.contains(uid)).map(|(uid, job)| {
            let (namespace, name) = job.place();
            let pool = match job {
                Job::Live(record) => record.pool().cloned(),
                Job::Ended(_) => None,
            };
            Change::Missing { uid: *uid, namespace: Arc::clone(namespace), name: name.into(), pool }
        });
        let missing: Vec<Change> = missing.collect();
        inner.changes.extend(missing);
        inner.changes.push_back(Change::Listed);
        self.changed.notify_one();
    }

    /// The API server says that a job is gone.
    pub(super) fn delete(&self, uid: Uid) {
        let mut inner = lock(&self.inner);
        let pool = match inner.remove(uid) {
            Some(Job::Live(record)) => record.pool().cloned(),
            // Its name on the queue went with its end.
            Some(Job::Ended(_)) | None => return,
        };
        inner.changes.push_back(Change::Deleted(uid, pool));
        self.changed.notify_one();
    }

    /// Somebody has to look at a job; of one that has ended or is not there nothing happens.
    pub(crate) fn mark(&self, uid: Uid, why: Why) {
        let mut inner = lock(&self.inner);
        if matches!(inner.jobs.get(&uid), Some(Job::Live(_))) {
            inner.mark(uid, why);
            self.changed.notify_one();
        }
    }

    /// Somebody has to look at every job of a pool.
    pub(crate) fn mark_pool(&self, key: &PoolKey, why: Why) {
        let mut inner = lock(&self.inner);
        let of_pool: Vec<Uid> = inner.of_pool.get(key).into_iter().flatten().copied().collect();
        inner.mark_all(of_pool, why);
        self.changed.notify_one();
    }

    /// Somebody has to look at every job without a pool.
    pub(crate) fn mark_unassigned(&self) {
        let mut inner = lock(&self.inner);
        let unassigned: Vec<Uid> = inner.unassigned.iter().copied().collect();
        inner.mark_all(unassigned, Why::Pool);
        self.changed.notify_one();
    }

    /// Somebody has to look at every job that has not ended.
    pub(crate) fn mark_live(&self) {
        let mut inner = lock(&self.inner);
        let live = inner.jobs.iter().filter(|(_, job)| matches!(job, Job::Live(_)));
        let live: Vec<Uid> = live.map(|(uid, _)| *uid).collect();
        inner.mark_all(live, Why::Turn);
        self.changed.notify_one();
    }

    /// A job that has not ended.
    pub(crate) fn live(&self, uid: Uid) -> Option<JobRecord> {
        match lock(&self.inner).jobs.get(&uid)? {
            Job::Live(record) => Some((**record).clone()),
            Job::Ended(_) => None,
        }
    }

    /// A job that has ended.
    pub(crate) fn ended(&self, uid: Uid) -> Option<EndedJob> {
        match lock(&self.inner).jobs.get(&uid)? {
            Job::Live(_) => None,
            Job::Ended(ended) => Some(ended.clone()),
        }
    }

    /// How a job stands with its queue: whether it is there, and has not ended.
    pub(crate) fn standing(&self, uid: Uid) -> Standing {
        match lock(&self.inner).jobs.get(&uid) {
            Some(Job::Live(_)) => Standing::Live,
            Some(Job::Ended(_)) => Standing::Ended,
            None => Standing::Unknown,
        }
    }

    /// The jobs of a pool that have not ended.
    pub(crate) fn of_pool(&self, key: &PoolKey) -> Vec<Uid> {
        lock(&self.inner).of_pool.get(key).into_iter().flatten().copied().collect()
    }

    /// Looks at every job of a pool that has not ended, under the lock: briefly.
    pub(crate) fn each_of_pool(&self, key: &PoolKey, mut look: impl FnMut(&JobRecord)) {
        let inner = lock(&self.inner);
        for uid in inner.of_pool.get(key).into_iter().flatten() {
            if let Some(Job::Live(record)) = inner.jobs.get(uid) {
                look(record);
            }
        }
    }

    /// The spec of a job that is not accepted yet, if it is at hand. It stays until the job is accepted.
    pub(crate) fn text(&self, uid: Uid) -> Option<Box<RawValue>> {
        lock(&self.inner).texts.get(&uid).cloned()
    }

    /// The job is on its queue: its work need not be kept.
    pub(crate) fn drop_text(&self, uid: Uid) {
        lock(&self.inner).drop_text(uid);
    }

    /// What a status says that was just written as this version, or is to be written (the version then stays).
    pub(crate) fn tell(&self, uid: Uid, version: Option<u64>, told: Told) {
        let mut inner = lock(&self.inner);
        let Some(Job::Live(record)) = inner.jobs.get_mut(&uid) else { return };
        let before = record.pool().cloned();
        if let Some(version) = version {
            if version < record.version {
                return; // the watch shows something newer already
            }
            record.version = version;
        }
        record.told = told;
        let now = record.pool().cloned();
        inner.assign(uid, before.as_ref(), now);
    }

    /// A status was written as this version that ends the job.
    pub(crate) fn end(&self, uid: Uid, version: u64, ended: Timestamp) {
        let mut inner = lock(&self.inner);
        let Some(Job::Live(record)) = inner.jobs.get(&uid) else { return };
        let ended = EndedJob {
            namespace: Arc::clone(&record.namespace),
            name: record.name.clone(),
            version: version.max(record.version),
            generation: record.generation,
            observed: record.generation,
            ended,
            ttl_seconds: record.spec.ttl_seconds,
        };
        inner.put(uid, Job::Ended(ended), None);
    }

    /// The status of an ended job speaks of this generation now.
    pub(crate) fn acknowledged(&self, uid: Uid, version: u64, observed: Option<i64>) {
        if let Some(Job::Ended(ended)) = lock(&self.inner).jobs.get_mut(&uid) {
            ended.version = ended.version.max(version);
            ended.observed = observed;
        }
    }

    /// Removes a job that is surely gone.
    pub(crate) fn forget(&self, uid: Uid) {
        lock(&self.inner).remove(uid);
    }

    /// Takes the ended jobs whose time to live is over; and when the next one's is.
    pub(crate) fn take_expired(&self, now: Timestamp) -> (Vec<Uid>, Option<Duration>) {
        let mut inner = lock(&self.inner);
        let mut expired = Vec::new();
        while let Some((at, uid)) = inner.expiries.first().copied() {
            if at > now {
                let wait = at.duration_since(now);
                return (expired, Some(Duration::try_from(wait).unwrap_or_default()));
            }
            inner.expiries.pop_first();
            expired.push(uid);
        }
        (expired, None)
    }

    /// Deletes an ended job again later, by its time to live or then.
    pub(crate) fn expire_at(&self, uid: Uid, at: Timestamp) {
        lock(&self.inner).expiries.insert((at, uid));
    }

    /// One copy of a name.
    pub(crate) fn intern(&self, name: &str) -> Arc<str> {
        lock(&self.inner).names.get(name)
    }

    /// One copy of an output.
    pub(crate) fn intern_output(&self, output: &JobOutput) -> Arc<JobOutput> {
        lock(&self.inner).names.output(output)
    }
}

/// How a job stands with its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    Ended,
    /// The watch has not shown it (yet).
    Unknown,
}

impl Inner {
    /// Keeps what is known of a job now; why somebody has to look at it, if so.
    fn put(&mut self, uid: Uid, mut job: Job, text: Option<Box<RawValue>>) -> Option<Why> {
        let before = self.remove(uid);
        let mut why = None;
        match &mut job {
            Job::Live(record) => {
                let known = match &before {
                    Some(Job::Live(known)) => Some(known),
                    Some(Job::Ended(_)) | None => None,
                };
                // What was written comes back; or it was accepted, and its status is still to be written.
                let unwritten = |known: &JobRecord| known.told.terms.is_some() && record.told.terms.is_none();
                if let Some(known) = known
                    && (known.version == record.version || unwritten(known))
                {
                    record.told = known.told.clone();
                }
                if known.is_none_or(|known| known.generation != record.generation || record.deleting) {
                    why = Some(Why::Spec);
                }
                self.live += 1;
                self.assign(uid, None, record.pool().cloned());
                if let Some(text) = text.filter(|_| record.told.terms.is_none()) {
                    self.keep_text(uid, text);
                }
            }
            Job::Ended(ended) => {
                if let Some(ttl) = ended.ttl_seconds {
                    let at = ended.ended.saturating_add(SignedDuration::from_secs(i64::from(ttl)));
                    self.expiries.insert((at.unwrap_or(ended.ended), uid));
                    why = Some(Why::Spec);
                }
                if ended.observed != ended.generation {
                    why = Some(Why::Spec);
                }
            }
        }
        self.jobs.insert(uid, job);
        why
    }

    fn remove(&mut self, uid: Uid) -> Option<Job> {
        self.drop_text(uid);
        let job = self.jobs.remove(&uid)?;
        match &job {
            Job::Live(record) => {
                self.live -= 1;
                let pool = record.pool().cloned();
                self.unassign(uid, pool.as_ref());
            }
            Job::Ended(ended) => {
                if let Some(ttl) = ended.ttl_seconds {
                    let at = ended.ended.saturating_add(SignedDuration::from_secs(i64::from(ttl)));
                    self.expiries.remove(&(at.unwrap_or(ended.ended), uid));
                }
            }
        }
        Some(job)
    }

    fn assign(&mut self, uid: Uid, before: Option<&PoolKey>, now: Option<PoolKey>) {
        self.unassign(uid, before);
        match now {
            Some(pool) => self.of_pool.entry(pool).or_default().insert(uid),
            None => self.unassigned.insert(uid),
        };
    }

    fn unassign(&mut self, uid: Uid, pool: Option<&PoolKey>) {
        self.unassigned.remove(&uid);
        let Some(pool) = pool else { return };
        if let Some(jobs) = self.of_pool.get_mut(pool) {
            jobs.remove(&uid);
            if jobs.is_empty() {
                self.of_pool.remove(pool);
            }
        }
    }

    fn keep_text(&mut self, uid: Uid, text: Box<RawValue>) {
        if self.text_bytes + text.get().len() <= TEXT_BYTES {
            self.text_bytes += text.get().len();
            self.texts.insert(uid, text);
        }
    }

    fn drop_text(&mut self, uid: Uid) {
        if let Some(text) = self.texts.remove(&uid) {
            self.text_bytes -= text.get().len();
        }
    }

    fn mark_all(&mut self, uids: Vec<Uid>, why: Why) {
        for uid in uids {
            self.mark(uid, why);
        }
    }

    fn mark(&mut self, uid: Uid, why: Why) {
        match self.marked.get_mut(&uid) {
            Some(known) => *known = why.max(*known),
            None => {
                self.marked.insert(uid, why);
                self.changes.push_back(Change::Job(uid, why));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{CREATED, job_with};

    const A: &str = "aaaaaaaa-0000-4000-8000-000000000000";
    const B: &str = "bbbbbbbb-0000-4000-8000-000000000000";

    fn object(uid: &str, version: u64, change: Value) -> JobObject {
        let mut value = serde_json::to_value(job_with(change)).unwrap();
        value["metadata"]["uid"] = uid.into();
        value["metadata"]["resourceVersion"] = version.to_string().into();
        serde_json::from_str(&value.to_string()).unwrap()
    }

    fn apply(jobs: &Jobs, uid: &str, version: u64, change: Value) {
        jobs.apply(object(uid, version, change)).unwrap();
    }

    fn uid(text: &str) -> Uid {
        text.parse().unwrap()
    }

    fn complete() -> Value {
        json!({"status": {"completionTime": CREATED, "observedGeneration": 1, "conditions": [
            {"type": "Complete", "status": "True", "reason": "Completed", "message": "",
             "lastTransitionTime": CREATED}]}})
    }

    #[test]
    fn a_new_job_and_a_new_spec_are_changes_and_a_new_status_is_none() {
        let jobs = Jobs::default();
        apply(&jobs, A, 1, json!({}));
        assert_eq!(jobs.take(9), [Change::Job(uid(A), Why::Spec)]);
        apply(&jobs, A, 2, json!({"status": {"pool": "sd15"}}));
        assert_eq!(jobs.take(9), []);
        apply(&jobs, A, 3, json!({"metadata": {"generation": 2}, "spec": {"suspend": true}}));
        assert_eq!(jobs.take(9), [Change::Job(uid(A), Why::Spec)]);
    }

    #[test]
    fn a_job_is_one_change_however_often_it_is_marked() {
        let jobs = Jobs::default();
        apply(&jobs, A, 1, json!({}));
        apply(&jobs, B, 1, json!({"spec": {"poolRef": {"name": "sd15"}}}));
        jobs.take(9);
        jobs.mark(uid(A), Why::Progress);
        jobs.mark_pool(&PoolKey::new("studio", "sd15"), Why::Pool);
        jobs.mark(uid(A), Why::Turn);
        jobs.mark(uid(A), Why::Progress);
        assert_eq!(jobs.take(1), [Change::Job(uid(A), Why::Turn)]);
        assert_eq!(jobs.take(9), [Change::Job(uid(B), Why::Pool)]);
    }

    #[test]
    fn what_the_watch_shows_late_does_not_undo_what_was_written_since() {
        let jobs = Jobs::default();
        apply(&jobs, A, 1, json!({}));
        let told = Told { message: "written".into(), ..Told::default() };
        jobs.tell(uid(A), Some(3), told);
        apply(&jobs, A, 2, json!({"metadata": {"generation": 1}}));
        assert_eq!(&*jobs.live(uid(A)).unwrap().told.message, "written");
        jobs.end(uid(A), 5, crate::fixtures::at(0));
        apply(&jobs, A, 4, json!({}));
        assert!(jobs.live(uid(A)).is_none(), "a job that ended stays ended");
        assert_eq!(jobs.ended(uid(A)).unwrap().version, 5);
    }

    #[test]
    fn jobs_that_a_list_does_not_show_are_missing_and_stay_until_it_is_sure() {
        let jobs = Jobs::default();
        apply(&jobs, A, 1, json!({"spec": {"poolRef": {"name": "sd15"}}}));
        apply(&jobs, B, 1, json!({}));
        jobs.take(9);
        jobs.begin_list();
        jobs.listed(uid(B));
        apply(&jobs, B, 1, json!({}));
        jobs.end_list();
        let pool = Some(PoolKey::new("studio", "sd15"));
        let missing =
            Change::Missing { uid: uid(A), namespace: "studio".into(), name: "lighthouse".into(), pool };
        assert_eq!(jobs.take(9), [missing, Change::Listed]);
        assert_eq!(jobs.standing(uid(A)), Standing::Live);
    }

    #[test]
    fn a_deleted_job_is_told_with_the_pool_that_may_have_it_queued() {
        let jobs = Jobs::default();
        apply(&jobs, A, 1, json!({"status": {"pool": "shared/sdxl"}}));
        apply(&jobs, B, 1, complete());
        jobs.take(9);
        jobs.delete(uid(A));
        jobs.delete(uid(B));
        assert_eq!(jobs.take(9), [Change::Deleted(uid(A), Some(PoolKey::new("shared", "sdxl")))]);
        assert_eq!(jobs.of_pool(&PoolKey::new("shared", "sdxl")), []);
    }

    #[test]
    fn ended_jobs_are_told_when_their_time_to_live_is_over() {
        let jobs = Jobs::default();
        let mut ended = complete();
        ended["spec"] = json!({"ttlSecondsAfterFinished": 60});
        apply(&jobs, A, 1, ended);
        let (expired, next) = jobs.take_expired(crate::fixtures::at(20));
        assert_eq!((expired, next), (vec![], Some(Duration::from_secs(40))));
        assert_eq!(jobs.take_expired(crate::fixtures::at(60)), (vec![uid(A)], None));
    }

    #[test]
    fn specs_are_kept_within_a_bound_and_until_the_job_is_accepted() {
        let jobs = Jobs::default();
        let long = "x".repeat(TEXT_BYTES / 2);
        apply(&jobs, A, 1, json!({"spec": {"textToImage": {"prompt": long}}}));
        apply(&jobs, B, 1, json!({"spec": {"textToImage": {"prompt": long}}}));
        assert!(jobs.text(uid(A)).is_some() && jobs.text(uid(B)).is_none());
        apply(&jobs, A, 2, json!({"status": {"pool": "sd15"}}));
        assert!(jobs.text(uid(A)).is_none());
        apply(&jobs, B, 2, json!({"spec": {"textToImage": {"prompt": long}}}));
        assert!(jobs.text(uid(B)).is_some());
    }
}
