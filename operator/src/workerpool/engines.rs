//! What a pool's owner reads of the workers' engines. Pure.

use crds::{EngineStatus, Family, PoolModelStatus, WorkerPool};
use queue::ModelFile;

use crate::engines::Engines;

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
    let status = |ModelFile { folder, name, bytes }: &ModelFile| PoolModelStatus {
        family: family(pool, name),
        name: name.clone(),
        folder: folder.clone(),
        bytes: *bytes,
    };
    engines.models().iter().map(status).collect()
}

/// Of which family a model is: the pool's word, else what the file's name tells.
pub(crate) fn family(pool: &WorkerPool, model: &str) -> Option<Family> {
    pool.spec.model(model).map(|model| model.family).or_else(|| workflow::family_of(model))
}
