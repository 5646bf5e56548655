//! `/assets/{id}`: the files of jobs, and those that were uploaded.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use crds::JobOutput;
use serde_json::{Value, json};

use super::{
    output::{Asset, AssetId, Place},
    refusal::Refusal,
    uploads,
    view::Base,
};
use crate::{
    app::App,
    auth::{Caller, stays_on_redirect},
    cache::Job,
    error::Error,
    files,
    http::Mount,
    uploads::{Folder, Uploaded, is_id},
};

/// For so long a signed URL counts.
const SIGNED_FOR: Duration = Duration::from_secs(3600);

/// An asset.
pub(super) enum Found {
    /// A file of a job.
    Output(Arc<Job>, Place),
    /// A file that was uploaded, and where it lies.
    Upload(Box<Folder>, Uploaded),
}

/// What is known of a file.
pub(super) async fn get(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let base = Base::new(&app, &mount);
    Ok(Json(match find(&app, &app.caller(&headers)?, &mount, &id).await? {
        Found::Output(job, place) => {
            json!(Asset::of(&base, &job, place, files::find(&job, place.0, place.1)?))
        }
        Found::Upload(_, file) => uploads::view(&base, &file, None),
    }))
}

/// A file's bytes.
pub(super) async fn content(
    State(app): State<App>,
    mount: Mount,
    method: Method,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    match find(&app, &app.caller(&headers)?, &mount, &id).await? {
        Found::Output(job, place) => output_content(&app, &method, &headers, &job, place).await,
        // Its kind is what a caller says it is, so it comes from here, with headers that let it run nothing.
        Found::Upload(folder, file) => Ok(folder.download(&file, &headers).await?),
    }
}

/// The bytes of a job's file. Who can be sent to the bucket without the key going there too is sent there.
async fn output_content(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    job: &Job,
    place: Place,
) -> Result<Response, Refusal> {
    let file = files::find(job, place.0, place.1)?;
    let store = app.buckets.of_job(job).await?;
    // A URL is signed for one method.
    let redirect = *method == Method::GET
        && stays_on_redirect(headers)
        && job.status.output.as_ref().is_some_and(is_reached_by_callers);
    if !redirect {
        return Ok(files::download(&store, &file.into(), headers).await?);
    }
    let signed = store.presign(&file.key, SIGNED_FOR).await;
    let signed = signed.map_err(|error| Error::Internal(format!("no URL can be signed: {error}")))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, signed)]).into_response())
}

/// Whether callers reach the bucket by the address that workers use. They do at AWS, and where the public URLs of the files
/// begin with that address; a store inside the cluster may have another public address, or none.
fn is_reached_by_callers(output: &JobOutput) -> bool {
    match &output.endpoint {
        None => true,
        Some(endpoint) => {
            let rest = output.public_url.strip_prefix(endpoint.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

/// Deletes an upload. Files of jobs stay as long as the bucket keeps them.
pub(super) async fn delete(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let caller = app.caller(&headers)?;
    caller.may_write()?;
    match find(&app, &caller, &mount, &id).await? {
        Found::Output(..) => Err(Refusal::not_implemented("the files of a job can't be deleted one by one")),
        Found::Upload(folder, file) => {
            folder.delete(&file.id).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

/// The asset with this id. One of another tenant does not exist.
///
/// # Errors
/// [`Error::NotFound`]; others when it can't be looked up.
pub(super) async fn find(app: &App, caller: &Caller, mount: &Mount, id: &str) -> Result<Found, Error> {
    let none = || Error::NotFound { what: "asset", name: id.to_owned() };
    let or_none = |error| if matches!(error, Error::NotFound { .. }) { none() } else { error };
    if is_id(id) {
        let folder = Folder::of(app, caller, mount).await?;
        let file = folder.find(id).await.map_err(or_none)?;
        return Ok(Found::Upload(Box::new(folder), file));
    }
    let AssetId { job, place } = AssetId::parse(id).ok_or_else(none)?;
    let job = app.jobs.get(&caller.tenant, &job).await.map_err(or_none)?;
    files::find(&job, place.0, place.1).map_err(|_| none())?;
    Ok(Found::Output(job, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_reached_where_its_public_urls_lead() {
        for (endpoint, public_url, reached) in [
            (None, "https://images.s3.eu-west-1.amazonaws.com", true),
            (Some("https://s3.example.com/"), "https://s3.example.com/images", true),
            (Some("https://s3.example.com"), "https://cdn.example.com", false),
            (Some("http://minio.minio:9000"), "https://s3.example.com/images", false),
            (Some("https://s3.example.com"), "https://s3.example.com.other.net/images", false),
        ] {
            let output = JobOutput {
                endpoint: endpoint.map(str::to_owned),
                bucket: "images".to_owned(),
                key_prefix: String::new(),
                public_url: public_url.to_owned(),
            };
            assert_eq!(is_reached_by_callers(&output), reached, "{public_url}");
        }
    }
}
