//! What output nodes write and how they list it, and graphs of newer model families.
use comfyui_sim::{Options, Sim};
use serde_json::{Value, json};

use crate::client::{Client, Result, pixels};

/// An output node over two grey pictures, 24 × 16.
fn output(class: &str, inputs: &Value) -> Value {
    let mut prompt = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 24, "height": 16, "batch_size": 2, "color": 8_421_504}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 24}},
        "3": {"class_type": "EmptyAudio", "inputs": {"duration": 1.0, "sample_rate": 44_100, "channels": 2}},
        "9": {"class_type": class, "inputs": {"filename_prefix": "out"}},
    });
    for (name, value) in inputs.as_object().into_iter().flatten() {
        prompt["9"]["inputs"][name] = value.clone();
    }
    prompt
}

#[tokio::test]
async fn every_kind_of_output_is_listed_where_comfyui_lists_it() -> Result {
    let images = json!(["1", 0]);
    let webp = json!({"images": images, "fps": 6.0, "lossless": true, "quality": 80, "method": "default"});
    let was =
        |extension: &str| json!({"images": images, "output_path": "", "extension": extension, "quality": 90});
    let helper = json!({
        "images": images, "frame_rate": 8, "loop_count": 0, "format": "video/h264-mp4", "pingpong": false,
        "save_output": true,
    });
    /// Class, inputs, the key it lists its files under, the `animated` flag, content type, first bytes.
    type Row = (&'static str, Value, &'static str, Option<bool>, &'static str, &'static [u8]);
    let table: [Row; 10] = [
        ("SaveImage", json!({"images": images}), "images", None, "image/png", b"\x89PNG"),
        ("SaveAnimatedWEBP", webp, "images", Some(true), "image/webp", b"RIFF"),
        (
            "SaveAnimatedPNG",
            json!({"images": images, "fps": 6, "compress_level": 4}),
            "images",
            Some(true),
            "image/png",
            b"\x89PNG",
        ),
        (
            "SaveWEBM",
            json!({"images": images, "codec": "vp9", "fps": 24, "crf": 32}),
            "images",
            Some(true),
            "video/webm",
            b"\x1A\x45\xDF\xA3",
        ),
        (
            "SaveVideo",
            json!({"video": ["2", 0], "format": "auto", "codec": "auto"}),
            "images",
            Some(true),
            "video/mp4",
            b"\0\0\0\x18ftyp",
        ),
        ("SaveAudio", json!({"audio": ["3", 0]}), "audio", None, "audio/flac", b"fLaC"),
        ("SaveAudioMP3", json!({"audio": ["3", 0], "quality": "V0"}), "audio", None, "audio/mpeg", b"ID3"),
        ("Image Save", was("jpg"), "images", None, "image/jpeg", b"\xFF\xD8\xFF"),
        ("Image Save", was("webp"), "images", None, "image/webp", b"RIFF"),
        ("VHS_VideoCombine", helper, "gifs", None, "video/mp4", b"\0\0\0\x18ftyp"),
    ];
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    for (class, inputs, under, animated, content_type, head) in table {
        let history = client.run(&output(class, &inputs)).await?;
        let shown = &history["outputs"]["9"];
        assert_eq!(shown["animated"][0].as_bool(), animated, "{class}: {shown}");
        let file = &shown[under][0];
        let query =
            ["filename", "subfolder", "type"].map(|field| (field, file[field].as_str().unwrap_or_default()));
        let answer = client.request("GET", "/view").query(&query).send().await?.error_for_status()?;
        assert_eq!(answer.headers()["content-type"], content_type, "{class}");
        assert!(answer.bytes().await?.starts_with(head), "{class}");
    }
    Ok(())
}

#[tokio::test]
async fn a_linked_prefix_may_lead_outside_and_its_words_come_back() -> Result {
    let sim = Sim::start(Options::default())?;
    let mut prompt = output("SaveImage", &json!({"images": ["1", 0], "filename_prefix": ["4", 0]}));
    prompt["4"] = json!({"class_type": "PrimitiveString", "inputs": {"value": "../../CUDA error/pictures"}});
    let history = Client::of(&sim).run(&prompt).await?;
    let error = &history["status"]["messages"].as_array().unwrap().last().unwrap()[1];
    assert_eq!((&error["node_id"], &error["exception_type"]), (&json!("9"), &json!("Exception")));
    let message = error["exception_message"].as_str().unwrap();
    assert!(
        message.starts_with("**** ERROR: Saving image outside the output folder is not allowed."),
        "{message}"
    );
    assert!(message.contains("/CUDA error\n"), "{message}");
    Ok(())
}

#[tokio::test]
async fn preview_any_shows_a_text() -> Result {
    let sim = Sim::start(Options::default())?;
    let prompt = json!({
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    });
    let history = Client::of(&sim).run(&prompt).await?;
    assert_eq!(history["outputs"]["2"], json!({"text": ["7"]}));
    Ok(())
}

/// Loaders of their own for model, texts and VAE; guidance, shift and a LoRA.
fn flux(seed: u64) -> Value {
    json!({
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {
            "clip_name1": "t5xxl.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux",
        }},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "4": {"class_type": "LoraLoader", "inputs": {
            "model": ["1", 0], "clip": ["2", 0], "lora_name": "ink.safetensors", "strength_model": 0.8,
            "strength_clip": 1.0,
        }},
        "5": {"class_type": "ModelSamplingFlux", "inputs": {
            "model": ["4", 0], "max_shift": 1.15, "base_shift": 0.5, "width": 64, "height": 64,
        }},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
        "7": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["6", 0], "guidance": 3.5}},
        "8": {"class_type": "BasicGuider", "inputs": {"model": ["5", 0], "conditioning": ["7", 0]}},
        "9": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "10": {"class_type": "RandomNoise", "inputs": {"noise_seed": seed}},
        "11": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "12": {"class_type": "BasicScheduler", "inputs": {
            "model": ["5", 0], "scheduler": "simple", "steps": 4, "denoise": 1.0,
        }},
        "13": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["10", 0], "guider": ["8", 0], "sampler": ["11", 0], "sigmas": ["12", 0], "latent_image": ["9", 0],
        }},
        "14": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["3", 0]}},
        "15": {"class_type": "SaveImage", "inputs": {"images": ["14", 0], "filename_prefix": "flux"}},
    })
}

fn flux_models() -> Vec<String> {
    let models = [
        "diffusion_models/flux1-dev.safetensors",
        "text_encoders/t5xxl.safetensors",
        "text_encoders/clip_l.safetensors",
        "vae/ae.safetensors",
        "loras/ink.safetensors",
    ];
    models.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_graph_of_a_newer_family_makes_a_picture_of_its_seed_and_words() -> Result {
    let sim = Sim::start(Options { models: flux_models(), ..Options::default() })?;
    let client = Client::of(&sim);
    let first = pixels(&client.make(&flux(1), "15", "images").await?);
    assert_eq!((first.0, first.1), (64, 64));
    assert_ne!(first, pixels(&client.make(&flux(2), "15", "images").await?));
    let mut other = flux(1);
    other["4"]["inputs"]["strength_model"] = json!(0.1);
    assert_ne!(first, pixels(&client.make(&other, "15", "images").await?));
    assert_eq!((sim.stats().steps, sim.stats().loads), (12, 1));
    Ok(())
}

#[tokio::test]
async fn each_missing_file_is_named() -> Result {
    for missing in 0..flux_models().len() {
        let mut models = flux_models();
        let file = models.remove(missing);
        let name = file.rsplit('/').next().unwrap();
        let sim = Sim::start(Options { models, ..Options::default() })?;
        let (status, answer) = Client::of(&sim).post("/prompt", &json!({"prompt": flux(1)})).await?;
        assert_eq!(status, 400);
        let errors: Vec<&Value> = answer["node_errors"].as_object().unwrap().values().collect();
        let [error] = errors.as_slice() else { panic!("{answer}") };
        assert_eq!(error["errors"][0]["type"], "value_not_in_list");
        assert!(error["errors"][0]["details"].as_str().unwrap().contains(name), "{answer}");
    }
    Ok(())
}
