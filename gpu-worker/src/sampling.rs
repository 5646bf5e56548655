//! The sampler of a text-to-image graph: one, or a chain of them that is cut where the job says, with the latent
//! saved at each cut. The chain is one prompt, so the engine samples on while a latent is stored.

use queue::TextToImage;
use serde_json::{Value, json};

use crate::comfyui::Segment;

/// The node that ends the sampling, as in the engine's own default workflow.
pub(crate) const SAMPLED: &str = "3";
/// The node that it starts from.
pub(crate) const START: &str = "5";
/// Ids of the samplers that end at a cut, and of what saves their latents: the steps of the cut are added. The
/// engine takes at most 10,000 steps.
const SAMPLERS: u32 = 10_000;
const SAVERS: u32 = 20_000;
/// As an end: however many steps there are.
const TO_THE_END: u32 = 10_000;

/// The nodes that take a picture's steps.
#[derive(Debug)]
pub(crate) struct Sampling {
    pub(crate) nodes: Vec<(String, Value)>,
    /// None if the steps are taken in one piece.
    pub(crate) segments: Vec<Segment>,
}

impl Sampling {
    /// Takes the steps after the first `done`, which are in what it starts from.
    pub(crate) fn new(picture: &TextToImage, seed: u64, done: u32, prefix: &str) -> Self {
        if picture.cuts().next().is_none() {
            return Self { nodes: vec![whole(picture, seed)], segments: vec![] };
        }
        let mut sampling = Self { nodes: vec![], segments: vec![] };
        let cuts_left = picture.cuts().skip_while(|cut| *cut <= done);
        let (mut done, mut from) = (done, START.to_owned());
        for cut in cuts_left {
            let (sampler, saver) = ((SAMPLERS + cut).to_string(), (SAVERS + cut).to_string());
            let prefix = format!("{prefix}-{cut}");
            let inputs = json!({"samples": [sampler, 0], "filename_prefix": prefix});
            sampling.nodes.push((sampler.clone(), piece(picture, seed, &from, done, cut)));
            sampling.nodes.push((saver.clone(), json!({"class_type": "SaveLatent", "inputs": inputs})));
            sampling.segments.push(Segment {
                sampler: sampler.clone(),
                saver: Some(saver),
                steps: done..cut,
            });
            (done, from) = (cut, sampler);
        }
        sampling.nodes.push((SAMPLED.to_owned(), piece(picture, seed, &from, done, picture.steps)));
        sampling.segments.push(Segment {
            sampler: SAMPLED.to_owned(),
            saver: None,
            steps: done..picture.steps,
        });
        sampling
    }
}

fn whole(picture: &TextToImage, seed: u64) -> (String, Value) {
    let TextToImage { steps, cfg_scale, sampler, scheduler, .. } = picture;
    let inputs = json!({
        "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": [START, 0],
        "seed": seed, "steps": steps, "cfg": cfg_scale, "sampler_name": sampler, "scheduler": scheduler,
        "denoise": 1.0,
    });
    (SAMPLED.to_owned(), json!({"class_type": "KSampler", "inputs": inputs}))
}

/// Steps `start` to `end` of the picture's: noise comes in before the first and is gone after the last.
fn piece(picture: &TextToImage, seed: u64, from: &str, start: u32, end: u32) -> Value {
    let TextToImage { steps, cfg_scale, sampler, scheduler, .. } = picture;
    let switch = |on: bool| if on { "enable" } else { "disable" };
    let cut = end < *steps;
    let inputs = json!({
        "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": [from, 0],
        "noise_seed": seed, "steps": steps, "cfg": cfg_scale, "sampler_name": sampler, "scheduler": scheduler,
        "add_noise": switch(start == 0), "start_at_step": start, "end_at_step": if cut { end } else { TO_THE_END },
        "return_with_leftover_noise": switch(cut),
    });
    json!({"class_type": "KSamplerAdvanced", "inputs": inputs})
}
