//! Tells the queue what the engine has, for the operator: it then refuses what no engine of the pool takes. Nothing here
//! keeps the worker from working.

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use queue::{EngineFacts, ModelFile};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::{
    backoff::Backoff,
    comfyui::{Model, State},
    names::hex,
    worker::Worker,
};

/// Between two times that it is told.
const EVERY: Duration = Duration::from_secs(60);
/// After a failure, at first; no longer than [`EVERY`].
const AGAIN: Duration = Duration::from_secs(5);
/// More models are not told.
const MAX_MODELS: usize = 1000;

/// What is told.
struct Told {
    facts: EngineFacts,
    models: Vec<Model>,
    /// The engine's node definitions, compressed.
    packed: Bytes,
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
        let mut backoff = Backoff::new(AGAIN, EVERY);
        loop {
            let went = tell(&worker, &template, &mut told).await;
            let pause = async {
                match went {
                    Ok(()) => sleep(EVERY).await,
                    Err(error) => {
                        tracing::warn!(%error, "can't tell what the engine has");
                        backoff.wait().await;
                    }
                }
            };
            tokio::select! {
                () = pause => {}
                _ = engine.changed() => break,
            }
        }
    }
}

/// The definitions are read anew only when the models have changed: ComfyUI sees those that are added while it runs.
async fn tell(worker: &Worker, template: &str, told: &mut Option<Told>) -> anyhow::Result<()> {
    let listed = worker.engine.models().await;
    if let Err(error) = &listed {
        tracing::debug!(%error, "the engine does not list its models");
    }
    let mut now = match (told.take(), listed) {
        (Some(told), Err(_)) => told,
        (Some(told), Ok(models)) if told.models == models => told,
        (_, listed) => read(worker, template, listed.unwrap_or_default()).await?,
    };
    let published = publish(worker, &mut now).await;
    *told = Some(now);
    published
}

async fn read(worker: &Worker, template: &str, models: Vec<Model>) -> anyhow::Result<Told> {
    let definitions = worker.engine.definitions().await?;
    let (hex, packed) = tokio::task::spawn_blocking(move || pack(&definitions)).await??;
    let version = worker.engine.client().about().await.unwrap_or_default();
    let facts = EngineFacts {
        digest: format!("sha256:{hex}"),
        version: Some(version.comfyui()).filter(|known| *known != "unknown").unwrap_or_default().to_owned(),
        template: template.to_owned(),
        key: None,
        models: models.iter().take(MAX_MODELS).map(file).collect(),
    };
    Ok(Told { facts, models, packed })
}

/// The hex of their digest, and the definitions themselves, compressed.
fn pack(definitions: &str) -> std::io::Result<(String, Bytes)> {
    let hex = hex(&Sha256::digest(definitions));
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(definitions.as_bytes())?;
    Ok((hex, packer.finish()?.into()))
}

async fn publish(worker: &Worker, told: &mut Told) -> anyhow::Result<()> {
    if told.facts.key.is_none() {
        let hex = told.facts.digest.trim_start_matches("sha256:");
        let key = worker.store.output().definitions_key(hex);
        match worker.store.put_definitions(&key, told.packed.clone()).await {
            Ok(()) => told.facts.key = Some(key),
            Err(error) => tracing::debug!(%error, "what the engine has is not stored yet"),
        }
    }
    if !worker.queue.publish_engine(&told.facts, None).await? {
        worker.queue.publish_engine(&told.facts, Some(&told.packed)).await?;
    }
    Ok(())
}

fn file(model: &Model) -> ModelFile {
    let Model { folder, name, bytes } = model;
    ModelFile { folder: folder.clone(), name: name.clone(), bytes: *bytes }
}
