//! Jobs of every type of work.

use anyhow::Result;
use crds::ImageRecipe;
use serde_json::{Value, json};

/// The recipe `inked`: the usual graph with a LoRA, and names for what may change.
pub(crate) fn recipe(model: &str) -> Result<ImageRecipe> {
    let mut graph = e2e::graph(model);
    (graph["5"]["inputs"]["width"], graph["5"]["inputs"]["height"]) = (512.into(), 512.into());
    graph["10"] = json!({ "class_type": "LoraLoader", "inputs": {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": "ink.safetensors",
        "strength_model": 1.0, "strength_clip": 1.0 } });
    graph["3"]["inputs"]["model"] = json!(["10", 0]);
    let recipe = json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "ImageRecipe",
        "metadata": { "name": "inked" },
        "spec": { "graph": graph, "outputs": ["9"], "unitsFrom": ["steps"], "inputs": [
            { "name": "prompt", "type": "String", "to": ["6.text"], "required": true },
            { "name": "steps", "type": "Integer", "to": ["3.steps"], "minimum": 1, "maximum": 30, "default": 8 },
            { "name": "ink", "type": "Number", "to": ["10.strength_model"], "default": "0.8" },
            { "name": "seed", "type": "Seed", "to": ["3.seed"] } ] },
    });
    Ok(serde_json::from_value(recipe)?)
}

/// A job of the recipe, a picture from a picture of the job `lighthouse`, a WebP, and a clip.
pub(crate) fn jobs(model: &str) -> [(&'static str, Value); 4] {
    let woodcut = json!({ "work": { "type": "Recipe", "recipe": {
        "name": "inked", "inputs": { "prompt": "a heron in the reeds", "ink": "0.9" } } } });
    let painted = json!({
        "inputs": [{ "name": "photo", "from": { "job": { "name": "lighthouse" } } }],
        "work": { "type": "ImageToImage", "imageToImage": {
            "model": model, "prompt": "the same, in oil", "image": "photo", "strength": "0.6", "steps": 10 } },
    });
    let mut stamp = e2e::picture(&json!({ "model": model, "prompt": "a stamp with a ship", "steps": 6 }));
    stamp["output"] = json!({ "format": "webp", "quality": 80 });
    let mut waves = e2e::graph(model);
    waves["5"]["inputs"]["batch_size"] = 8.into();
    waves["9"] = json!({ "class_type": "SaveAnimatedWEBP", "inputs": {
        "images": ["8", 0], "filename_prefix": "waves", "fps": 8.0, "lossless": true, "quality": 80,
        "method": "default" } });
    [("woodcut", woodcut), ("painted", painted), ("stamp", stamp), ("clip", e2e::workflow(&waves))]
}
