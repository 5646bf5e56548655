//! `/v1/jobs/{id}/results`: the files that a job made.

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::problem::Problem;
use crate::{app::App, error::Error, files};

/// How a file is wanted.
#[derive(Deserialize)]
pub(crate) struct How {
    /// A signed URL of the bucket instead of the bytes.
    #[serde(default)]
    redirect: bool,
}

/// For so long a signed URL counts.
const SIGNED_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

/// Output `n` of image `index`. It comes through the API, unless the caller asks to be sent to the bucket: most clients
/// would pass their key on to it.
pub(crate) async fn file(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, index, n)): Path<(String, u32, usize)>,
    Query(how): Query<How>,
) -> Result<Response, Problem> {
    let answered = async {
        let caller = app.caller(&headers)?;
        let job = app.jobs.get(&caller.tenant, &id).await?;
        let file = files::find(&job, index, n)?;
        let store = app.buckets.of_job(&job).await?;
        if !how.redirect {
            return files::download(&store, &file.into(), &headers).await;
        }
        let signed = store.presign(&file.key, SIGNED_FOR).await;
        let signed = signed.map_err(|error| Error::Internal(format!("no URL can be signed: {error}")))?;
        Ok((StatusCode::FOUND, [(header::LOCATION, signed)]).into_response())
    };
    answered.await.map_err(|error| app.problem(error))
}
