//! `/v1/images/files`: pictures by their signed URLs.

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};

use super::error::Refusal;
use crate::{
    app::App,
    error::Error,
    files::{Signed, signed_file},
};

/// Streams a picture. The signature is all that counts: some clients send their key along, others none.
pub(crate) async fn file(
    State(app): State<App>,
    headers: HeaderMap,
    Path((job, index, output)): Path<(String, u32, usize)>,
    signed: Result<Query<Signed>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(signed) = signed.map_err(|_| Error::Forbidden("the URL is not signed".to_owned()))?;
    Ok(signed_file(&app, (&job, index, output), &signed, &headers).await?)
}
