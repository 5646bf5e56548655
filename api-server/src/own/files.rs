//! `/v1/files`: files for jobs to start from.

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Multipart, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures::TryStreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::{
    app::App,
    error::Error,
    files,
    http::Mount,
    uploads::{Description, Folder, Uploaded},
};

/// What a file is called, where it comes as the body itself.
#[derive(Deserialize)]
pub(crate) struct Named {
    name: Option<String>,
}

/// Takes a file: as the body itself, or as the part `file` of a form.
pub(crate) async fn upload(
    State(app): State<App>,
    mount: Mount,
    Query(named): Query<Named>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (uploaded, is_new) =
        take(&app, &mount, named.name, request).await.map_err(|error| app.problem(error))?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(view(&uploaded))))
}

async fn take(
    app: &App,
    mount: &Mount,
    name: Option<String>,
    request: Request,
) -> Result<(Uploaded, bool), Error> {
    let caller = app.caller(request.headers())?;
    caller.may_write()?;
    app.limits.admit(&caller, None).await?;
    let folder = Folder::of(app, &caller, mount).await?;
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if !kind.as_deref().is_some_and(|kind| kind.starts_with("multipart/form-data")) {
        let description = Description { name, media_type: kind, id: None };
        return folder.take(description, request.into_body().into_data_stream()).await;
    }
    let broken =
        |error: &dyn std::fmt::Display| Error::invalid("", format!("the form can't be read: {error}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
    while let Some(part) = form.next_field().await.map_err(|error| broken(&error))? {
        if part.name() == Some("file") {
            let description = Description {
                name: name.or_else(|| part.file_name().map(str::to_owned)),
                media_type: part.content_type().map(str::to_owned),
                id: None,
            };
            return folder.take(description, part.into_stream()).await;
        }
    }
    Err(Error::invalid("", "the form has no part named file"))
}

fn view(uploaded: &Uploaded) -> Value {
    let Uploaded { id, upload, .. } = uploaded;
    let written = jiff::Timestamp::from_second(upload.written).map(|time| time.to_string());
    json!({
        "id": id,
        "name": upload.name,
        "mediaType": upload.media_type,
        "bytes": upload.bytes,
        "sha256": upload.sha256,
        "createdTime": written.ok(),
    })
}

/// What is known of a file.
pub(crate) async fn get(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        Folder::of(&app, &caller, &mount).await?.find(&id).await
    };
    found.await.map(|uploaded| Json(view(&uploaded))).map_err(|error| app.problem(error))
}

/// The file itself.
pub(crate) async fn content(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response<Body>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let folder = Folder::of(&app, &caller, &mount).await?;
        let Uploaded { key, upload, .. } = folder.find(&id).await?;
        let store::Upload { name, media_type, sha256, bytes, .. } = &upload;
        let file = files::Served { key: &key, name, media_type, bytes: *bytes, sha256: Some(sha256) };
        files::download(&folder.store, &file, &headers).await
    };
    found.await.map_err(|error| app.problem(error))
}

/// Deletes a file.
pub(crate) async fn delete(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let deleted = async {
        let caller = app.caller(&headers)?;
        caller.may_write()?;
        Folder::of(&app, &caller, &mount).await?.delete(&id).await
    };
    deleted.await.map_err(|error| app.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
