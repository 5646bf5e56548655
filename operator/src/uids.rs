//! Which ImageJob a uid belongs to: the queue knows jobs by uid, the API server by name. And which generation of its
//! spec was seen last.

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
    known: HashMap<JobUid, Known>,
    /// What a list has shown so far; takes the place of `known` when it is complete.
    listed: HashMap<JobUid, Known>,
}

struct Known {
    namespace: String,
    name: String,
    generation: Option<i64>,
}

impl Uids {
    /// Follows the watch; whether the event shows a job not seen before, or one whose spec has changed.
    pub(crate) fn follow(&self, event: &Event<ImageJob>) -> bool {
        let mut inner = lock(&self.0);
        match event {
            Event::Apply(job) => note(&mut inner.known, job),
            Event::InitApply(job) => {
                note(&mut inner.listed, job);
                note(&mut inner.known, job)
            }
            Event::Delete(job) => {
                inner.known.remove(&JobUid(job.uid().unwrap_or_default()));
                false
            }
            Event::Init => {
                inner.listed.clear();
                false
            }
            Event::InitDone => {
                inner.known = std::mem::take(&mut inner.listed);
                false
            }
        }
    }

    pub(crate) fn get(&self, uid: &JobUid) -> Option<ObjectRef<ImageJob>> {
        let inner = lock(&self.0);
        let Known { namespace, name, generation: _ } = inner.known.get(uid)?;
        Some(ObjectRef::new(name).within(namespace))
    }

    pub(crate) fn contains(&self, uid: &JobUid) -> bool {
        lock(&self.0).known.contains_key(uid)
    }
}

/// Whether this generation of the job's spec is a new one.
fn note(jobs: &mut HashMap<JobUid, Known>, job: &ImageJob) -> bool {
    let (Some(uid), Some(namespace)) = (job.uid(), job.namespace()) else { return false };
    let generation = job.metadata.generation;
    let before = jobs.insert(JobUid(uid), Known { namespace, name: job.name_any(), generation });
    before.is_none_or(|before| before.generation != generation)
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
    fn new_jobs_and_changed_specs_are_told_from_what_was_seen_before() {
        let uids = Uids::default();
        let of = |uid: &str, generation: i64| {
            job_with(json!({"metadata": {"uid": uid, "name": "first", "generation": generation}}))
        };
        for (event, want) in [
            (Event::Init, false),
            (Event::InitApply(of("a", 1)), true),
            (Event::InitDone, false),
            (Event::Apply(of("a", 1)), false),
            (Event::Apply(of("a", 2)), true),
            (Event::Init, false),
            (Event::InitApply(of("a", 2)), false),
            (Event::InitApply(of("b", 1)), true),
            (Event::InitDone, false),
            (Event::Apply(of("b", 1)), false),
        ] {
            assert_eq!(uids.follow(&event), want, "{event:?}");
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
