//! The jobs, by name and by tenant, and who follows them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::{Notify, broadcast, watch};

use super::{Job, Tenant};

/// A job's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// When a job was created, as seconds, and its name: the order of lists, backwards.
pub(crate) type Place = (i64, String);

/// A job as a follower sees it.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// It was created just now, and the watch has not shown it yet.
    NotYet,
    /// As it is.
    Is(Arc<Job>),
    /// It is deleted. The last that its followers see.
    Gone,
}

/// A change of one of a tenant's jobs.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// It is new, or other than before.
    Is(Arc<Job>),
    /// It is deleted; as it was last.
    Gone(Arc<Job>),
}

/// So many changes of a tenant's jobs are kept for who follows them and is slow; who is slower misses some, and is told so.
const CHANGES_KEPT: usize = 256;

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    state: RwLock<Maps>,
    /// Jobs that changed since somebody asked, by uid.
    changed: Mutex<HashMap<String, Arc<Job>>>,
    change: Notify,
}

#[derive(Debug, Default)]
struct Maps {
    jobs: HashMap<JobKey, Arc<Job>>,
    /// By namespace and tenant.
    tenants: HashMap<(String, String), OfTenant>,
    followed: HashMap<JobKey, watch::Sender<Seen>>,
    /// By namespace and tenant.
    followed_tenants: HashMap<(String, String), broadcast::Sender<Change>>,
}

/// The jobs of a tenant.
#[derive(Debug, Default)]
struct OfTenant {
    listed: BTreeMap<Place, Arc<Job>>,
    /// How many of them have not ended: every submission asks.
    unfinished: usize,
}

impl OfTenant {
    fn put(&mut self, job: Arc<Job>) {
        self.unfinished += usize::from(!job.state().is_final());
        if let Some(old) = self.listed.insert(place(&job), job) {
            self.unfinished -= usize::from(!old.state().is_final());
        }
    }

    fn remove(&mut self, job: &Job) {
        if let Some(old) = self.listed.remove(&place(job)) {
            self.unfinished -= usize::from(!old.state().is_final());
        }
    }
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) jobs: Vec<Arc<Job>>,
    /// Where the next part begins; `None` after the last.
    pub(crate) next: Option<Place>,
}

impl Jobs {
    /// The tenant's job of this name.
    pub(crate) fn get(&self, tenant: &Tenant, name: &str) -> Option<Arc<Job>> {
        let key = JobKey { namespace: tenant.spec.namespace.clone(), name: name.to_owned() };
        self.read().jobs.get(&key).filter(|job| *job.tenant == *tenant.name).cloned()
    }

    /// The tenant's jobs that are as asked, the newest first: those after `after`, at most `limit`.
    pub(crate) fn page(
        &self,
        tenant: &Tenant,
        after: Option<&Place>,
        limit: usize,
        asked: impl Fn(&Job) -> bool,
    ) -> Page {
        let maps = self.read();
        let Some(of_tenant) = maps.tenants.get(&owner(tenant)) else {
            return Page { jobs: vec![], next: None };
        };
        let end = after.map_or(Bound::Unbounded, |place| Bound::Excluded(place.clone()));
        let mut found = of_tenant.listed.range((Bound::Unbounded, end)).rev().filter(|(_, job)| asked(job));
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let next = page.last().map(|(place, _)| (*place).clone()).filter(|_| found.next().is_some());
        Page { jobs: page.into_iter().map(|(_, job)| Arc::clone(job)).collect(), next }
    }

    /// How many jobs of the tenant have not ended.
    pub(crate) fn unfinished(&self, tenant: &Tenant) -> usize {
        self.read().tenants.get(&owner(tenant)).map_or(0, |of_tenant| of_tenant.unfinished)
    }

    /// Follows a job: its present state, and every later one, but for those that are over before they are looked at.
    pub(crate) fn follow(&self, key: &JobKey) -> watch::Receiver<Seen> {
        let mut maps = self.write();
        let now = maps.jobs.get(key).map_or(Seen::NotYet, |job| Seen::Is(Arc::clone(job)));
        maps.followed.retain(|_, sender| sender.receiver_count() > 0);
        maps.followed.entry(key.clone()).or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    /// Follows all jobs of a tenant: every change from now on.
    pub(crate) fn follow_all(&self, tenant: &Tenant) -> broadcast::Receiver<Change> {
        let mut maps = self.write();
        maps.followed_tenants.retain(|_, sender| sender.receiver_count() > 0);
        let sender = maps.followed_tenants.entry(owner(tenant));
        sender.or_insert_with(|| broadcast::Sender::new(CHANGES_KEPT)).subscribe()
    }

    /// A job as a write was answered, until the watch shows it. One that is not known, or known by a later version, stays
    /// as it is: what is gone does not come back.
    pub(crate) fn put_answer(&self, job: Job) -> Arc<Job> {
        let version = |job: &Job| job.version.parse::<u64>().unwrap_or_default();
        let mut maps = self.write();
        match maps.jobs.get(&job.key()) {
            Some(known) if known.uid == job.uid && version(known) < version(&job) => maps.put(job),
            _ => Arc::new(job),
        }
    }

    pub(super) fn put(&self, job: Job) {
        let job = self.write().put(job);
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(job.uid.clone(), job);
        self.change.notify_one();
    }

    /// The jobs that the watch has shown since this was asked last, each in its latest state; waits until there is one.
    pub(crate) async fn changed(&self) -> Vec<Arc<Job>> {
        loop {
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            if !changed.is_empty() {
                return changed.into_values().collect();
            }
            self.change.notified().await;
        }
    }

    pub(crate) fn remove(&self, key: &JobKey, uid: &str) {
        let mut maps = self.write();
        if maps.jobs.get(key).is_some_and(|job| *job.uid == *uid) {
            maps.remove(key);
        }
    }

    /// Removes all but these.
    pub(super) fn retain(&self, listed: &HashSet<JobKey>) {
        let mut maps = self.write();
        let gone: Vec<JobKey> = maps.jobs.keys().filter(|key| !listed.contains(key)).cloned().collect();
        for key in gone {
            maps.remove(&key);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn put(&mut self, job: Job) -> Arc<Job> {
        let (key, job) = (job.key(), Arc::new(job));
        if let Some(old) = self.jobs.insert(key.clone(), Arc::clone(&job)) {
            self.unlist(&old);
        }
        let owner = (job.namespace.clone(), job.tenant.clone());
        self.tenants.entry(owner).or_default().put(Arc::clone(&job));
        if let Some(followed) = self.followed.get(&key) {
            followed.send_replace(Seen::Is(Arc::clone(&job)));
        }
        self.tell_followers(&job, Change::Is);
        job
    }

    fn tell_followers(&self, job: &Arc<Job>, change: fn(Arc<Job>) -> Change) {
        let owner = (job.namespace.clone(), job.tenant.clone());
        if let Some(sender) = self.followed_tenants.get(&owner) {
            // An error says that nobody follows any more.
            let _ = sender.send(change(Arc::clone(job)));
        }
    }

    fn remove(&mut self, key: &JobKey) {
        if let Some(old) = self.jobs.remove(key) {
            self.unlist(&old);
            self.tell_followers(&old, Change::Gone);
        }
        if let Some(followed) = self.followed.remove(key) {
            followed.send_replace(Seen::Gone);
        }
    }

    fn unlist(&mut self, job: &Job) {
        let owner = (job.namespace.clone(), job.tenant.clone());
        if let Some(of_tenant) = self.tenants.get_mut(&owner) {
            of_tenant.remove(job);
            if of_tenant.listed.is_empty() {
                self.tenants.remove(&owner);
            }
        }
    }
}

fn place(job: &Job) -> Place {
    (job.created_second(), job.name.clone())
}

fn owner(tenant: &Tenant) -> (String, String) {
    (tenant.spec.namespace.clone(), tenant.name.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::job::{JobObject, State};

    fn tenant(name: &str) -> Tenant {
        let spec = serde_json::from_value(json!({"namespace": "studio"})).unwrap();
        Tenant { name: name.into(), spec }
    }

    fn job(name: &str, tenant: &str, second: u32, cancel: bool) -> Job {
        let object = json!({
            "metadata": {"namespace": "studio", "name": name, "uid": format!("uid-{name}"),
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
            "spec": {"work": {"type": "TextToImage"}, "tenant": tenant, "cancel": cancel},
        });
        serde_json::from_value::<JobObject>(object).unwrap().into()
    }

    #[test]
    fn a_list_goes_from_the_newest_to_the_oldest_in_parts_and_shows_the_tenants_own() {
        let jobs = Jobs::default();
        for (name, of, second) in
            [("a", "acme", 1), ("b", "acme", 3), ("c", "acme", 3), ("d", "other", 4), ("e", "acme", 2)]
        {
            jobs.put(job(name, of, second, false));
        }
        let (acme, mut after, mut seen) = (tenant("acme"), None, vec![]);
        loop {
            let page = jobs.page(&acme, after.as_ref(), 2, |_| true);
            seen.push(page.jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [vec!["c", "b"], vec!["e", "a"]]);
        assert!(jobs.get(&acme, "d").is_none() && jobs.get(&tenant("other"), "d").is_some());
        let asked = jobs.page(&acme, None, 10, |job| job.name != "b");
        assert_eq!((asked.jobs.len(), asked.next), (3, None));
    }

    #[test]
    fn a_job_that_has_not_ended_counts_until_it_has() {
        let (jobs, acme) = (Jobs::default(), tenant("acme"));
        let ended = |name: &str| {
            let mut job = job(name, "acme", 1, false);
            job.state = Some(State::Completed);
            job
        };
        jobs.put(job("a", "acme", 1, false));
        jobs.put(job("b", "acme", 2, false));
        jobs.put(job("a", "acme", 1, true));
        assert_eq!(jobs.unfinished(&acme), 2);
        jobs.put(ended("a"));
        jobs.put(ended("a"));
        jobs.put(job("c", "other", 1, false));
        assert_eq!(jobs.unfinished(&acme), 1);
        jobs.retain(&HashSet::new());
        assert_eq!(jobs.unfinished(&acme), 0);
    }

    #[test]
    fn who_follows_a_job_sees_its_latest_state_and_its_end() {
        let jobs = Jobs::default();
        jobs.put(job("a", "acme", 1, false));
        let key = JobKey { namespace: "studio".into(), name: "a".into() };
        let mut follower = jobs.follow(&key);
        assert!(matches!(*follower.borrow_and_update(), Seen::Is(_)));
        jobs.put(job("a", "acme", 1, true));
        assert!(follower.has_changed().unwrap());
        jobs.retain(&HashSet::new());
        assert!(matches!(*follower.borrow_and_update(), Seen::Gone));
        assert!(jobs.page(&tenant("acme"), None, 10, |_| true).jobs.is_empty());
    }

    #[test]
    fn who_follows_a_tenant_sees_each_change_of_its_jobs_and_of_no_others() {
        let jobs = Jobs::default();
        let mut changes = jobs.follow_all(&tenant("acme"));
        jobs.put(job("a", "acme", 1, false));
        jobs.put(job("b", "other", 1, false));
        jobs.remove(&JobKey { namespace: "studio".into(), name: "a".into() }, "uid-a");
        assert!(matches!(changes.try_recv(), Ok(Change::Is(job)) if job.name == "a"));
        assert!(matches!(changes.try_recv(), Ok(Change::Gone(job)) if job.name == "a"));
        assert!(changes.try_recv().is_err());
    }

    #[test]
    fn a_deletion_that_comes_late_does_not_remove_a_new_job_of_that_name() {
        let jobs = Jobs::default();
        jobs.put(job("a", "acme", 1, false));
        jobs.remove(&JobKey { namespace: "studio".into(), name: "a".into() }, "uid-of-an-earlier-one");
        assert!(jobs.get(&tenant("acme"), "a").is_some());
    }
}
