//! `POST /jobs`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{
    FRONT, graph, references,
    refusal::Refusal,
    view::{self, Base},
};
use crate::{
    app::App,
    cache::Job,
    error::Error,
    follow::Snapshot,
    http::{Mount, body},
    jobs::{IdempotencyKey, Submission, Submitted, workflow_spec},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request's body. `extra_data` is not read: it holds its user's key for services that no engine here calls, and nobody
/// but its user should see that. What is not known is left alone.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    workflow: Value,
    #[serde(default)]
    metadata: Value,
    webhook_url: Option<IgnoredAny>,
    inputs: Option<IgnoredAny>,
}

/// Creates a job.
pub(super) async fn submit(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let base = Base::new(&app, &mount);
    let created = created(&app, mount, &headers, body).await;
    let outcome = if created.is_ok() { "created" } else { "refused" };
    app.metrics.submissions.with_label_values(&[FRONT, outcome]).inc();
    Ok(view::answer(StatusCode::CREATED, &base, &Snapshot::of(&app, created?)))
}

async fn created(
    app: &App,
    mount: Mount,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Arc<Job>, Refusal> {
    let caller = app.caller(headers)?;
    let key = headers.get(IDEMPOTENCY_KEY).map(|key| IdempotencyKey::parse(key.to_str().unwrap_or_default()));
    let key = key.transpose().map_err(|error| Refusal::new(422, "invalid_request", error.to_string()))?;
    let Wanted { workflow, metadata, webhook_url, inputs } = body::json(body)?;
    for (field, is_given) in [("webhook_url", webhook_url.is_some()), ("inputs", inputs.is_some())] {
        if is_given {
            let message = format!("{field} can't be given with a job; leave it out");
            return Err(Refusal::invalid_workflow(message));
        }
    }
    let labels = labels(metadata)?;
    let mut graph = graph::read(workflow)?;
    let inputs = references::settle(app, &caller, &mount, &mut graph).await?;
    if let Some(engine) = app.definitions.of_those_there(app, &caller, &mount).await {
        graph::fits(&graph, &engine.nodes, &caller.tenant)?;
    }
    let submission = Submission {
        spec: workflow_spec(graph, inputs),
        labels,
        pool: mount.pool,
        front: FRONT,
        key,
        ..Submission::default()
    };
    match app.jobs.submit(&caller, submission).await.map_err(Refusal::of_submission)? {
        Submitted { is_new: true, job, .. } => Ok(job),
        // Here a key counts once, also for the same body.
        Submitted { is_new: false, .. } => Err(Error::KeyReused.into()),
    }
}

/// The labels of a job. How many and how long they may be is the core's to say.
fn labels(metadata: Value) -> Result<BTreeMap<String, String>, Refusal> {
    if metadata.is_null() {
        return Ok(BTreeMap::new());
    }
    let Value::Object(pairs) = metadata else {
        return Err(Refusal::new(422, "metadata_invalid", "metadata is a map of texts to texts"));
    };
    let label = |(name, value)| match value {
        Value::String(value) => Ok((name, value)),
        _ => {
            Err(Refusal::new(422, "metadata_invalid", format!("metadata: the value of {name:?} is no text")))
        }
    };
    pairs.into_iter().map(label).collect()
}
