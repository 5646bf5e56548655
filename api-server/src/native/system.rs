//! What ComfyUI tells of itself. It never wakes a GPU.

use axum::{Json, extract::State, http::HeaderMap};
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::{app::App, definitions::pool_of, http::Mount};

/// What is told of a pool's version before a worker was there.
const USUAL_VERSION: &str = "0.3.64";
/// Memory of the machine and the GPU that clients are shown: some choose their defaults by it.
const MEMORY: u64 = 24 << 30;
/// The largest file that a pool can be set to take, in bytes.
const UPLOAD_AT_MOST: u64 = 96 << 20;

/// A machine with one GPU, as clients expect it.
pub(super) async fn stats(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let pool = pool_of(&app, &caller, &mount)?.map(|(_, pool)| pool);
    let engine = pool.as_ref().and_then(|pool| pool.status.as_ref()?.engine.as_ref());
    let version = engine.and_then(|engine| engine.version.as_deref()).unwrap_or(USUAL_VERSION);
    Ok(Json(json!({
        "system": {
            "os": "posix", "ram_total": MEMORY, "ram_free": MEMORY, "comfyui_version": version,
            "python_version": "3.11.7", "pytorch_version": "2.8.0", "embedded_python": false, "argv": ["main.py"],
        },
        "devices": [{
            "name": "imagejob", "type": "cuda", "index": 0, "vram_total": MEMORY, "vram_free": MEMORY,
            "torch_vram_total": MEMORY, "torch_vram_free": MEMORY,
        }],
    })))
}

/// What this server can beyond ComfyUI's first protocol. A pool may take less than the largest upload.
pub(super) fn flags() -> Value {
    json!({ "supports_preview_metadata": false, "max_upload_size": UPLOAD_AT_MOST })
}

pub(super) async fn features(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    app.caller(&headers)?;
    Ok(Json(flags()))
}

/// Memory of workers is the workers' own matter.
pub(super) async fn free(State(app): State<App>, headers: HeaderMap) -> Result<(), Refusal> {
    app.caller(&headers)?;
    Ok(())
}

/// An empty list: of extensions for the editor, of embeddings.
pub(super) async fn nothing(State(app): State<App>, headers: HeaderMap) -> Result<Json<[(); 0]>, Refusal> {
    app.caller(&headers)?;
    Ok(Json([]))
}
