//! Graphs of today's model families run with the files that a server has by default.
#![allow(clippy::needless_pass_by_value, reason = "a graph's parts are written where they are given")]

use comfyui_sim::{Options, Sim};
use serde_json::{Value, json};

use crate::client::{Client, Result, pixels};

/// A node.
fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

/// Loaders of a model, texts and a VAE; the rest of a graph is added to them.
fn loaders(model: &str, clip: Value, vae: &str) -> Value {
    json!({
        "model": node("UNETLoader", json!({"unet_name": model, "weight_dtype": "default"})),
        "clip": clip,
        "vae": node("VAELoader", json!({"vae_name": vae})),
        "words": node("CLIPTextEncode", json!({"text": "a lighthouse at dusk", "clip": ["clip", 0]})),
        "not": node("CLIPTextEncode", json!({"text": "", "clip": ["clip", 0]})),
        "decode": node("VAEDecode", json!({"samples": ["sample", 0], "vae": ["vae", 0]})),
        "save": node("SaveImage", json!({"images": ["decode", 0], "filename_prefix": "p"})),
    })
}

fn clip(name: &str, kind: &str) -> Value {
    node("CLIPLoader", json!({"clip_name": name, "type": kind, "device": "default"}))
}

fn with(mut graph: Value, nodes: Value) -> Value {
    for (name, node) in nodes.as_object().into_iter().flatten() {
        graph[name] = node.clone();
    }
    graph
}

/// Sampling with KSampler.
fn sampled(model: &str, latent: &str) -> Value {
    json!({
        "latent": node(latent, json!({"width": 64, "height": 64, "batch_size": 1})),
        "sample": node("KSampler", json!({
            "model": [model, 0], "positive": ["words", 0], "negative": ["not", 0], "latent_image": ["latent", 0],
            "seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple", "denoise": 1.0,
        })),
    })
}

/// Sampling with a guider, as FLUX has it.
fn guided(latent: &str, sigmas: Value) -> Value {
    json!({
        "guidance": node("FluxGuidance", json!({"conditioning": ["words", 0], "guidance": 4.0})),
        "guider": node("BasicGuider", json!({"model": ["model", 0], "conditioning": ["guidance", 0]})),
        "noise": node("RandomNoise", json!({"noise_seed": 1})),
        "sampler": node("KSamplerSelect", json!({"sampler_name": "euler"})),
        "sigmas": sigmas,
        "latent": node(latent, json!({"width": 64, "height": 64, "batch_size": 1})),
        "sample": node("SamplerCustomAdvanced", json!({
            "noise": ["noise", 0], "guider": ["guider", 0], "sampler": ["sampler", 0], "sigmas": ["sigmas", 0],
            "latent_image": ["latent", 0],
        })),
    })
}

#[tokio::test]
async fn each_familys_graph_makes_a_picture() -> Result {
    let shift = |class: &str| json!({"shift": node(class, json!({"model": ["model", 0], "shift": 3.0}))});
    let triple = node(
        "TripleCLIPLoader",
        json!({
            "clip_name1": "clip_g.safetensors", "clip_name2": "clip_l.safetensors", "clip_name3": "t5xxl_fp16.safetensors",
        }),
    );
    let dual = node(
        "DualCLIPLoader",
        json!({
            "clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors", "type": "flux", "device": "default",
        }),
    );
    let steps = node(
        "BasicScheduler",
        json!({
            "model": ["model", 0], "scheduler": "simple", "steps": 2, "denoise": 1.0,
        }),
    );
    let flux2_steps = node("Flux2Scheduler", json!({"steps": 2, "width": 64, "height": 64}));
    let (sd3, aura) = (shift("ModelSamplingSD3"), shift("ModelSamplingAuraFlow"));
    let flux2 = loaders(
        "flux2_dev_fp8mixed.safetensors",
        clip("mistral_3_small_flux2_fp8.safetensors", "flux2"),
        "flux2-vae.safetensors",
    );
    let qwen = loaders(
        "qwen_image_fp8_e4m3fn.safetensors",
        clip("qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_image"),
        "qwen_image_vae.safetensors",
    );
    let z_image =
        loaders("z_image_turbo_bf16.safetensors", clip("qwen_3_4b.safetensors", "lumina2"), "ae.safetensors");
    let graphs = [
        (
            "SD3.5",
            with(
                with(loaders("sd3.5_large.safetensors", triple, "sd3_vae.safetensors"), sd3),
                sampled("shift", "EmptySD3LatentImage"),
            ),
        ),
        (
            "FLUX.1",
            with(
                loaders("flux1-dev.safetensors", dual, "ae.safetensors"),
                guided("EmptySD3LatentImage", steps),
            ),
        ),
        ("FLUX.2", with(flux2, guided("EmptyFlux2LatentImage", flux2_steps))),
        ("Qwen-Image", with(with(qwen, aura.clone()), sampled("shift", "EmptySD3LatentImage"))),
        ("Z-Image", with(with(z_image, aura), sampled("shift", "EmptySD3LatentImage"))),
    ];
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let mut seen = Vec::new();
    for (family, graph) in graphs {
        let picture = pixels(&client.make(&graph, "save", "images").await?);
        assert_eq!((picture.0, picture.1), (64, 64), "{family}");
        assert!(!seen.contains(&picture), "{family}");
        seen.push(picture);
    }
    assert_eq!(sim.samplings().len(), 5);
    Ok(())
}

#[tokio::test]
async fn a_class_that_is_not_known_hands_on_what_came_in_and_shows_what_it_did() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let mut graph = crate::client::text_to_image(1, 2, 64);
    let plain = pixels(&client.make(&graph, "9", "images").await?);
    graph["10"] = node("FreeU_V2", json!({"model": ["4", 0], "b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}));
    graph["3"]["inputs"]["model"] = json!(["10", 0]);
    graph["11"] = node("ImageBlur", json!({"image": ["8", 0], "blur_radius": 1, "sigma": 1.0}));
    graph["9"]["inputs"]["images"] = json!(["11", 0]);
    assert_ne!(pixels(&client.make(&graph, "9", "images").await?), plain);
    let model = sim.samplings()[1]["model"].as_str().unwrap().to_owned();
    assert!(model.starts_with("v1-5-pruned.safetensors FreeU_V2(b1=1.3"), "{model}");

    let impossible = json!({
        "1": node("EmptyImage", json!({"width": 8, "height": 8, "batch_size": 1, "color": 1})),
        "2": node("MaskToImage", json!({"mask": ["3", 0]})),
        "3": node("ImageColorToMask", json!({"image": ["1", 0], "color": 1})),
        "9": node("SaveImage", json!({"images": ["2", 0], "filename_prefix": "p"})),
    });
    let history = client.run(&impossible).await?;
    let error = &history["status"]["messages"].as_array().unwrap().last().unwrap()[1];
    assert_eq!(error["exception_type"], "NotImplementedError");
    Ok(())
}
