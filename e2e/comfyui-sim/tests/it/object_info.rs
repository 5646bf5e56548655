//! What a server says that it can do.
use comfyui_sim::{Options, Release, Sim};
use serde_json::{Value, json};

use crate::client::{Client, Result, text_to_image};

#[tokio::test]
async fn all_recorded_classes_are_described_with_the_files_that_are_there() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let all = client.get("/object_info").await?;
    assert!(all.as_object().unwrap().len() > 630);
    assert_eq!(client.get("/object_info/KSampler").await?["KSampler"], all["KSampler"]);
    assert_eq!(client.get("/object_info/NoSuchNode").await?, json!({}));
    let listed = |class: &str, input: &str| {
        let config = &all[class]["input"]["required"][input];
        let list = if config[0].is_array() { &config[0] } else { &config[1]["options"] };
        list.as_array().unwrap().clone()
    };
    for (class, input, file) in [
        ("CheckpointLoaderSimple", "ckpt_name", "v1-5-pruned.safetensors"),
        ("UNETLoader", "unet_name", "flux1-dev.safetensors"),
        ("TripleCLIPLoader", "clip_name1", "t5xxl_fp16.safetensors"),
        ("VAELoader", "vae_name", "ae.safetensors"),
        ("LoraLoader", "lora_name", "ink.safetensors"),
        ("ControlNetLoader", "control_net_name", "control_v11p_sd15_canny.safetensors"),
        ("UpscaleModelLoader", "model_name", "4x-UltraSharp.pth"),
    ] {
        assert!(listed(class, input).contains(&json!(file)), "{class}");
    }
    assert_eq!(listed("CLIPVisionLoader", "clip_name"), Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn models_are_listed_by_folder_with_sizes_and_what_they_say_of_themselves() -> Result {
    let models = ["sd_xl_base_1.0.safetensors", "loras/style/a.safetensors"].map(str::to_owned).to_vec();
    let sim = Sim::start(Options { models, ..Options::default() })?;
    let client = Client::of(&sim);
    assert!(client.get("/models").await?.as_array().unwrap().contains(&json!("controlnet")));
    assert_eq!(client.get("/models/loras").await?, json!(["style/a.safetensors"]));
    assert_eq!(client.get("/models/vae").await?, json!([]));
    assert_eq!(client.request("GET", "/models/nosuch").send().await?.status(), 404);
    let sizes = client.get("/experiment/models/checkpoints").await?;
    assert_eq!(
        (&sizes[0]["name"], sizes[0]["size"].as_u64() > Some(1 << 30)),
        (&json!("sd_xl_base_1.0.safetensors"), true)
    );
    let about = client.get("/view_metadata/checkpoints?filename=sd_xl_base_1.0.safetensors").await?;
    assert_eq!(about["modelspec.architecture"], "stable-diffusion-xl-v1-base");
    let unknown = client.request("GET", "/view_metadata/loras?filename=style/a.safetensors").send().await?;
    assert_eq!(unknown.status(), 404);
    Ok(())
}

#[tokio::test]
async fn an_older_release_has_fewer_samplers() -> Result {
    let mut graph = text_to_image(1, 1, 64);
    graph["3"]["inputs"]["sampler_name"] = json!("exp_heun_2_x0");
    for (release, status) in [(Release::V0_3_64, 400), (Release::V0_33_0, 200)] {
        let sim = Sim::start(Options { release, ..Options::default() })?;
        let client = Client::of(&sim);
        assert_eq!(client.post("/prompt", &json!({"prompt": graph})).await?.0, status);
        assert_eq!(client.get("/system_stats").await?["system"]["comfyui_version"], release.version());
    }
    Ok(())
}
