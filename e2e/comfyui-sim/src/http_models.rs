//! What a server says that it has: model files and node classes.
use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde_json::{Map, Value, json};

use crate::{catalog, http::Shared};

pub(crate) async fn models(
    State(server): Shared,
    Path(folder): Path<String>,
) -> Result<Json<Vec<String>>, StatusCode> {
    server.catalog().models(&folder).map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// Folder by folder with sizes, for the model browser of ComfyUI's editor.
pub(crate) async fn model_sizes(
    State(server): Shared,
    Path(folder): Path<String>,
) -> Result<Json<Vec<Value>>, StatusCode> {
    let files = server.catalog().models(&folder).ok_or(StatusCode::NOT_FOUND)?;
    let about = |name: String| json!({"pathIndex": 0, "size": catalog::bytes(&name), "modified": 0.0, "created": 0.0, "name": name});
    Ok(Json(files.into_iter().map(about).collect()))
}

/// What the head of a model file says.
pub(crate) async fn model_metadata(
    State(server): Shared,
    Path(folder): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let files = server.catalog().models(&folder).unwrap_or_default();
    let file = query.get("filename").filter(|file| files.contains(file) && file.ends_with(".safetensors"));
    file.and_then(|file| catalog::metadata(file)).map(Json).ok_or(StatusCode::NOT_FOUND)
}

pub(crate) async fn object_info(State(server): Shared) -> Json<Map<String, Value>> {
    Json(server.catalog().descriptions(&server.files.input_names()))
}

pub(crate) async fn object_info_of(
    State(server): Shared,
    Path(class): Path<String>,
) -> Json<Map<String, Value>> {
    let description = server.catalog().description(&class, &server.files.input_names());
    Json(description.into_iter().map(|description| (class.clone(), description)).collect())
}
