//! What the engines of a pool's workers have: their nodes, models and versions. Pure.
//!
//! Workers tell it the queue, and a pool's keeper reads it there. While a pool has no workers, what the last one told
//! counts.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use queue::{EngineFacts, EngineSeen, ModelFile};
use workflow::ObjectInfo;

/// A worker tells of its engine every minute; one that has not for so long is not there any more.
const PRESENT_WITHIN: Duration = Duration::from_secs(180);
/// What was told longer ago counts no more: models come and go. Then a job is tried.
const COUNTS_FOR: Duration = Duration::from_secs(3600);
/// Folders of models that an image is made with, as ComfyUI calls them now and did before.
const FOLDERS: [&str; 3] = ["checkpoints", "diffusion_models", "unet"];
/// More models are not listed.
const MAX_MODELS: usize = 100;
/// Longer names a pool's status does not take.
const MAX_NAME: usize = 253;

/// What the engines of a pool have.
#[derive(Debug, Clone)]
pub(crate) struct Engines {
    /// Of those that count, the newest version first.
    facts: Arc<[Arc<EngineFacts>]>,
    /// What at least one of them has.
    definitions: Arc<ObjectInfo>,
    /// How many node classes the first of them has.
    nodes: usize,
    /// The models that images are made with, by folder and name.
    models: Arc<[ModelFile]>,
    /// When a worker told of one of them last.
    told: Timestamp,
    /// Whether workers told of them just now.
    present: bool,
}

/// What may be asked of a pool, for one job.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) definitions: Arc<ObjectInfo>,
    /// How long ago the last worker was there; `None`: there is one.
    pub(crate) age: Option<Duration>,
}

/// Of the engines that workers told of, those that count: all that are there, or else the last one. None where nobody
/// ever told of any.
pub(crate) fn counting(seen: &[EngineSeen]) -> (Vec<&EngineSeen>, bool) {
    let mut counting: Vec<&EngineSeen> =
        seen.iter().filter(|engine| engine.age() <= PRESENT_WITHIN).collect();
    let present = !counting.is_empty();
    if !present {
        counting.extend(seen.iter().max_by_key(|engine| engine.seen_ms));
    }
    // In an order that does not depend on who told last.
    counting.sort_by(|a, b| {
        (version(&b.facts.version), &b.facts.digest).cmp(&(version(&a.facts.version), &a.facts.digest))
    });
    (counting, present)
}

fn version(text: &str) -> Vec<u64> {
    text.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

impl Engines {
    /// Of engines that count, each with its definitions. `None`: there are no definitions.
    pub(crate) fn new(
        engines: Vec<(EngineSeen, Arc<ObjectInfo>)>,
        present: bool,
        now: Timestamp,
    ) -> Option<Self> {
        let (first, rest) = engines.split_first()?;
        let nodes = first.1.len();
        let mut definitions = Arc::clone(&first.1);
        for (_, more) in rest {
            Arc::make_mut(&mut definitions).merge(more);
        }
        let told = last_told(engines.iter().map(|(seen, _)| seen), now);
        let facts: Arc<[Arc<EngineFacts>]> = engines.into_iter().map(|(seen, _)| seen.facts).collect();
        let models = models(&facts, &definitions).into();
        Some(Self { facts, definitions, nodes, models, told, present })
    }

    /// The same if these are the same engines, told of since.
    pub(crate) fn told_again(&self, counting: &[&EngineSeen], present: bool, now: Timestamp) -> Option<Self> {
        let same = self.facts.iter().eq(counting.iter().map(|engine| &engine.facts));
        let told = last_told(counting.iter().copied(), now);
        same.then(|| Self { told, present, ..self.clone() })
    }

    pub(crate) fn facts(&self) -> &[Arc<EngineFacts>] {
        &self.facts
    }

    #[cfg(test)]
    pub(crate) fn definitions(&self) -> &ObjectInfo {
        &self.definitions
    }

    pub(crate) fn models(&self) -> &[ModelFile] {
        &self.models
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// What a job may be held against. `has_workers`: the pool has some. Of a pool without workers it is nothing once its
    /// workers would be made from another template than the last one was, or when that one was there too long ago.
    pub(crate) fn known(
        &self,
        has_workers: bool,
        is_made_the_same: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Option<Known> {
        let definitions = Arc::clone(&self.definitions);
        if self.present && has_workers {
            return Some(Known { definitions, age: None });
        }
        let age = Duration::try_from(now.duration_since(self.told)).unwrap_or_default();
        let same = self.facts.iter().all(|facts| is_made_the_same(&facts.template));
        (same && age <= COUNTS_FOR).then_some(Known { definitions, age: Some(age) })
    }
}

fn last_told<'a>(engines: impl Iterator<Item = &'a EngineSeen>, now: Timestamp) -> Timestamp {
    let ago = engines.map(EngineSeen::age).min().unwrap_or_default();
    now.checked_sub(ago).unwrap_or(now)
}

/// Of all engines, each once.
fn models(facts: &[Arc<EngineFacts>], definitions: &ObjectInfo) -> Vec<ModelFile> {
    let files = facts.iter().flat_map(|facts| &facts.models);
    let mut models: Vec<ModelFile> =
        files.filter(|file| FOLDERS.contains(&file.folder.as_str())).cloned().collect();
    if models.is_empty() {
        // An engine that does not list its folders tells what its loaders take.
        let folder = FOLDERS[0].to_owned();
        let named = |name: &str| ModelFile { folder: folder.clone(), name: name.to_owned(), bytes: None };
        models.extend(definitions.models().into_iter().map(named));
    }
    models.retain(|file| file.name.len() <= MAX_NAME);
    models.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    models.dedup_by(|b, a| (&a.folder, &a.name) == (&b.folder, &b.name));
    models.truncate(MAX_MODELS);
    models
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    const HAS_A: &[u8] = br#"{"L": {"input": {"required": {"ckpt_name": [["a"]]}}, "output": ["MODEL"]}}"#;
    const HAS_B: &[u8] = br#"{"L": {"input": {"required": {"ckpt_name": [["b"]]}}, "output": ["MODEL"]}}"#;

    fn seen(digest: &str, version: &str, seconds_ago: u64) -> EngineSeen {
        let facts = EngineFacts {
            digest: digest.to_owned(),
            version: version.to_owned(),
            template: "t1".to_owned(),
            key: None,
            models: Vec::new(),
        };
        EngineSeen { facts: Arc::new(facts), seen_ms: 10_000_000 - seconds_ago * 1000, now_ms: 10_000_000 }
    }

    fn digests(seen: &[EngineSeen]) -> (Vec<&str>, bool) {
        let (engines, present) = counting(seen);
        (engines.into_iter().map(|engine| engine.facts.digest.as_str()).collect(), present)
    }

    #[test]
    fn all_engines_that_are_there_count_or_else_the_last_one() {
        let old = [seen("x", "0.3.64", 4000), seen("y", "0.33.0", 3600)];
        assert_eq!(digests(&old), (vec!["y"], false));
        let there = [seen("x", "0.3.64", 0), seen("y", "0.33.0", 170), seen("z", "0.9.0", 190)];
        assert_eq!(digests(&there), (vec!["y", "x"], true), "the newest version first");
        assert_eq!(digests(&[]), (vec![], false));
    }

    fn engines(seconds_ago: u64, present: bool) -> Engines {
        let read = |json| Arc::new(ObjectInfo::parse(json).unwrap());
        let both =
            vec![(seen("x", "1", seconds_ago), read(HAS_A)), (seen("y", "1", seconds_ago), read(HAS_B))];
        Engines::new(both, present, at(10_000)).unwrap()
    }

    #[test]
    fn what_one_of_several_engines_has_the_pool_has() {
        assert_eq!(engines(0, true).definitions().choices("L", "ckpt_name"), ["a", "b"]);
        assert_eq!(engines(0, true).known(true, |_| false, at(10_000)).unwrap().age, None);
    }

    #[test]
    fn what_the_last_worker_told_counts_for_a_while_and_for_the_same_template() {
        let last = engines(600, false);
        let age =
            |template: &str, now| last.known(true, |made| made == template, at(now)).map(|known| known.age);
        assert_eq!(age("t1", 10_060), Some(Some(Duration::from_secs(660))));
        assert_eq!(age("t2", 10_060), None, "other workers may have other models");
        assert_eq!(age("t1", 10_000 + 3601), None, "it was too long ago");
        let just_gone = engines(5, true).known(false, |_| true, at(10_000)).unwrap();
        assert_eq!(just_gone.age, Some(Duration::from_secs(5)), "the last worker has just gone");
    }
}
