//! `/v1/files`: files for jobs to start from.

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::{
    app::App,
    error::Error,
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
    let folder = Folder::to_fill(app, &caller, mount).await?;
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if !kind.as_deref().is_some_and(|kind| kind.starts_with("multipart/form-data")) {
        let description = Description { name, media_type: kind, id: None };
        return folder.take(description, request.into_body().into_data_stream()).await;
    }
    folder.take_part(request, "file", &[], |_| Ok(Description { name, ..Description::default() })).await
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
) -> Result<Response, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let folder = Folder::of(&app, &caller, &mount).await?;
        folder.download(&folder.find(&id).await?, &headers).await
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
