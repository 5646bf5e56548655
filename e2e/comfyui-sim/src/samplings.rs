//! What was sampled of late, for tests that ask whether an input, a mask, a LoRA or a strength took effect.
use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::{latent::Latent, picture::Pictures, sampler::Sampling};

/// So many are remembered.
const MOST: usize = 256;

/// The latest samplings, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Samplings(VecDeque<Value>);

impl Samplings {
    pub(crate) fn add(&mut self, prompt: &str, node: &str, sampling: &Sampling, latent: &Latent) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        let source = (!latent.is_blank()).then(|| Pictures::decode(latent).mean());
        self.0.push_back(json!({
            "prompt_id": prompt,
            "node": node,
            "model": sampling.model,
            "clip": sampling.positive.model,
            "positive": sampling.positive.text,
            "negative": sampling.negative.text,
            "with": sampling.positive.with,
            "seed": sampling.seed,
            "steps": sampling.steps,
            "cfg": sampling.cfg,
            "sampler": sampling.sampler,
            "scheduler": sampling.scheduler,
            "denoise": sampling.denoise,
            "start": sampling.start,
            "add_noise": sampling.add_noise,
            "width": latent.width * crate::latent::SCALE,
            "height": latent.height * crate::latent::SCALE,
            "batch": latent.batch,
            "source": source,
            "mask": latent.mask.as_ref().map(|mask| mask.share()),
        }));
    }

    pub(crate) fn list(&self) -> Vec<Value> {
        self.0.iter().cloned().collect()
    }
}
