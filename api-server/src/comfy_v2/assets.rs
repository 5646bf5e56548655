//! `/assets`: the files of jobs. Nothing can be uploaded.

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
    view::Base,
};
use crate::{
    app::App,
    auth::{Caller, stays_on_redirect},
    cache::Job,
    error::Error,
    files,
    http::Mount,
};

/// For so long a signed URL counts.
const SIGNED_FOR: Duration = Duration::from_secs(3600);

/// What is known of a file.
pub(super) async fn get(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let (job, place) = find(&app, &app.caller(&headers)?, &id).await?;
    let file = files::find(&job, place.0, place.1)?;
    Ok(Json(json!(Asset::of(&Base::new(&app, &mount), &job, place, file))))
}

/// A file's bytes. Who can be sent to the bucket without the key going there too is sent there.
pub(super) async fn content(
    State(app): State<App>,
    method: Method,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (job, place) = find(&app, &app.caller(&headers)?, &id).await?;
    let file = files::find(&job, place.0, place.1)?;
    let store = app.buckets.of_job(&job).await?;
    // A URL is signed for one method.
    let redirect = method == Method::GET
        && stays_on_redirect(&headers)
        && job.status.output.as_ref().is_some_and(is_reached_by_callers);
    if !redirect {
        return Ok(files::download(&store, &file.into(), &headers).await?);
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

/// Files of jobs stay as long as the bucket keeps them.
pub(super) async fn delete(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    find(&app, &app.caller(&headers)?, &id).await?;
    Err(Refusal::not_implemented("the files of a job can't be deleted one by one"))
}

/// What would take files from callers.
pub(super) async fn no_uploads(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    app.caller(&headers)?;
    Err(Refusal::not_implemented("files can't be uploaded here"))
}

/// The job that has a file of this id, and the file's place in it. A file of another tenant does not exist.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<(Arc<Job>, Place), Error> {
    let none = || Error::NotFound { what: "asset", name: id.to_owned() };
    let AssetId { job, place } = AssetId::parse(id).ok_or_else(none)?;
    let found = app.jobs.get(&caller.tenant, &job).await;
    let job = found.map_err(|error| if matches!(error, Error::NotFound { .. }) { none() } else { error })?;
    files::find(&job, place.0, place.1).map_err(|_| none())?;
    Ok((job, place))
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
