//! Files that callers hand in: `/assets` but for what is known of one by its id. An upload's id is the BLAKE3 of its content.

use axum::{
    Json,
    extract::{Path, Request, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use bytes::Bytes;
use crds::Time;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    refusal::Refusal,
    view::{Base, FOR_EVER},
};
use crate::{
    app::App,
    error::Error,
    http::{Mount, body},
    uploads::{Description, Folder, Texts, Uploaded, is_id},
};

/// What the API's hashes begin with.
const BLAKE3: &str = "blake3:";
/// What a form says of its file before it comes.
const EXPECTED_HASH: &str = "expected_hash";
const FILE_PATH: &str = "file_path";
const CONTENT_TYPE: &str = "content_type";

/// Which bytes are to be an asset. The file keeps the name that it came with.
#[derive(Deserialize)]
struct Known {
    hash: String,
}

/// Takes a file, as the last part of a form.
pub(super) async fn upload(
    State(app): State<App>,
    mount: Mount,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let base = Base::new(&app, &mount);
    let taken = async {
        let caller = app.caller(request.headers())?;
        let folder = Folder::to_fill(&app, &caller, &mount).await?;
        let describe = |mut texts: Texts| {
            let id =
                texts.remove(EXPECTED_HASH).map(|hash| id_of(&hash).map(str::to_owned).ok_or_else(malformed));
            Ok(Description {
                name: texts.remove(FILE_PATH),
                media_type: texts.remove(CONTENT_TYPE),
                id: id.transpose()?,
            })
        };
        folder.take_part(request, "file", &[EXPECTED_HASH, FILE_PATH, CONTENT_TYPE], describe).await
    };
    let (file, is_new) = taken.await.map_err(Refusal::of_upload)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(&base, &file, Some(is_new)))))
}

/// Makes an asset of bytes that are there.
pub(super) async fn from_hash(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let found = async {
        let caller = app.caller(&headers)?;
        caller.may_write()?;
        app.limits.admit(&caller, None).await?;
        let Known { hash } = body::json(body)?;
        Folder::of(&app, &caller, &mount).await?.find(id_of(&hash).unwrap_or_default()).await
    };
    let file = found.await.map_err(|error| match error {
        Error::NotFound { .. } => Refusal::new(404, "blob_not_found", "there is no file with this hash"),
        other => Refusal::of_upload(other),
    })?;
    Ok((StatusCode::CREATED, Json(view(&Base::new(&app, &mount), &file, Some(false)))))
}

/// Whether the tenant has the bytes with this hash.
pub(super) async fn is_there(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(hash): Path<String>,
) -> Result<StatusCode, Refusal> {
    let caller = app.caller(&headers)?;
    Folder::of(&app, &caller, &mount).await?.find(id_of(&hash).unwrap_or_default()).await?;
    Ok(StatusCode::OK)
}

/// An upload as an asset. It stays until it is deleted.
pub(super) fn view(base: &Base, file: &Uploaded, created_new: Option<bool>) -> Value {
    let Uploaded { id, upload, .. } = file;
    let mut view = json!({
        "id": id,
        "hash": format!("{BLAKE3}{id}"),
        "size_bytes": upload.bytes,
        "content_type": upload.media_type,
        "file_path": upload.name,
        "created_at": Time(Timestamp::from_second(upload.written).unwrap_or_default()),
        "url": base.content(id),
        "url_expires_at": Time(FOR_EVER),
        "expires_at": null,
    });
    if let Some(created_new) = created_new {
        view["created_new"] = json!(created_new);
    }
    view
}

/// The id of the upload with this hash.
fn id_of(hash: &str) -> Option<&str> {
    hash.strip_prefix(BLAKE3).filter(|id| is_id(id))
}

fn malformed() -> Error {
    Error::invalid("", format!("{EXPECTED_HASH} is {BLAKE3} and 64 small hexadecimal digits"))
}
