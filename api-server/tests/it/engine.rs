//! A pool whose workers have told what their engine has.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use testkit::S3;

use crate::{native::store, rig::Rig};

/// What an engine with two checkpoints has.
pub(crate) fn definitions() -> Value {
    let class = |inputs: Value, outputs: Value, is_output: bool| json!({"input": {"required": inputs}, "output": outputs, "output_name": outputs, "output_node": is_output, "python_module": "nodes"});
    json!({
        "KSampler": class(json!({"model": ["MODEL"], "positive": ["CONDITIONING"], "negative": ["CONDITIONING"], "latent_image": ["LATENT"],
            "seed": ["INT", {"min": 0, "max": u64::MAX}], "steps": ["INT", {"min": 1, "max": 10000}], "cfg": ["FLOAT", {}],
            "sampler_name": [["euler", "odd"]], "scheduler": [["normal"]], "denoise": ["FLOAT", {}]}), json!(["LATENT"]), false),
        "CheckpointLoaderSimple": class(json!({"ckpt_name": [["sd15.safetensors", "secret.safetensors"]]}), json!(["MODEL", "CLIP", "VAE"]), false),
        "EmptyLatentImage": class(json!({"width": ["INT", {}], "height": ["INT", {}], "batch_size": ["INT", {}]}), json!(["LATENT"]), false),
        "CLIPTextEncode": class(json!({"text": ["STRING", {}], "clip": ["CLIP"]}), json!(["CONDITIONING"]), false),
        "VAEDecode": class(json!({"samples": ["LATENT"], "vae": ["VAE"]}), json!(["IMAGE"]), false),
        "SaveImage": class(json!({"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}), json!([]), true),
        "LoraLoader": class(json!({"lora_name": ["COMBO", {"options": ["a.safetensors", "sd15-b.safetensors"]}]}), json!(["MODEL"]), false),
    })
}

/// Creates the pool `sd15`, which has such an engine and a busy worker.
pub(crate) async fn pool_with_workers(rig: &Rig, s3: &S3) {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(definitions().to_string().as_bytes()).unwrap();
    let object = "generated/engines/abc.json.gz";
    store(s3).await.put_definitions(object, packer.finish().unwrap().into()).await.unwrap();
    let busy = json!({"name": "spot", "type": "Spot", "total": 1, "starting": 0, "idle": 0, "busy": 1, "draining": 0});
    let status = json!({"fleets": [busy], "engine": {"version": "0.3.70", "nodes": 7, "digest": "sha256:abc", "key": object}});
    rig.pool("sd15", s3, |pool| pool["status"] = status).await;
}
