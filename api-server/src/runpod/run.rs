//! `/run` and `/runsync`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{FRONT, endpoint::Endpoint, error::Refusal, order::Order, view};
use crate::{
    app::App,
    cache::Job,
    error::Error,
    follow::until_final,
    http::{body, held, tell_ignored},
    jobs::{Submission, Submitted},
};

/// How long a request waits that says nothing of it.
const USUAL_WAIT: Duration = Duration::from_secs(90);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Creates a job.
pub(crate) async fn run(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let (job, told) = submit(&app, &endpoint, body).await?;
    Ok((told, Json(json!({ "id": job.name, "status": "IN_QUEUE" }))).into_response())
}

/// How long `/runsync` waits, in milliseconds.
#[derive(Deserialize)]
pub(crate) struct Wait {
    wait: Option<u64>,
}

/// Creates a job and waits for its end, or for as long as is asked.
pub(crate) async fn run_sync(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let Query(Wait { wait }) = wait.map_err(|rejection| Error::invalid("", rejection.body_text()))?;
    let wait = wait.map_or(USUAL_WAIT, Duration::from_millis).min(LONGEST_WAIT);
    let (job, told) = submit(&app, &endpoint, body).await?;
    let answer = async move {
        let job = until_final(&app, &job, wait).await.ok_or_else(|| Error::no_job(&job.name))?;
        if !job.state().is_final() {
            return Ok(json!({ "id": job.name, "status": "IN_PROGRESS" }).to_string().into());
        }
        Ok::<Bytes, Refusal>(view::job(&app, &job).await?.to_string().into())
    };
    Ok(held(told, Box::pin(answer)).await)
}

async fn submit(
    app: &App,
    endpoint: &Endpoint,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Arc<Job>, HeaderMap), Error> {
    let Order { spec, webhook, ignored } =
        Order::of_body(app, endpoint, body::json_with_pictures(body)?).await?;
    let submission =
        Submission { spec, pool: Some(endpoint.key.clone()), front: FRONT, webhook, ..Submission::default() };
    let Submitted { job, .. } = app.submit(&endpoint.caller, submission).await?;
    let mut told = HeaderMap::new();
    tell_ignored(&mut told, ignored.iter().map(String::as_str));
    Ok((job, told))
}
