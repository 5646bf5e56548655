//! A workflow as users export it.

use serde_json::{Value, json};

/// A small picture with this checkpoint, in ComfyUI's API format. Node 3 samples, 5 has the size, 6 the text.
#[must_use]
pub fn graph(model: &str) -> Value {
    json!({
        "4": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": model } },
        "5": { "class_type": "EmptyLatentImage", "inputs": { "width": 64, "height": 64, "batch_size": 1 } },
        "6": { "class_type": "CLIPTextEncode", "inputs": { "text": "a harbour", "clip": ["4", 1] } },
        "7": { "class_type": "CLIPTextEncode", "inputs": { "text": "people", "clip": ["4", 1] } },
        "3": { "class_type": "KSampler", "inputs": {
            "seed": 7, "steps": 5, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0] } },
        "8": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["4", 2] } },
        "9": { "class_type": "SaveImage", "inputs": { "filename_prefix": "harbour", "images": ["8", 0] } },
    })
}

/// The spec of a job that runs a workflow.
#[must_use]
pub fn workflow(graph: &Value) -> Value {
    json!({ "work": { "type": "Workflow", "workflow": { "graph": graph } } })
}

/// The spec of a job that makes a picture from a text.
#[must_use]
pub fn picture(text_to_image: &Value) -> Value {
    json!({ "work": { "type": "TextToImage", "textToImage": text_to_image } })
}
