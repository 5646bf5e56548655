//! Downloads (`/view`) and uploads (`/upload/image`).
use std::{collections::HashMap, path::Path, time::UNIX_EPOCH};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    files::{self, Files, Folder},
    http::{self, Shared, body, internal_error},
};

pub(crate) async fn view(
    State(server): Shared,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let name = query.get("filename").ok_or(StatusCode::NOT_FOUND)?;
    let (name, annotated) = files::annotated(name);
    if name.is_empty() || name.starts_with('/') || name.contains("..") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let folder = http::folder(query.get("type"), annotated.unwrap_or(Folder::Output))
        .ok_or(StatusCode::BAD_REQUEST)?;
    let subfolder = query.get("subfolder").map(String::as_str).unwrap_or_default();
    let directory = server.files.subfolder(folder, subfolder).ok_or(StatusCode::FORBIDDEN)?;
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let path = directory.join(name);
    let file = Bytes::from(std::fs::read(&path).map_err(|_| StatusCode::NOT_FOUND)?);

    let modified = path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(UNIX_EPOCH);
    let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let etag = format!("\"{modified:x}-{:x}\"", file.len());
    let content_type = content_type(&path);
    let about = [
        (header::CONTENT_TYPE, content_type),
        (header::ETAG, etag.as_str()),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag.as_str());
    if known {
        return Ok((StatusCode::NOT_MODIFIED, about, http::disposition(name)).into_response());
    }
    Ok(match range(&headers, file.len()) {
        Some((first, last)) => {
            let content_range = format!("bytes {first}-{last}/{}", file.len());
            let part = file.slice(first..=last);
            let range = [(header::CONTENT_RANGE, content_range)];
            (StatusCode::PARTIAL_CONTENT, about, range, http::disposition(name), part).into_response()
        }
        None => (about, http::disposition(name), file).into_response(),
    })
}

/// The content type that Python's `mimetypes` derives from the name.
fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("mp3") => "audio/mpeg",
        Some("flac") => "audio/flac",
        Some("opus") => "audio/ogg",
        Some("gif") => "image/gif",
        Some("glb") => "model/gltf-binary",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}

/// The bytes that `Range: bytes=first-last` asks for.
fn range(headers: &HeaderMap, length: usize) -> Option<(usize, usize)> {
    let (first, last) = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = last.parse().unwrap_or(usize::MAX).min(length.checked_sub(1)?);
    (first <= last).then_some((first, last))
}

/// Parts: `image` (the file, of any kind), `type`, `subfolder`, `overwrite`.
pub(crate) async fn upload(State(server): Shared, request: Request) -> Result<Json<Value>, Response> {
    let bad = || StatusCode::BAD_REQUEST.into_response();
    let (head, content) = request.into_parts();
    let content = Body::from(body(content).await?);
    let parts = Multipart::from_request(Request::from_parts(head, content), &()).await;
    let mut parts = parts.map_err(IntoResponse::into_response)?;
    let mut file = None;
    let mut fields = HashMap::new();
    while let Some(part) = parts.next_field().await.map_err(IntoResponse::into_response)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "image" {
            let name = part.file_name().unwrap_or_default().to_owned();
            file = Some((name, part.bytes().await.map_err(IntoResponse::into_response)?));
        } else {
            fields.insert(name, part.text().await.map_err(IntoResponse::into_response)?);
        }
    }
    let (name, file) = file.ok_or_else(bad)?;
    if name.is_empty() {
        return Err(internal_error());
    }
    let folder = http::folder(fields.get("type"), Folder::Input).ok_or_else(internal_error)?;
    let subfolder = fields.get("subfolder").map(String::as_str).unwrap_or_default();
    let directory = server.files.subfolder(folder, subfolder).ok_or_else(bad)?;
    if name.contains('/') || name.contains("..") {
        return Err(bad());
    }
    let overwrite = fields.get("overwrite").is_some_and(|value| value == "true" || value == "1");
    if server.disk_full() {
        return Err(internal_error());
    }
    let written = write(&server.files, &directory, &name, &file, overwrite);
    let name = written.map_err(|_| internal_error())?;
    server.state().stats.uploads += 1;
    Ok(Json(json!({"name": name, "subfolder": subfolder, "type": folder})))
}

/// Writes the file as `name`, or as `name (1)` and so on if the name is taken by another file. Returns the name.
fn write(
    files: &Files,
    directory: &Path,
    name: &str,
    file: &[u8],
    overwrite: bool,
) -> std::io::Result<String> {
    std::fs::create_dir_all(directory)?;
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (name, String::new()),
    };
    let mut free = name.to_owned();
    for number in 1.. {
        let path = directory.join(&free);
        if overwrite || !path.exists() {
            files.write(&path, file)?;
            break;
        }
        if std::fs::read(&path)? == file {
            break;
        }
        free = format!("{stem} ({number}){extension}");
    }
    Ok(free)
}
