//! `/models`: the model files that the tenant may use, by ComfyUI's folders.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::Value;

use super::{
    object_info::{Shown, choices},
    refusal::Refusal,
};
use crate::{app::App, error::Error, http::Mount};

/// ComfyUI's folders of models, each with the class and the input that list its files.
const FOLDERS: [(&str, &str, &str); 11] = [
    ("checkpoints", "CheckpointLoaderSimple", "ckpt_name"),
    ("clip_vision", "CLIPVisionLoader", "clip_name"),
    ("controlnet", "ControlNetLoader", "control_net_name"),
    ("diffusion_models", "UNETLoader", "unet_name"),
    ("gligen", "GLIGENLoader", "gligen_name"),
    ("hypernetworks", "HypernetworkLoader", "hypernetwork_name"),
    ("loras", "LoraLoader", "lora_name"),
    ("style_models", "StyleModelLoader", "style_model_name"),
    ("text_encoders", "CLIPLoader", "clip_name"),
    ("upscale_models", "UpscaleModelLoader", "model_name"),
    ("vae", "VAELoader", "vae_name"),
];

/// What ComfyUI called some of them before.
const EARLIER: [(&str, &str); 2] = [("unet", "diffusion_models"), ("clip", "text_encoders")];

/// The folders.
pub(super) async fn folders(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Json<Vec<&'static str>>, Refusal> {
    app.caller(&headers)?;
    Ok(Json(FOLDERS.iter().map(|(folder, ..)| *folder).collect()))
}

/// The files of one.
pub(super) async fn files(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(folder): Path<String>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let caller = app.caller(&headers)?;
    let now = EARLIER.iter().find(|(earlier, _)| *earlier == folder).map_or(folder.as_str(), |(_, now)| now);
    let Some((_, class, input)) = FOLDERS.iter().find(|(known, ..)| *known == now) else {
        return Err(Error::NotFound { what: "folder of models", name: folder }.into());
    };
    let shown = Shown::to(&app, &caller, &mount).await?;
    Ok(Json(shown.class(class).map(|definition| choices(&definition, input)).unwrap_or_default()))
}
