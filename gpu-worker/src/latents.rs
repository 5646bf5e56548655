//! What is kept of a picture while it is being made, so that another worker can go on when this one is lost.
//!
//! A task has one latent in the bucket: that of its last cut. It outlives interruptions only; whatever else ends a
//! task removes it. It saves work and nothing depends on it: where it is missing, is of another recipe, can't be
//! stored or can't be loaded, the picture is made from its beginning.

use std::time::Duration;

use anyhow::Context;
use queue::{TaskId, TaskSpec};
use store::{Latent, Output};
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use crate::{comfyui::Saved, graph::seeded, worker::Worker};

/// Names recipes within a UUID v5 namespace of their own.
const RECIPES: Uuid = Uuid::from_u128(0x0d1e_63b7_58c4_5a0f_8e29_94d5_b17c_6a32);
/// A latent that takes longer on its way is given up: the next one tells more.
const WITHIN: Duration = Duration::from_secs(10);
/// That of a picture of 16,384 × 16,384 is half of this.
const LARGEST: usize = 128 << 20;

/// Where the latent of a picture in segments is kept, and what it has to be to be of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latents {
    key: String,
    recipe: String,
    cuts: Vec<u32>,
}

/// What an earlier attempt has done of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Steps done.
    pub(crate) steps: u32,
    /// Engine time they took, milliseconds.
    pub(crate) gpu_ms: u64,
    /// The latent, as the engine knows it.
    pub(crate) file: String,
}

impl Latents {
    /// `None` for what is made in one piece.
    pub(crate) fn of(task: &TaskId, spec: &TaskSpec, output: &Output) -> Option<Self> {
        let cut = spec.cut.as_ref()?;
        let cuts: Vec<u32> = cut.at().collect();
        if cuts.is_empty() {
            return None;
        }
        let (nodes, _) = seeded(spec, task.index);
        let recipe = serde_json::to_vec(&(nodes, cut)).ok()?;
        Some(Self {
            key: output.latent_key(&task.job.0, task.index),
            recipe: Uuid::new_v5(&RECIPES, &recipe).to_string(),
            cuts,
        })
    }

    /// Its name in the engine.
    fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }

    /// Is it a part of this picture, cut where this picture is cut?
    fn fits(&self, latent: &Latent) -> bool {
        latent.recipe == self.recipe && self.cuts.contains(&latent.steps)
    }
}

impl Worker {
    /// Looks for what an earlier attempt left, and hands it to the engine.
    pub(crate) async fn begun(&self, latents: &Latents) -> Option<Begun> {
        match within(self.lend(latents)).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(
                    key = latents.key,
                    error = format!("{error:#}"),
                    "can't go on from a latent: starting over"
                );
                None
            }
        }
    }

    async fn lend(&self, latents: &Latents) -> anyhow::Result<Option<Begun>> {
        let latent = self.store.get_latent(&latents.key).await?;
        let Some(Latent { steps, recipe: _, gpu_ms, file }) = latent.filter(|latent| latents.fits(latent))
        else {
            return Ok(None);
        };
        let file = self.engine.lend(latents.name(), file).await?;
        Ok(Some(Begun { steps, gpu_ms, file }))
    }

    /// Stores the latents of a prompt as they come, the latest first, until no more can come. `before`: what the
    /// attempt went on from.
    pub(crate) async fn keep_latents(
        &self,
        latents: &Latents,
        before: Option<&Begun>,
        mut saved: watch::Receiver<Option<Saved>>,
    ) {
        let before_ms = before.map_or(0, |begun| begun.gpu_ms);
        while saved.changed().await.is_ok() {
            let Some(saved) = saved.borrow_and_update().clone() else { continue };
            match within(Box::pin(self.keep_latent(latents, before_ms, &saved))).await {
                Ok(()) => tracing::debug!(key = latents.key, steps = saved.steps, "latent kept"),
                Err(error) => {
                    tracing::warn!(
                        key = latents.key,
                        steps = saved.steps,
                        error = format!("{error:#}"),
                        "latent not kept"
                    );
                }
            }
        }
    }

    async fn keep_latent(&self, latents: &Latents, before_ms: u64, saved: &Saved) -> anyhow::Result<()> {
        let file = self.engine.latent(saved, LARGEST).await?;
        let took = u64::try_from(saved.took.as_millis()).unwrap_or(u64::MAX);
        let latent = Latent {
            steps: saved.steps,
            recipe: latents.recipe.clone(),
            gpu_ms: before_ms.saturating_add(took),
            file,
        };
        Ok(self.store.put_latent(&latents.key, &latent).await?)
    }

    /// After an attempt the engine needs no latent any more that it was lent.
    pub(crate) async fn take_back(&self, latents: &Latents) {
        self.engine.take_back(latents.name()).await;
    }

    /// A task that is over has no use for it.
    pub(crate) async fn remove_latent(&self, latents: &Latents) {
        if let Err(error) = within(async { Ok(self.store.delete(&latents.key).await?) }).await {
            tracing::warn!(key = latents.key, error = format!("{error:#}"), "latent not removed");
        }
    }
}

/// No longer than it is worth.
async fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(WITHIN, work).await.with_context(|| format!("it took longer than {}s", WITHIN.as_secs()))?
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use queue::{JobUid, TaskId};
    use serde_json::json;
    use store::{Latent, Output};

    use super::Latents;

    fn latents(index: u32, change: &serde_json::Value) -> Option<Latents> {
        let of = |name: &str, usual: serde_json::Value| change.get(name).cloned().unwrap_or(usual);
        let (steps, seed) = (of("steps", json!(20)), of("seed", json!(42)));
        let spec = json!({
            "graph": {
                "3": {"class_type": "KSampler", "inputs": {
                    "seed": 0, "steps": steps, "sampler_name": of("sampler", json!("euler"))}},
                "6": {"class_type": "CLIPTextEncode", "inputs": {"text": of("prompt", json!("p"))}},
            },
            "seeds": [{"node": "3", "input": "seed", "first": seed, "counts": true}],
            "cut": {"sampler": "3", "steps": steps, "segments": of("segments", json!(2))},
            "timeoutSeconds": 300,
        });
        let task = TaskId { job: JobUid("7d3c".into()), index };
        Latents::of(&task, &serde_json::from_value(spec).expect("a spec"), &Output::new("images"))
    }

    #[test]
    fn only_a_latent_of_the_same_picture_and_cuts_fits() {
        let of = |latents: &Latents, steps| Latent {
            steps,
            recipe: latents.recipe.clone(),
            gpu_ms: 0,
            file: Bytes::new(),
        };
        let ours = latents(0, &json!({})).expect("segments");
        assert!(ours.fits(&of(&ours, 10)));
        assert!(!ours.fits(&of(&ours, 7)), "no cut is there");
        let others = [
            json!({"segments": 3}),
            json!({"seed": 43}),
            json!({"prompt": "q"}),
            json!({"sampler": "heun"}),
            json!({"steps": 21}),
        ];
        for change in others {
            let other = latents(0, &change).expect("segments");
            assert!(!ours.fits(&of(&other, 10)), "{change}");
        }
        assert!(!ours.fits(&of(&latents(1, &json!({})).expect("segments"), 10)), "another image");
    }

    #[test]
    fn a_picture_in_one_piece_keeps_nothing() {
        assert_eq!(latents(0, &json!({"segments": 1})), None);
    }
}
