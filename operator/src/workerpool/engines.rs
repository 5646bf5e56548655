//! What a pool's owner reads of the workers' engines. Pure.

use std::collections::BTreeSet;

use crds::{EngineStatus, PoolModelStatus, WorkerPool};
use queue::ModelFile;

use crate::engines::Engines;

/// Folders of models that an image is made with, as ComfyUI calls them now and did before.
const FOLDERS: [&str; 3] = ["checkpoints", "diffusion_models", "unet"];
/// More models are not listed.
const MAX_MODELS: usize = 100;
/// Longer names the status does not take.
const MAX_NAME: usize = 253;

/// The newest engine.
pub(crate) fn engine(engines: &Engines) -> Option<EngineStatus> {
    let facts = engines.facts().first()?;
    Some(EngineStatus {
        version: Some(facts.version.clone()).filter(|version| !version.is_empty() && version.len() <= 64),
        nodes: u32::try_from(engines.nodes()).unwrap_or(u32::MAX),
        digest: facts.digest.clone(),
        key: facts.key.clone(),
    })
}

/// The models that images are made with, by folder and name.
pub(crate) fn models(pool: &WorkerPool, engines: &Engines) -> Vec<PoolModelStatus> {
    let mut files: Vec<ModelFile> = engines
        .facts()
        .iter()
        .flat_map(|facts| &facts.models)
        .filter(|file| FOLDERS.contains(&file.folder.as_str()))
        .cloned()
        .collect();
    if files.is_empty() {
        // An engine that does not list its folders tells what its loaders take.
        let names = engines.definitions().models();
        files.extend(names.into_iter().map(|name| ModelFile {
            folder: FOLDERS[0].to_owned(),
            name: name.to_owned(),
            bytes: None,
        }));
    }
    files.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    let mut seen = BTreeSet::new();
    files
        .into_iter()
        .filter(|file| file.name.len() <= MAX_NAME && seen.insert((file.folder.clone(), file.name.clone())))
        .take(MAX_MODELS)
        .map(|ModelFile { folder, name, bytes }| {
            let said = pool.spec.models.iter().find(|model| model.name == name).map(|model| model.family);
            PoolModelStatus { family: said.or_else(|| workflow::family_of(&name)), name, folder, bytes }
        })
        .collect()
}
