//! Which ImageJob a uid belongs to: the queue knows jobs by uid, the API server by name.

use std::{collections::HashMap, sync::Mutex};

use crds::ImageJob;
use kube::{
    ResourceExt as _,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use queue::JobUid;

use crate::lock;

/// Every job that is there, as the watch tells it.
#[derive(Default)]
pub(crate) struct Uids(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    known: HashMap<JobUid, Name>,
    /// What a list has shown so far; takes the place of `known` when it is complete.
    listed: HashMap<JobUid, Name>,
}

#[derive(Clone)]
struct Name {
    namespace: String,
    name: String,
}

impl Uids {
    /// Follows the watch.
    pub(crate) fn follow(&self, event: &Event<ImageJob>) {
        let mut inner = lock(&self.0);
        match event {
            Event::Apply(job) => {
                inner.known.extend(entry(job));
            }
            Event::InitApply(job) => {
                inner.known.extend(entry(job));
                inner.listed.extend(entry(job));
            }
            Event::Delete(job) => {
                inner.known.remove(&JobUid(job.uid().unwrap_or_default()));
            }
            Event::Init => inner.listed.clear(),
            Event::InitDone => inner.known = std::mem::take(&mut inner.listed),
        }
    }

    pub(crate) fn get(&self, uid: &JobUid) -> Option<ObjectRef<ImageJob>> {
        let inner = lock(&self.0);
        let Name { namespace, name } = inner.known.get(uid)?;
        Some(ObjectRef::new(name).within(namespace))
    }

    pub(crate) fn contains(&self, uid: &JobUid) -> bool {
        lock(&self.0).known.contains_key(uid)
    }
}

fn entry(job: &ImageJob) -> Option<(JobUid, Name)> {
    Some((JobUid(job.uid()?), Name { namespace: job.namespace()?, name: job.name_any() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::job_with;

    fn job(uid: &str, name: &str) -> ImageJob {
        job_with(json!({"metadata": {"uid": uid, "name": name}}))
    }

    fn known(uids: &Uids) -> String {
        let all = ["a", "b", "c"].into_iter();
        all.filter(|uid| uids.contains(&JobUid((*uid).into()))).collect()
    }

    #[test]
    fn every_job_that_is_there_is_known_also_while_a_new_list_is_read() {
        let uids = Uids::default();
        for (event, want) in [
            (Event::Init, ""),
            (Event::InitApply(job("a", "first")), "a"),
            (Event::InitApply(job("b", "second")), "ab"),
            (Event::InitDone, "ab"),
            (Event::Apply(job("c", "third")), "abc"),
            (Event::Delete(job("a", "first")), "bc"),
            (Event::Init, "bc"),
            (Event::InitApply(job("c", "third")), "bc"),
            (Event::InitDone, "c"),
        ] {
            uids.follow(&event);
            assert_eq!(known(&uids), want, "after {event:?}");
        }
    }

    #[test]
    fn a_job_recreated_under_its_name_is_another() {
        let uids = Uids::default();
        uids.follow(&Event::Apply(job("a", "first")));
        uids.follow(&Event::Delete(job("a", "first")));
        uids.follow(&Event::Apply(job("b", "first")));
        assert_eq!(uids.get(&JobUid("a".into())), None, "an old result wakes nobody");
        assert_eq!(uids.get(&JobUid("b".into())), Some(ObjectRef::new("first").within("studio")));
    }
}
