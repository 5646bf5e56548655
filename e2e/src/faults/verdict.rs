//! What is wrong with a set of jobs, judged by the facts alone. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crds::{
    ImageJob,
    conditions::{ConditionType, JobReason, is_true},
};
use kube::ResourceExt as _;

use super::facts::{Facts, Object};
use crate::finished::ready;

/// What became of some jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// How many there are.
    pub jobs: usize,
    /// Images they asked for.
    pub images: usize,
    /// Images promised by the job's state of which there is no good picture, or whose job has not ended.
    pub lost: usize,
    /// Pictures beyond one for each image: overwritten, stored under a second name, listed twice, or nobody's.
    pub doubled: usize,
    /// Sampling steps taken by all engines.
    pub steps: u64,
    /// Of those, the ones that had been taken before.
    pub redone: u64,
    /// States, Events or remains that contradict what is.
    pub untrue: Vec<String>,
}

impl Verdict {
    /// The share of the engines' time that was spent on what had been done before.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn redone_share(&self) -> f64 {
        if self.steps == 0 { 0.0 } else { self.redone as f64 / self.steps as f64 }
    }

    /// Whether nothing is lost, doubled or untrue. Work done twice is not wrong, only dear.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.untrue.is_empty()
    }

    /// Adds another set's.
    pub fn add(&mut self, other: Self) {
        let Self { jobs, images, lost, doubled, steps, redone, untrue } = other;
        self.jobs += jobs;
        self.images += images;
        self.lost += lost;
        self.doubled += doubled;
        self.steps += steps;
        self.redone += redone;
        self.untrue.extend(untrue);
    }
}

/// Judges jobs that should have ended.
#[must_use]
pub fn judge(facts: &Facts) -> Verdict {
    let mut verdict = Verdict { jobs: facts.jobs.len(), ..Verdict::default() };
    let objects: HashMap<&str, &Object> = facts.objects.iter().map(|o| (o.key.as_str(), o)).collect();
    let mut owned = BTreeSet::new();
    for job in &facts.jobs {
        let listed = facts.listed(job);
        verdict.images += usize::try_from(job.spec.count).unwrap_or_default();
        verdict.lost += lost(job, &listed, &objects);
        verdict.doubled += listed.values().map(|keys| keys.len() - 1).sum::<usize>();
        verdict.untrue.extend(contradictions(job, &listed, facts));
        owned.extend(listed.into_values().flatten());
    }
    let stray = |object: &&Object| {
        // What was made of a job before it was deleted stays, whether its status came to list it or not.
        let of_deleted = facts.deleted.iter().any(|uid| object.is_of(uid));
        !owned.contains(object.key.as_str()) && !of_deleted && !object.key.ends_with("/manifest.json")
    };
    let strays: Vec<_> = facts.objects.iter().filter(stray).collect();
    let (latents, pictures): (Vec<_>, Vec<_>) = strays.into_iter().partition(|o| o.key.ends_with(".latent"));
    verdict.untrue.extend(latents.iter().map(|latent| format!("{} was left", latent.key)));
    verdict.doubled += pictures.len();
    verdict.doubled += facts.objects.iter().map(|object| object.writes.saturating_sub(1)).sum::<usize>();
    verdict.untrue.extend(facts.left_in_queue.iter().map(|left| format!("left in the queue: {left}")));
    verdict.steps = facts.made.taken();
    verdict.redone = facts.made.redone();
    verdict
}

/// By index, the keys a job lists.
pub(super) type Listed = BTreeMap<u32, Vec<String>>;

fn ended(job: &ImageJob, kind: ConditionType) -> bool {
    job.status.as_ref().is_some_and(|status| is_true(&status.conditions, kind))
}

fn lost(job: &ImageJob, listed: &Listed, objects: &HashMap<&str, &Object>) -> usize {
    let good = |index: &u32| {
        let keys = listed.get(index);
        keys.and_then(|keys| objects.get(keys.first()?.as_str())).is_some_and(|object| object.decodes)
    };
    let promised: Vec<u32> = if ended(job, ConditionType::Failed) {
        listed.keys().copied().collect()
    } else {
        (0..job.spec.count).collect()
    };
    promised.iter().filter(|index| !good(index)).count()
}

fn contradictions(job: &ImageJob, listed: &Listed, facts: &Facts) -> Vec<String> {
    let (complete, failed) = (ended(job, ConditionType::Complete), ended(job, ConditionType::Failed));
    let counts = job.status.as_ref().and_then(|status| status.counts).unwrap_or_default();
    let told = |reason: &str| {
        facts.events.iter().filter(|(uid, r)| Some(uid) == job.uid().as_ref() && r == reason).count()
    };
    let (reason, _) = ready(job);
    let cancelled = reason == JobReason::Cancelled.as_str();
    let made = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    let table = [
        (!complete && !failed, format!("it has not ended: {reason}")),
        (complete && failed, "both Complete and Failed".to_owned()),
        (complete && counts.succeeded != job.spec.count, format!("Complete, with {counts:?}")),
        (
            (complete || failed) && counts.succeeded != made,
            format!("{made} images are listed, with {counts:?}"),
        ),
        ((complete || failed) && counts.running > 0, format!("it has ended, with {counts:?}")),
        (
            complete && told("Failed") + told("Cancelled") > 0,
            "Complete, and an Event says otherwise".to_owned(),
        ),
        (failed && told("Completed") > 0, "Failed, and an Event says Completed".to_owned()),
        (!cancelled && told("Cancelled") > 0, "not cancelled, and an Event says so".to_owned()),
        (job.spec.cancel && complete && made < job.spec.count, "cancelled, yet Complete".to_owned()),
    ];
    table
        .into_iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, what)| format!("{}: {what}", job.name_any()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(key: &str) -> Object {
        Object { key: key.to_owned(), decodes: true, writes: 1 }
    }

    fn job(indices: &[u32], ready: &str, more: &Value) -> ImageJob {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "type": kind, "status": status, "reason": reason, "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z" })
        };
        let image = |index: &u32| {
            json!({ "index": index, "key": format!("{index}.png"), "url": "u", "etag": "e",
            "width": 8, "height": 8, "gpuSeconds": 1.0, "capacity": "Spot", "amount": "0.01", "attempts": 1 })
        };
        let images: Vec<_> = indices.iter().map(image).collect();
        let mut status = json!({
            "conditions": [condition("Ready", "True", ready), condition(ready, "True", ready)],
            "images": images,
            "counts": { "total": 2, "succeeded": indices.len(), "failed": 0, "running": 0, "waiting": 0 },
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "imagejob.dev/v1alpha1", "kind": "ImageJob",
            "metadata": { "name": "boat", "uid": "u1" },
            "spec": { "count": 2, "work": { "type": "TextToImage",
                "textToImage": { "model": "m", "prompt": "a boat", "steps": 2, "seed": 7 } } },
            "status": status,
        }))
        .unwrap()
    }

    fn good() -> Facts {
        let mut facts = Facts {
            jobs: vec![job(&[0, 1], "Complete", &json!({}))],
            objects: vec![object("0.png"), object("1.png"), object("u1/manifest.json")],
            ..Facts::default()
        };
        for seed in [7, 8] {
            for step in [1, 2] {
                facts.made.step("a boat", seed, step);
            }
        }
        facts
    }

    #[test]
    fn a_job_that_went_well_is_clean() {
        let verdict = judge(&good());
        let expected = Verdict { jobs: 1, images: 2, steps: 4, ..Verdict::default() };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn what_is_lost_or_doubled_is_found() {
        type Change = fn(&mut Facts);
        let table: [(&str, Change, (usize, usize)); 7] = [
            ("an object is missing", |facts| drop(facts.objects.remove(0)), (1, 0)),
            ("an object is corrupt", |facts| facts.objects[0].decodes = false, (1, 0)),
            ("not listed", |facts| facts.jobs = vec![job(&[0], "Complete", &json!({}))], (1, 1)),
            ("not ended", |facts| facts.jobs = vec![job(&[0, 1], "Reconciling", &json!({}))], (0, 0)),
            ("a second object", |facts| facts.objects.push(object("other.png")), (0, 1)),
            ("overwritten", |facts| facts.objects[1].writes = 2, (0, 1)),
            ("listed twice", |facts| facts.jobs = vec![job(&[0, 1, 1], "Complete", &json!({}))], (0, 1)),
        ];
        for (what, change, expected) in table {
            let mut facts = good();
            change(&mut facts);
            let verdict = judge(&facts);
            assert_eq!((verdict.lost, verdict.doubled), expected, "{what}: {verdict:?}");
        }
    }

    #[test]
    fn what_is_not_true_is_found() {
        type Change = fn(&mut Facts);
        let table: [(&str, Change); 6] = [
            ("not ended", |facts| facts.jobs = vec![job(&[0, 1], "Reconciling", &json!({}))]),
            ("counts", |facts| {
                let counts = json!({"total": 2, "succeeded": 1, "failed": 0, "running": 0, "waiting": 1});
                facts.jobs = vec![job(&[0, 1], "Complete", &json!({ "counts": counts }))];
            }),
            ("an Event", |facts| facts.events.push(("u1".to_owned(), "Failed".to_owned()))),
            ("another", |facts| facts.events.push(("u1".to_owned(), "Cancelled".to_owned()))),
            ("the queue", |facts| facts.left_in_queue.push("job u1".to_owned())),
            ("a latent", |facts| facts.objects.push(object("latents/a.latent"))),
        ];
        for (what, change) in table {
            let mut facts = good();
            change(&mut facts);
            let verdict = judge(&facts);
            assert!(!verdict.untrue.is_empty(), "{what}: {verdict:?}");
            assert_eq!(verdict.doubled, 0, "{what}: {verdict:?}");
        }
    }

    #[test]
    fn pictures_of_a_deleted_job_are_nobodys_doubles_unless_overwritten() {
        let mut facts = good();
        facts.objects.push(object("studio/u2-0.png"));
        assert_eq!(judge(&facts).doubled, 1, "whose is it?");
        facts.deleted.push("u2".to_owned());
        assert!(judge(&facts).is_clean());
        facts.objects.last_mut().unwrap().writes = 2;
        assert_eq!(judge(&facts).doubled, 1);
    }

    #[test]
    fn steps_taken_twice_are_counted() {
        let mut facts = good();
        facts.made.step("a boat", 8, 2);
        let verdict = judge(&facts);
        assert_eq!((verdict.steps, verdict.redone), (5, 1));
        assert!(verdict.is_clean());
    }
}
