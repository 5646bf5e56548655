//! Tells the queue what the engine has, for the operator: it then refuses what no engine of the pool takes. Nothing here
//! keeps the worker from working.

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use queue::{EngineFacts, ModelFile};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::{
    comfyui::{Model, State},
    worker::Worker,
};

/// Between two times that it is told.
const EVERY: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// The operator reads no more, bytes.
const LONGEST: usize = 16 << 20;
/// More models are not told.
const MAX_MODELS: usize = 1000;

/// What was told, and whether it is all that there is to tell.
struct Told {
    facts: EngineFacts,
    models: Vec<Model>,
}

/// Tells it once the engine is connected, and every minute; for ever. `template`: what the worker was made from.
pub(crate) async fn keep_told(worker: Arc<Worker>, template: String) {
    let mut engine = worker.engine.state();
    loop {
        if engine.wait_for(|state| matches!(state, State::Up(_))).await.is_err() {
            return;
        }
        engine.mark_unchanged();
        // After a restart it may have others.
        let mut told = None;
        loop {
            let pause = match tell(&worker, &template, told.take()).await {
                Ok(new) => {
                    told = Some(new);
                    EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "can't tell what the engine has");
                    AGAIN
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = engine.changed() => break,
            }
        }
    }
}

async fn tell(worker: &Worker, template: &str, told: Option<Told>) -> anyhow::Result<Told> {
    // ComfyUI sees models that are added while it runs.
    let models = worker.engine.models().await?;
    let known = told.filter(|told| told.models == models && told.facts.key.is_some());
    if let Some(known) = known
        && worker.queue.publish_engine(&known.facts, None).await?
    {
        return Ok(known);
    }
    let (digest, packed) = definitions(worker).await?;
    let key = worker.store.output().definitions_key(&digest);
    let stored = worker.store.put_definitions(&key, packed.clone()).await;
    if let Err(error) = &stored {
        tracing::warn!(%error, "can't store what the engine has");
    }
    let about = worker.engine.client().about().await?;
    let facts = EngineFacts {
        digest: format!("sha256:{digest}"),
        version: Some(about.comfyui()).filter(|version| *version != "unknown").unwrap_or_default().to_owned(),
        template: template.to_owned(),
        key: stored.is_ok().then_some(key),
        models: models.iter().take(MAX_MODELS).map(file).collect(),
    };
    if !worker.queue.publish_engine(&facts, None).await? {
        worker.queue.publish_engine(&facts, Some(&packed)).await?;
    }
    Ok(Told { facts, models })
}

fn file(model: &Model) -> ModelFile {
    let Model { folder, name, bytes } = model;
    ModelFile { folder: (*folder).to_owned(), name: name.clone(), bytes: *bytes }
}

/// The hex of their digest, and the definitions themselves, compressed.
async fn definitions(worker: &Worker) -> anyhow::Result<(String, Bytes)> {
    let definitions = worker.engine.definitions().await?;
    anyhow::ensure!(
        definitions.len() <= LONGEST,
        "the engine's node definitions have more than {} MiB",
        LONGEST >> 20
    );
    tokio::task::spawn_blocking(move || {
        let digest = Sha256::digest(definitions.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(definitions.as_bytes())?;
        Ok((hex, Bytes::from(packer.finish()?)))
    })
    .await?
}
