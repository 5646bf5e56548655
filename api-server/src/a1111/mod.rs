//! The API of A1111's web UI, `/sdapi/v1`, as webuiapi, Open WebUI and SillyTavern use it.

mod answer;
mod error;
mod generate;
mod lists;
mod order;
mod running;
mod start;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use serde_json::json;

use crate::{app::App, http::body::WITH_PICTURES_AT_MOST};

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "a1111";

pub(crate) fn routes() -> Router<App> {
    let empty_list = || get(|| async { Json(json!([])) });
    let empty_object = || get(|| async { Json(json!({})) });
    Router::new()
        .route("/sdapi/v1/txt2img", post(generate::text_to_image))
        .route("/sdapi/v1/img2img", post(generate::image_to_image))
        .route("/sdapi/v1/progress", get(running::progress))
        .route("/sdapi/v1/interrupt", post(running::interrupt))
        .route("/sdapi/v1/skip", post(running::interrupt))
        .route("/sdapi/v1/options", get(lists::options).post(lists::set_options))
        .route("/sdapi/v1/sd-models", get(lists::models))
        .route("/sdapi/v1/samplers", get(lists::samplers))
        .route("/sdapi/v1/schedulers", get(lists::schedulers))
        .route("/sdapi/v1/scripts", get(|| async { Json(json!({ "txt2img": [], "img2img": [] })) }))
        .route("/sdapi/v1/loras", empty_list())
        .route("/sdapi/v1/upscalers", empty_list())
        .route("/sdapi/v1/latent-upscale-modes", empty_list())
        .route("/sdapi/v1/sd-vae", empty_list())
        .route("/sdapi/v1/prompt-styles", empty_list())
        .route("/sdapi/v1/embeddings", get(|| async { Json(json!({ "loaded": {}, "skipped": {} })) }))
        .route("/sdapi/v1/cmd-flags", empty_object())
        .layer(DefaultBodyLimit::max(WITH_PICTURES_AT_MOST))
}
