//! `/prompt`: a prompt is created as a job, whose name is the prompt_id.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::{FRONT, body, graph, own_jobs, refusal::Refusal, uploads};
use crate::{
    app::App,
    cache::{Job, Seen},
    error::Error,
    http::Mount,
    jobs::{Submission, Submitted, workflow_spec},
};

/// The longest client_id in bytes: it is kept with the job.
const LONGEST_CLIENT_ID: usize = 256;
/// More of extra_data is not kept: it often holds the editor's whole workflow.
const EXTRA_DATA_KEPT: usize = 2048;
/// Fields of extra_data that hold keys of other services.
const SECRETS: [&str; 2] = ["auth_token_comfy_org", "api_key_comfy_org"];
/// The answer waits so long at most until this replica's own watch shows the job. Clients look into the queue next, and
/// take a prompt that is nowhere for lost.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// How many prompts of the key have not ended.
pub(super) async fn remaining(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    Ok(Json(json!({ "exec_info": { "queue_remaining": own_jobs::remaining(&app, &caller) } })))
}

/// Creates a prompt. The same prompt_id with the same graph is the same prompt.
pub(super) async fn submit(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    let submitted = submitted(&app, mount, &headers, body).await;
    let outcome = match &submitted {
        Ok(Submitted { is_new: true, .. }) => "created",
        Ok(Submitted { is_new: false, .. }) => "repeated",
        Err(_) => "refused",
    };
    app.metrics.submissions.with_label_values(&[FRONT, outcome]).inc();
    let job = submitted?.job;
    until_shown(&app, &job).await;
    Ok(Json(json!({ "prompt_id": job.name, "number": own_jobs::number(&job), "node_errors": {} })))
}

async fn submitted(
    app: &App,
    mount: Mount,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Submitted, Refusal> {
    let caller = app.caller(headers)?;
    let mut body = body::object(body)?;
    let mut graph = graph::read(&mut body)?;
    let name = prompt_id(&body)?;
    let kept = kept(body)?;
    let engine = app.definitions.of_those_there(app, &caller, &mount).await;
    let known = engine.as_ref().map(|engine| &engine.nodes);
    graph::verify(&graph, &caller.tenant, known)?;
    let inputs = uploads::settle(app, &caller, &mount, &mut graph, known).await?;
    let spec = workflow_spec(graph, inputs);
    let submission = Submission { spec, pool: mount.pool, front: FRONT, name, kept, ..Submission::default() };
    let submitted = app.jobs.submit(&caller, submission).await?;
    // A namespace may have jobs of other tenants, and of other keys.
    if !submitted.is_new && !own_jobs::is_own(&caller, &submitted.job) {
        return Err(Error::KeyReused.into());
    }
    Ok(submitted)
}

/// The client's prompt_id. A prompt without one has a job by a new name, which nobody can ask for again.
fn prompt_id(body: &Map<String, Value>) -> Result<Option<Uuid>, Refusal> {
    let Some(given) = body.get("prompt_id").filter(|given| !given.is_null()) else { return Ok(None) };
    let id = given.as_str().and_then(|text| Uuid::try_parse(text).ok().filter(|id| id.to_string() == text));
    let wrong = || Refusal::new("invalid_prompt_id", "prompt_id must be a UUID in lower case, with hyphens");
    id.map(Some).ok_or_else(wrong)
}

/// What is kept with the job of a request beside its graph.
fn kept(mut body: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let wrong = |message: &str| Refusal::new("invalid_request", message);
    if body.get("partial_execution_targets").is_some_and(|targets| !targets.is_null()) {
        return Err(wrong("partial_execution_targets is not supported; send the nodes that are to run"));
    }
    let number = match body.shift_remove("number") {
        None | Some(Value::Null) => json!(Timestamp::now().as_millisecond()),
        Some(number @ Value::Number(_)) => number,
        Some(_) => return Err(wrong("number must be a number")),
    };
    let mut kept = Map::from_iter([(own_jobs::NUMBER.to_owned(), number)]);
    match body.shift_remove("client_id") {
        None | Some(Value::Null) => {}
        Some(Value::String(id)) if id.len() <= LONGEST_CLIENT_ID => {
            kept.insert(own_jobs::CLIENT_ID.to_owned(), json!(id));
        }
        Some(_) => return Err(wrong("client_id must be a text of at most 256 bytes")),
    }
    match body.shift_remove("extra_data") {
        None | Some(Value::Null) => {}
        Some(Value::Object(mut extra)) => {
            extra.retain(|name, _| !SECRETS.contains(&name.as_str()));
            let extra = Value::Object(extra);
            if extra.to_string().len() <= EXTRA_DATA_KEPT && extra != json!({}) {
                kept.insert(own_jobs::EXTRA_DATA.to_owned(), extra);
            }
        }
        Some(_) => return Err(wrong("extra_data must be an object")),
    }
    Ok(kept)
}

/// Waits until the watch has shown the job, within limits.
async fn until_shown(app: &App, job: &Arc<Job>) {
    let mut seen = app.cache.jobs.follow(&job.key());
    let shown = seen.wait_for(|seen| !matches!(seen, Seen::NotYet));
    // What other replicas see comes as late.
    let _ = timeout(SHOWN_WITHIN, shown).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_prompt_id_is_a_uuid_in_its_usual_form() {
        let id = "7f1c0d2e-0000-4000-8000-00000000000a";
        assert_eq!(prompt_id(&object(&json!({"prompt_id": id}))).unwrap(), Some(id.parse().unwrap()));
        assert_eq!(prompt_id(&object(&json!({"prompt_id": null}))).unwrap(), None);
        for bad in [json!(id.to_uppercase()), json!(id.replace('-', "")), json!(""), json!(7), json!("a")] {
            assert!(prompt_id(&object(&json!({"prompt_id": bad}))).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_and_large_extras_are_not_kept() {
        let of = |body: Value| kept(object(&body)).unwrap();
        let all =
            of(json!({"client_id": "me", "number": -1.5, "extra_data": {"a": 1, "api_key_comfy_org": "s"}}));
        assert_eq!(Value::Object(all), json!({"number": -1.5, "client_id": "me", "extra_data": {"a": 1}}));
        assert!(!of(json!({"extra_data": {"a": "x".repeat(3000)}})).contains_key("extra_data"));
        for bad in [
            json!({"number": "abc"}),
            json!({"extra_data": []}),
            json!({"client_id": 7}),
            json!({"partial_execution_targets": ["9"]}),
        ] {
            assert!(kept(object(&bad)).is_err(), "{bad}");
        }
    }
}
