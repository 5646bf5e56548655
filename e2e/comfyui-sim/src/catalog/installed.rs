//! The model files that are installed, and the inputs of nodes that list them.
use serde_json::{Value, json};

/// ComfyUI's folders of models, in its order.
pub(crate) const FOLDERS: [&str; 19] = [
    "checkpoints",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "latent_upscale_models",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
];

/// The files of today's families under the names of their own pages and of ComfyUI's templates.
pub(crate) const USUAL: [&str; 40] = [
    "v1-5-pruned.safetensors",
    "sd_xl_base_1.0.safetensors",
    "v1-5-pruned-emaonly.safetensors",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "sd_xl_turbo_1.0_fp16.safetensors",
    "sdxl_lightning_4step.safetensors",
    "sd3.5_large.safetensors",
    "sd3.5_medium.safetensors",
    "sd3.5_large_fp8_scaled.safetensors",
    "flux1-dev-fp8.safetensors",
    "flux1-schnell-fp8.safetensors",
    "diffusion_models/flux1-dev.safetensors",
    "diffusion_models/flux1-schnell.safetensors",
    "diffusion_models/flux2-dev.safetensors",
    "diffusion_models/flux2_dev_fp8mixed.safetensors",
    "diffusion_models/flux-2-klein-4b.safetensors",
    "diffusion_models/sd3.5_large.safetensors",
    "diffusion_models/qwen_image_fp8_e4m3fn.safetensors",
    "diffusion_models/qwen_image_bf16.safetensors",
    "diffusion_models/z_image_turbo_bf16.safetensors",
    "text_encoders/clip_l.safetensors",
    "text_encoders/clip_g.safetensors",
    "text_encoders/t5xxl_fp16.safetensors",
    "text_encoders/t5xxl_fp8_e4m3fn.safetensors",
    "text_encoders/t5xxl_fp8_e4m3fn_scaled.safetensors",
    "text_encoders/mistral_3_small_flux2_bf16.safetensors",
    "text_encoders/mistral_3_small_flux2_fp8.safetensors",
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "text_encoders/qwen_2.5_vl_7b.safetensors",
    "text_encoders/qwen_3_4b.safetensors",
    "vae/ae.safetensors",
    "vae/flux2-vae.safetensors",
    "vae/qwen_image_vae.safetensors",
    "vae/sdxl_vae.safetensors",
    "vae/vae-ft-mse-840000-ema-pruned.safetensors",
    "vae/sd3_vae.safetensors",
    "loras/ink.safetensors",
    "loras/sdxl_lightning_4step_lora.safetensors",
    "controlnet/control_v11p_sd15_canny.safetensors",
    "upscale_models/4x-UltraSharp.pth",
];

/// The folder whose files an input lists.
pub(super) fn folder_of(class: &str, input: &str) -> Option<&'static str> {
    Some(match (class, input) {
        ("CLIPVisionLoader", "clip_name") => "clip_vision",
        (_, "clip_name" | "clip_name1" | "clip_name2" | "clip_name3" | "clip_name4") => "text_encoders",
        ("LTXAVTextEncoderLoader", "text_encoder") => "text_encoders",
        (_, "ckpt_name") => "checkpoints",
        (_, "unet_name") => "diffusion_models",
        (_, "vae_name") => "vae",
        (_, "lora_name") => "loras",
        (_, "control_net_name") => "controlnet",
        ("UpscaleModelLoader", "model_name") => "upscale_models",
        ("LatentUpscaleModelLoader", "model_name") => "latent_upscale_models",
        ("ModelPatchLoader", "name") => "model_patches",
        (_, "style_model_name") => "style_models",
        (_, "gligen_name") => "gligen",
        (_, "hypernetwork_name") => "hypernetworks",
        (_, "photomaker_model_name") => "photomaker",
        (_, "audio_encoder_name") => "audio_encoders",
        ("DiffusersLoader", "model_path") => "diffusers",
        _ => return None,
    })
}

/// The installed files of a folder. A name without a folder is a checkpoint.
pub(super) fn files_in(folder: &str, models: &[String]) -> Vec<String> {
    let place = |model: &'_ String| -> (&'static str, String) {
        let named = FOLDERS.iter().find_map(|name| {
            let file = model.strip_prefix(name)?.strip_prefix('/')?;
            Some((*name, file.to_owned()))
        });
        named.unwrap_or(("checkpoints", model.clone()))
    };
    models.iter().map(place).filter(|(of, _)| *of == folder).map(|(_, file)| file).collect()
}

/// What a model file says of itself, by its name: the keys of `modelspec`, which few real files have.
pub(crate) fn metadata(file: &str) -> Option<Value> {
    let architecture = match file {
        file if file.starts_with("v1-5") => "stable-diffusion-v1",
        file if file.starts_with("sd_xl") => "stable-diffusion-xl-v1-base",
        file if file.starts_with("sd3.5_large") => "stable-diffusion-v3.5-large",
        file if file.starts_with("flux1-dev") => "flux-1-dev",
        file if file.starts_with("flux1-schnell") => "flux-1-schnell",
        file if file.starts_with("ink") => "stable-diffusion-v1/lora",
        _ => return None,
    };
    Some(json!({"modelspec.sai_model_spec": "1.0.0", "modelspec.architecture": architecture}))
}

/// The bytes of a model file, as its listing says: no file is there.
pub(crate) fn bytes(file: &str) -> u64 {
    const MIB: u64 = 1 << 20;
    let mebibytes = match file {
        file if file.starts_with("v1-5") => 2034,
        file if file.starts_with("sd_xl") => 6617,
        file if file.contains("vae") || file == "ae.safetensors" => 320,
        file if file.starts_with("clip_") => 235,
        file if file.starts_with("ink") => 144,
        _ => 4096,
    };
    mebibytes * MIB
}
