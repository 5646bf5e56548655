//! What there is to choose from.

use axum::{Json, extract::State, http::HeaderMap};
use serde_json::{Value, json};

use super::error::Refusal;
use crate::{
    app::App,
    http::Mount,
    models,
    samplers::{SAMPLERS, SCHEDULERS},
};

/// The web UI's settings, as far as clients ask for them: the model of requests that name none.
pub(crate) async fn options(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let default = models::meant(&app, &caller.tenant, &mount, None).ok();
    let model = default.or_else(|| models::names(&app, &caller.tenant, &mount).into_iter().next());
    Ok(Json(json!({ "sd_model_checkpoint": model.unwrap_or_default(), "samples_format": "png" })))
}

/// Takes settings without effect: several people share the server, so the model is each request's to say.
pub(crate) async fn set_options(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    app.caller(&headers)?;
    Ok(Json(json!({})))
}

/// The models that the tenant may use.
pub(crate) async fn models(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let names = models::names(&app, &caller.tenant, &mount);
    let model = |name: &String| {
        let stem = name.rsplit_once('.').map_or(&**name, |(stem, _)| stem);
        json!({ "title": name, "model_name": stem, "filename": name, "hash": null, "sha256": null, "config": null })
    };
    Ok(Json(names.iter().map(model).collect()))
}

/// The samplers, with the engine's names as their other names.
pub(crate) async fn samplers() -> Json<Value> {
    let sampler = |(name, engine): &(&str, &str)| json!({ "name": name, "aliases": [engine], "options": {} });
    Json(SAMPLERS.iter().map(sampler).collect())
}

/// The noise schedules.
pub(crate) async fn schedulers() -> Json<Value> {
    let scheduler = |(label, engine): &(&str, &str)| {
        let name = if *label == "Automatic" { "automatic" } else { engine };
        json!({ "name": name, "label": label, "aliases": null })
    };
    Json(SCHEDULERS.iter().map(scheduler).collect())
}
