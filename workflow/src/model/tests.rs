use serde_json::json;

use super::*;

fn graph(value: &Value) -> Graph {
    value.as_object().unwrap().clone()
}

#[test]
fn a_model_is_all_that_loaders_load() {
    let checkpoint =
        json!({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}});
    let flux = json!({
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "t5xxl.safetensors",
              "clip_name2": "clip_l.safetensors", "type": "flux"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    });
    let lora = json!({"1": checkpoint, "2": {"class_type": "LoraLoader",
        "inputs": {"lora_name": "style.safetensors", "model": ["1", 0]}}});
    let gguf = json!({"1": {"class_type": "UnetLoaderGGUF", "inputs": {"unet_name": "flux-Q4.gguf"}}});
    let folder = json!({"1": {"class_type": "DiffusersLoader", "inputs": {"model_name": "sd-folder"}}});
    let control = json!({"1": checkpoint, "2": {"class_type": "ControlNetLoader",
        "inputs": {"control_net_name": "canny.pth"}}, "3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}});
    let table = [
        (json!({"1": {"class_type": "EmptyImage", "inputs": {"width": 64}}}), ""),
        (json!({"1": checkpoint}), "xl.safetensors"),
        (flux, "ae.safetensors+clip_l.safetensors+flux1-dev.safetensors+t5xxl.safetensors"),
        (lora, "style.safetensors+xl.safetensors"),
        (gguf, "+flux-Q4.gguf"),
        (folder, "+sd-folder"),
        (control, "canny.pth+xl.safetensors"),
    ];
    for (nodes, want) in table {
        let model = model(&graph(&nodes));
        assert_eq!(model, want);
        assert_eq!(is_checkpoint(&model), want == "xl.safetensors");
    }
    let many = (0..20).map(|n| {
        let loader = json!({"class_type": "LoraLoader", "inputs": {"lora_name": format!("a-long-name-{n}.safetensors")}});
        (n.to_string(), loader)
    });
    assert!(model(&many.collect()).len() <= MAX_MODEL);
}

#[test]
fn work_is_alike_whatever_its_seed_and_texts_and_not_whatever_its_steps() {
    let flow = |seed: u64, text: &str, steps: u32, scheduler: &str| {
        graph(&json!({
            "3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": steps, "scheduler": scheduler}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": text}},
        }))
    };
    let one = work(&flow(1, "a", 20, "normal"));
    assert_eq!(one, work(&flow(2, "another text", 20, "normal")));
    assert_ne!(one, work(&flow(1, "a", 40, "normal")));
    assert_ne!(one, work(&flow(1, "a", 20, "karras")));
}

#[test]
fn a_digest_does_not_depend_on_the_order_of_keys_and_does_on_every_value() {
    let digest = |text: &str| digest(&graph(&serde_json::from_str(text).unwrap()));
    let one =
        digest(r#"{"1": {"class_type": "A", "inputs": {"a": 1, "b": [1, 2]}}, "2": {"class_type": "B"}}"#);
    assert_eq!(
        one,
        digest(r#"{"2": {"class_type": "B"}, "1": {"inputs": {"b": [1, 2], "a": 1}, "class_type": "A"}}"#)
    );
    assert_ne!(
        one,
        digest(r#"{"1": {"class_type": "A", "inputs": {"a": 1, "b": [2, 1]}}, "2": {"class_type": "B"}}"#)
    );
    assert!(one.starts_with("sha256:") && one.len() == 71);
}
