//! The sampler of a graph, cut into a chain where the job says, with the latent saved at each cut. The chain is one
//! prompt, so the engine samples on while a latent is stored.

use queue::Cut;
use serde_json::{Map, Value, json};

use crate::{comfyui::Segment, latents::Begun};

/// As an end: however many steps there are.
const TO_THE_END: u32 = 10_000;

/// Cuts a graph's KSampler; the segments that are left of it. A graph whose sampler is not as the job says is left alone.
pub(crate) fn cut(
    nodes: &mut Map<String, Value>,
    cut: &Cut,
    prefix: &str,
    begun: Option<&Begun>,
) -> Vec<Segment> {
    let Some(whole) = nodes.get(&cut.sampler).and_then(|node| node["inputs"].as_object()).cloned() else {
        return Vec::new();
    };
    if cut.at().next().is_none() {
        return Vec::new();
    }
    let mut segments = Vec::new();
    let mut from = whole.get("latent_image").cloned().unwrap_or_default();
    let mut done = 0;
    if let Some(begun) = begun {
        let loader = format!("{}-begun", cut.sampler);
        nodes.insert(loader.clone(), json!({"class_type": "LoadLatent", "inputs": {"latent": begun.file}}));
        (from, done) = (json!([loader, 0]), begun.steps);
    }
    let before = done;
    for end in cut.at().skip_while(|end| *end <= before) {
        let (sampler, saver) = (format!("{}-{end}", cut.sampler), format!("{}-{end}-latent", cut.sampler));
        let saved = json!({"samples": [sampler, 0], "filename_prefix": format!("{prefix}-{end}")});
        nodes.insert(sampler.clone(), piece(&whole, &from, done, end, cut.steps));
        nodes.insert(saver.clone(), json!({"class_type": "SaveLatent", "inputs": saved}));
        segments.push(Segment { sampler: sampler.clone(), saver: Some(saver), steps: done..end });
        (done, from) = (end, json!([sampler, 0]));
    }
    nodes.insert(cut.sampler.clone(), piece(&whole, &from, done, cut.steps, cut.steps));
    segments.push(Segment { sampler: cut.sampler.clone(), saver: None, steps: done..cut.steps });
    segments
}

/// Steps `start` to `end` of the whole sampler's: noise comes in before the first and is gone after the last.
fn piece(whole: &Map<String, Value>, from: &Value, start: u32, end: u32, steps: u32) -> Value {
    let switch = |on: bool| if on { "enable" } else { "disable" };
    let is_cut = end < steps;
    let of = |name: &str| whole.get(name).cloned().unwrap_or_default();
    json!({"class_type": "KSamplerAdvanced", "inputs": {
        "model": of("model"), "positive": of("positive"), "negative": of("negative"), "latent_image": from,
        "noise_seed": of("seed"), "steps": steps, "cfg": of("cfg"), "sampler_name": of("sampler_name"),
        "scheduler": of("scheduler"), "add_noise": switch(start == 0), "start_at_step": start,
        "end_at_step": if is_cut { end } else { TO_THE_END }, "return_with_leftover_noise": switch(is_cut),
    }})
}
