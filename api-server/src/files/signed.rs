//! URLs by which anybody gets one file for a while, without a key. They lead to us, as the bucket may be private, and as
//! some clients send their keys along wherever a URL leads.

use std::time::Duration;

use axum::{http::HeaderMap, response::Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::{download, find};
use crate::{app::App, cache::Job, error::Error};

const VALID_FOR: Duration = Duration::from_secs(3600);
const PURPOSE: &str = "file";

/// Where signed URLs lead, on the front that serves them.
pub(crate) const ROUTE: &str = "/v1/images/files/{job}/{index}/{output}";

/// What the query of a signed URL says.
#[derive(Debug, Deserialize)]
pub(crate) struct Signed {
    /// Whose job it is.
    tenant: String,
    /// Until when the URL counts, in seconds since the Unix epoch.
    expires: i64,
    sig: String,
}

/// A URL of output `output` of the job's image `index`, for an hour.
///
/// # Errors
/// When it can't be signed.
pub(crate) async fn signed_url(app: &App, job: &Job, index: u32, output: usize) -> Result<String, Error> {
    let expires = (Timestamp::now() + VALID_FOR).as_second();
    let (tenant, name) = (&job.tenant, &job.name);
    let sig = app.signer.sign(PURPOSE, &text(tenant, name, index, output, expires)).await?;
    let path = format!("/v1/images/files/{name}/{index}/{output}");
    Ok(format!("{}{path}?tenant={tenant}&expires={expires}&sig={sig}", app.public_url))
}

/// The file that a signed URL names, whatever key comes with the request.
///
/// # Errors
/// [`Error::Forbidden`] of a URL that is no longer good or that we did not sign.
pub(crate) async fn signed_file(
    app: &App,
    (name, index, output): (&str, u32, usize),
    signed: &Signed,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let Signed { tenant, expires, sig } = signed;
    if *expires < Timestamp::now().as_second() {
        return Err(Error::Forbidden("the URL counted for an hour, which is over".to_owned()));
    }
    if !app.signer.is_signed(PURPOSE, &text(tenant, name, index, output, *expires), sig).await? {
        return Err(Error::Forbidden("the URL is not as it was signed".to_owned()));
    }
    let tenant = app.cache.tenants.get(tenant).filter(|tenant| !tenant.spec.disabled);
    let tenant = tenant.ok_or_else(|| Error::no_job(name))?;
    let job = app.jobs.get(&tenant, name).await?;
    let file = find(&job, index, output)?;
    let store = app.buckets.of_job(&job).await?;
    download(&store, &file.into(), headers).await
}

fn text(tenant: &str, job: &str, index: u32, output: usize, expires: i64) -> String {
    format!("{tenant}/{job}/{index}/{output}/{expires}")
}
