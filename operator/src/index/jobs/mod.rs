//! Every ImageJob, as a record; and which of them somebody has to look at.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
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

mod changes;
mod texts;

use changes::Changes;
pub(crate) use changes::{Change, Why};
use texts::Texts;

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
    texts: Texts,
    /// When ended jobs are to be deleted.
    expiries: BTreeSet<(Timestamp, Uid)>,
    /// What a list has shown so far.
    listed: HashSet<Uid>,
    changes: Changes,
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
        let taken = inner.changes.take(max);
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
            inner.changes.mark(uid, why);
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
        missing.into_iter().for_each(|change| inner.changes.push(change));
        inner.changes.push(Change::Listed);
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
        inner.changes.push(Change::Deleted(uid, pool));
        self.changed.notify_one();
    }

    /// Somebody has to look at a job; of one that has ended or is not there nothing happens.
    pub(crate) fn mark(&self, uid: Uid, why: Why) {
        let mut inner = lock(&self.inner);
        if matches!(inner.jobs.get(&uid), Some(Job::Live(_))) {
            inner.changes.mark(uid, why);
            self.changed.notify_one();
        }
    }

    /// Somebody has to look at every job of a pool.
    pub(crate) fn mark_pool(&self, key: &PoolKey, why: Why) {
        let mut inner = lock(&self.inner);
        let of_pool: Vec<Uid> = inner.of_pool.get(key).into_iter().flatten().copied().collect();
        inner.changes.mark_all(of_pool, why);
        self.changed.notify_one();
    }

    /// Something changed about a pool: its jobs, and those that wait for a pool, may go on by it.
    pub(crate) fn pool_changed(&self, key: &PoolKey) {
        self.mark_pool(key, Why::Pool);
        self.mark_unassigned();
    }

    /// Somebody has to look at every job without a pool.
    fn mark_unassigned(&self) {
        let mut inner = lock(&self.inner);
        let unassigned: Vec<Uid> = inner.unassigned.iter().copied().collect();
        inner.changes.mark_all(unassigned, Why::Pool);
        self.changed.notify_one();
    }

    /// Somebody has to look at every job that has not ended.
    pub(crate) fn mark_live(&self) {
        let mut inner = lock(&self.inner);
        let live = inner.jobs.iter().filter(|(_, job)| matches!(job, Job::Live(_)));
        let live: Vec<Uid> = live.map(|(uid, _)| *uid).collect();
        inner.changes.mark_all(live, Why::Turn);
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
        lock(&self.inner).texts.get(uid)
    }

    /// The job is on its queue: its work need not be kept.
    pub(crate) fn drop_text(&self, uid: Uid) {
        lock(&self.inner).texts.drop(uid);
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
            pool: record.pool().cloned(),
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

    /// Ended jobs without a time to live of their own whose pool's default is over; `ttl`: that default in seconds. It looks
    /// at every ended job, under the lock: now and then.
    pub(crate) fn expired_by(&self, ttl: impl Fn(&PoolKey) -> Option<u32>, now: Timestamp) -> Vec<Uid> {
        let over = |ended: &EndedJob| {
            let ttl = ended.pool.as_ref().filter(|_| ended.ttl_seconds.is_none()).and_then(&ttl)?;
            let at = ended.ended.checked_add(SignedDuration::from_secs(i64::from(ttl))).ok()?;
            (at <= now).then_some(())
        };
        let inner = lock(&self.inner);
        let ended = inner.jobs.iter().filter_map(|(uid, job)| match job {
            Job::Ended(ended) => over(ended).map(|()| *uid),
            Job::Live(_) => None,
        });
        ended.collect()
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
                    self.texts.keep(uid, text);
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
        self.texts.drop(uid);
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
}

#[cfg(test)]
mod tests;
