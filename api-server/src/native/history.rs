//! `/history`: the key's prompts that have ended.

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use workflow::Graph;

use super::{body::Away, frame::Frame, graph, outputs, own_jobs, refusal::Refusal};
use crate::{
    app::App,
    cache::{Job, State as JobState},
    error::Error,
};

/// Prompts in one answer.
const MOST: usize = 64;
/// Prompts that one request hides.
const HIDDEN_AT_ONCE: usize = 1000;
/// Writes at the same time.
const WRITES_AT_ONCE: usize = 8;

/// A prompt as the history shows it.
fn entry(job: &Job, graph: &Graph) -> Value {
    let made = outputs::by_node(job);
    let outs = match graph.is_empty() {
        true => made.keys().cloned().collect(),
        false => graph::outputs(graph),
    };
    let meta: Map<String, Value> = made
        .keys()
        .map(|node| {
            let of =
                json!({ "node_id": node, "display_node": node, "parent_node": null, "real_node_id": node });
            (node.clone(), of)
        })
        .collect();
    let is_done = job.state() == JobState::Completed;
    let frames = Frame::start(job).into_iter().chain([Frame::end(job, ("", ""))]);
    let messages: Vec<Value> = frames.map(|frame| json!([frame.kind, frame.data])).collect();
    json!({
        "prompt": [own_jobs::number(job), job.name, graph, own_jobs::extra_data(job), outs],
        "outputs": made,
        "status": {
            "status_str": if is_done { "success" } else { "error" },
            "completed": is_done,
            "messages": messages,
        },
        "meta": meta,
    })
}

/// One prompt; nothing while it waits or runs, or where there is none. Clients ask this many times a second, so the
/// cluster's API server is asked for the graph only once the prompt has ended.
pub(super) async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let job = own_jobs::known(&app, &caller, &id).filter(|job| own_jobs::is_in_history(job));
    let Some(job) = job else { return Ok(Json(json!({}))) };
    // While the API server is away, the outputs matter more than the graph.
    let whole = app.jobs.whole(&caller.tenant, &id).await.ok();
    let graph = whole.and_then(|job| job.spec.work.workflow).and_then(|workflow| workflow.graph);
    let shown = entry(&job, &graph.unwrap_or_default());
    Ok(Json(Value::Object(Map::from_iter([(id, shown)]))))
}

/// How much of the history is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    max_items: Option<usize>,
}

/// The newest prompts, the oldest of them first. Their graphs are left out: each would be a read of the cluster's API
/// server.
pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let Query(asked) = asked.map_err(|error| Refusal::new("invalid_request", error.body_text()))?;
    let at_most = asked.max_items.unwrap_or(MOST).min(MOST);
    let jobs = own_jobs::newest(&app, &caller, at_most, own_jobs::is_in_history);
    let entries = jobs.iter().rev().map(|job| (job.name.clone(), entry(job, &Graph::new())));
    Ok(Json(Value::Object(entries.collect())))
}

/// Hides prompts from the history. What they made stays, and so do the jobs, whose request says that they are hidden.
pub(super) async fn hide(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(), Refusal> {
    let caller = app.caller(&headers)?;
    caller.may_write()?;
    let away = Away::read(body)?;
    app.limits.admit(&caller, None).await?;
    let jobs = own_jobs::newest(&app, &caller, HIDDEN_AT_ONCE, |job| {
        own_jobs::is_in_history(job) && (away.all || away.ids.contains(&job.name))
    });
    stream::iter(jobs)
        .map(|job| {
            let (app, caller) = (&app, &caller);
            async move {
                match app.jobs.keep(caller, &job, own_jobs::hidden(&job)).await {
                    // It was deleted meanwhile.
                    Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        })
        .buffer_unordered(WRITES_AT_ONCE)
        .try_for_each(async |()| Ok(()))
        .await?;
    Ok(())
}
