//! `/v1/models`: what the tenant may name as a model.

use axum::{Json, extract::State, http::HeaderMap};
use serde_json::{Value, json};

use super::error::Refusal;
use crate::{app::App, http::Mount, models};

/// The models, and the other names that requests may give them.
pub(crate) async fn list(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let mut names = models::names(&app, &caller.tenant, &mount);
    names.extend(caller.tenant.spec.model_aliases.iter().map(|alias| alias.name.clone()));
    // Nobody knows when a file was made.
    let model = |name: &String| json!({ "id": name, "object": "model", "created": 0, "owned_by": &*caller.tenant.name });
    Ok(Json(json!({ "object": "list", "data": names.iter().map(model).collect::<Vec<_>>() })))
}
