//! `/v1/jobs`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{FRONT, problem::Problem, view, wait};
use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State as JobState},
    error::Error,
    follow::until_final,
    http::{Mount, body},
    jobs::{IdempotencyKey, Submission, Submitted, cursor, place_at},
    limits::{BURST_SECONDS, Left},
    uploads,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Jobs in one answer of a list.
const USUAL: usize = 50;
const MOST: usize = 500;
/// When to look again at a job that has not ended, seconds.
const LOOK_AGAIN: u64 = 1;

/// Creates a job.
pub(crate) async fn submit(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let submitted = submitted(&app, mount, &headers, body).await;
    let outcome = match &submitted {
        Ok(Submitted { is_new: true, .. }) => "created",
        Ok(Submitted { is_new: false, .. }) => "repeated",
        Err(_) => "refused",
    };
    app.metrics.submissions.with_label_values(&[FRONT, outcome]).inc();
    let Submitted { job, is_new, left } = submitted.map_err(|error| app.problem(error))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let Some(at_most) = wait::preferred(&headers) else {
        let mut response = answer(&app, status, &job);
        tell_left(response.headers_mut(), left);
        return Ok(response);
    };
    let waited = until_final(&app, &job, at_most).await;
    let waited = waited.ok_or_else(|| app.problem(Error::no_job(&job.name)))?;
    let status = if waited.state().is_final() { status } else { StatusCode::ACCEPTED };
    let mut response = answer(&app, status, &waited);
    let applied = format!("wait={}", at_most.as_secs());
    response
        .headers_mut()
        .extend(HeaderValue::try_from(applied).ok().map(|value| (PREFERENCE_APPLIED, value)));
    Ok(response)
}

/// The limit of requests and what is left of it (draft-ietf-httpapi-ratelimit-headers-10).
fn tell_left(headers: &mut HeaderMap, left: Option<Left>) {
    let Some(left) = left else { return };
    let (all, requests, resets) = (left.all(), left.requests, left.resets_in_seconds());
    for (name, value) in [
        ("ratelimit-policy", format!("\"requests\";q={all};w={BURST_SECONDS}")),
        ("ratelimit", format!("\"requests\";r={requests};t={resets}")),
    ] {
        headers.extend(
            HeaderValue::try_from(value).ok().map(|value| (header::HeaderName::from_static(name), value)),
        );
    }
}

const PREFERENCE_APPLIED: header::HeaderName = header::HeaderName::from_static("preference-applied");

async fn submitted(
    app: &App,
    mount: Mount,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Submitted, Error> {
    let caller = app.caller(headers)?;
    let order = order(app, &caller, mount, headers, body).await?;
    app.jobs.submit(&caller, order).await
}

/// What a request asks for.
pub(super) async fn order(
    app: &App,
    caller: &Caller,
    mount: Mount,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Submission, Error> {
    let key =
        headers.get(IDEMPOTENCY_KEY).map(|value| IdempotencyKey::parse(value.to_str().unwrap_or_default()));
    let key = key.transpose()?;
    Ok(Submission { key, ..submission(app, caller, mount, body::json(body)?).await? })
}

/// What the body of a request for a job asks for.
pub(crate) async fn submission(
    app: &App,
    caller: &Caller,
    mount: Mount,
    mut spec: Map<String, Value>,
) -> Result<Submission, Error> {
    let labels: BTreeMap<String, String> = match spec.shift_remove("labels") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(labels) => serde_json::from_value(labels)
            .map_err(|_| Error::invalid("/labels", "labels are a map of texts to texts"))?,
    };
    let webhook = match spec.shift_remove("webhook") {
        None | Some(Value::Null) => None,
        Some(webhook) => Some(
            serde_json::from_value(webhook).map_err(|error| Error::invalid("/webhook", error.to_string()))?,
        ),
    };
    name_the_type(&mut spec);
    if let Some(inputs) = spec.get_mut("inputs") {
        uploads::settle(app, caller, &mount, inputs).await?;
    }
    Ok(Submission { spec, labels, pool: mount.pool, webhook, front: FRONT, ..Submission::default() })
}

/// The type of work may be left out where the field says it.
fn name_the_type(spec: &mut Map<String, Value>) {
    const TYPES: [(&str, &str); 4] = [
        ("textToImage", "TextToImage"),
        ("imageToImage", "ImageToImage"),
        ("workflow", "Workflow"),
        ("recipe", "Recipe"),
    ];
    if let Some(Value::Object(work)) = spec.get_mut("work")
        && !work.contains_key("type")
        && let Some((_, kind)) = TYPES.iter().find(|(field, _)| work.contains_key(*field))
    {
        work.insert("type".to_owned(), json!(kind));
    }
}

/// How far a job is.
pub(crate) async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let job = app.jobs.get(&caller.tenant, &id).await?;
        match wait::preferred(&headers) {
            None => Ok(job),
            Some(at_most) => until_final(&app, &job, at_most).await.ok_or_else(|| Error::no_job(&id)),
        }
    };
    let job = found.await.map_err(|error| app.problem(error))?;
    Ok(answer(&app, StatusCode::OK, &job))
}

/// What a list is asked for.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    state: Option<JobState>,
    /// `name:value`.
    label: Option<String>,
}

/// The tenant's jobs, the newest first.
pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    page(&app, &headers, query).map_err(|error| app.problem(error))
}

fn page(
    app: &App,
    headers: &HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Error> {
    let caller = app.caller(headers)?;
    let Query(query) = query.map_err(|rejection| Error::invalid("", rejection.body_text()))?;
    let after = query.cursor.as_deref().map(|cursor| {
        place_at(cursor).ok_or_else(|| Error::invalid("", "the cursor is not one that a list gave"))
    });
    let after = after.transpose()?;
    let label = query.label.as_deref().map(|label| label.split_once(':').unwrap_or((label, "")));
    let asked = |job: &Job| {
        query.state.is_none_or(|state| job.state() == state)
            && label
                .is_none_or(|(name, value)| job.request.labels.get(name).is_some_and(|found| found == value))
    };
    let limit = query.limit.unwrap_or(USUAL).clamp(1, MOST);
    let page = app.cache.jobs.page(&caller.tenant, after.as_ref(), limit, asked);
    let jobs: Vec<Box<RawValue>> = page.jobs.iter().filter_map(|job| raw(&view::json(app, job))).collect();
    let mut body = json!({ "jobs": jobs });
    if let Some(next) = page.next {
        body["nextCursor"] = json!(cursor(&next));
    }
    Ok(Json(body).into_response())
}

fn raw(json: &Bytes) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

/// What a job makes, as it was asked for.
pub(crate) async fn work(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let job = app.jobs.whole(&caller.tenant, &id).await?;
        Ok(json!({ "work": job.spec.work, "inputs": job.spec.inputs, "output": job.spec.output }))
    };
    found.await.map(Json).map_err(|error| app.problem(error))
}

/// Stops a job; what is made stays.
pub(crate) async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let changed = async { app.jobs.cancel(&app.caller(&headers)?, &id).await };
    let job = changed.await.map_err(|error| app.problem(error))?;
    Ok(answer(&app, StatusCode::OK, &job))
}

/// Starts no further image until the job is resumed.
pub(crate) async fn suspend(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    set_suspended(&app, &headers, &id, true).await
}

/// Goes on with a suspended job.
pub(crate) async fn resume(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    set_suspended(&app, &headers, &id, false).await
}

async fn set_suspended(app: &App, headers: &HeaderMap, id: &str, suspend: bool) -> Result<Response, Problem> {
    let changed = async { app.jobs.suspend(&app.caller(headers)?, id, suspend).await };
    let job = changed.await.map_err(|error| app.problem(error))?;
    Ok(answer(app, StatusCode::OK, &job))
}

/// Deletes a job; its images stay in the bucket.
pub(crate) async fn delete(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let deleted = async { app.jobs.delete(&app.caller(&headers)?, &id).await };
    deleted.await.map_err(|error| app.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(app: &App, status: StatusCode, job: &Arc<Job>) -> Response {
    let mut response = (status, view::json(app, job)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::CREATED | StatusCode::ACCEPTED) {
        let location = format!("{}/v1/jobs/{}", app.public_url, job.name);
        headers.extend(HeaderValue::try_from(location).ok().map(|value| (header::LOCATION, value)));
    }
    if !job.state().is_final() {
        headers.insert(header::RETRY_AFTER, LOOK_AGAIN.into());
    }
    response
}
