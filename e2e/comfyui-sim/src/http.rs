//! ComfyUI's HTTP routes, each also under `/api`, and the simulator's own routes under `/sim`.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Query, Request, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    catalog,
    faults::Fault,
    files::{Folder, InputFile},
    http_faults, http_files, http_models, python, python_json,
    queue::{self, Item},
    server::{Server, Stats},
    sockets,
    validate::{Refusal, validate},
};

/// The largest request body, 100 MiB.
pub(crate) const MAX_BODY: usize = 100 * 1024 * 1024;

pub(crate) type Shared = State<Arc<Server>>;

pub(crate) fn router(server: Arc<Server>) -> Router {
    let routes = Router::new()
        .route("/ws", get(socket))
        .route("/prompt", get(exec_info).post(prompt))
        .route("/queue", get(queue).post(change_queue))
        .route("/history", get(history).post(change_history))
        .route("/history/{id}", get(history_of))
        .route("/interrupt", post(interrupt))
        .route("/free", post(free))
        .route("/view", get(http_files::view))
        .route("/upload/image", post(http_files::upload).fallback(async || StatusCode::NOT_FOUND))
        .route("/system_stats", get(system_stats))
        .route("/features", get(async || Json(sockets::server_features())))
        .route("/models", get(async || Json(catalog::FOLDERS)))
        .route("/models/{folder}", get(http_models::models))
        .route("/experiment/models/{folder}", get(http_models::model_sizes))
        .route("/view_metadata/{folder}", get(http_models::model_metadata))
        .route("/object_info", get(http_models::object_info))
        .route("/object_info/{class}", get(http_models::object_info_of));
    Router::new()
        .merge(routes.clone())
        .nest("/api", routes)
        .route("/sim/faults", get(faults).put(set_faults))
        .route("/sim/stats", get(stats))
        .route("/sim/inputs", get(inputs))
        .route("/sim/samplings", get(samplings))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), http_faults::apply))
        .layer(middleware::from_fn(same_origin))
        .with_state(server)
}

/// The answer of aiohttp to an exception in a handler.
pub(crate) fn internal_error() -> Response {
    let text = "500 Internal Server Error\n\nServer got itself in trouble";
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONNECTION, "close")], text).into_response()
}

/// Reads the whole body, whatever its content type.
pub(crate) async fn body(body: Body) -> Result<Bytes, Response> {
    let too_large = format!("Maximum request body size {MAX_BODY} exceeded.");
    to_bytes(body, MAX_BODY).await.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, too_large).into_response())
}

async fn json_body(request: Request) -> Result<Value, Response> {
    let bytes = body(request.into_body()).await?;
    python_json::parse(&bytes).map_err(|_| internal_error())
}

/// Refuses requests from pages of other sites, which must not use a ComfyUI on the loopback address.
async fn same_origin(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(host), Some(origin)) = (header(header::HOST), header(header::ORIGIN)) else { return false };
    let origin = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].contains(&name) && host != origin && name != origin
}

async fn socket(
    State(server): Shared,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let id = match query.get("clientId") {
        Some(id) if !id.is_empty() => id.clone(),
        _ => Uuid::new_v4().simple().to_string(),
    };
    upgrade.on_upgrade(async move |socket| {
        let greeting = server.greeting(&id);
        server.sockets.serve(socket, id, greeting).await;
    })
}

async fn exec_info(State(server): Shared) -> Json<Value> {
    Json(server.status())
}

async fn prompt(State(server): Shared, request: Request) -> Result<Response, Response> {
    let request = match json_body(request).await? {
        Value::Object(request) => request,
        Value::Array(_) | Value::String(_) => Map::new(),
        _ => return Err(internal_error()),
    };
    let number = match request.get("number") {
        Some(number) => python::float(number).map_err(|_| internal_error())?,
        None => server.next_number(request.get("front").is_some_and(python::truthy)),
    };
    let Some(prompt) = request.get("prompt") else {
        let what = "No prompt provided";
        return Err(refused(Refusal::new("no_prompt", what, what, &Map::new())));
    };
    let mut prompt = match prompt {
        Value::Object(prompt) => prompt.clone(),
        Value::Array(nodes) if nodes.is_empty() => Map::new(),
        _ => return Err(internal_error()),
    };
    let id = request.get("prompt_id").map_or_else(|| Uuid::new_v4().to_string(), python::str);
    let targets = request.get("partial_execution_targets").and_then(Value::as_array);
    let targets = targets.map(|targets| targets.iter().map(python::str).collect::<Vec<_>>());
    let accepted =
        validate(&server.catalog(), &server.files, &mut prompt, targets.as_deref()).map_err(refused)?;
    let mut extra = match request.get("extra_data") {
        None => Map::new(),
        Some(Value::Object(extra)) => extra.clone(),
        Some(_) => return Err(internal_error()),
    };
    if let Some(client) = request.get("client_id") {
        extra.insert("client_id".to_owned(), client.clone());
    }
    let answer =
        json!({"prompt_id": id, "number": queue::number(number), "node_errors": accepted.node_errors});
    let item = Item { number, id, prompt, extra, outputs: accepted.outputs };
    let seems_to_fail = server.prompt_error();
    if server.put(item).is_err() || seems_to_fail {
        return Err(internal_error());
    }
    Ok(json_text(python_json::text(&answer)))
}

fn refused(Refusal(body): Refusal) -> Response {
    (StatusCode::BAD_REQUEST, json_text(python_json::text(&body))).into_response()
}

async fn queue(State(server): Shared) -> Response {
    json_text(python_json::text(&server.state().queue.to_json()))
}

/// The prompts that a request removes from the queue or the history.
struct Forget {
    all: bool,
    ids: Vec<String>,
}

impl Forget {
    /// Reads a body with `clear` or `delete`; any other iterable value removes nothing.
    async fn read(request: Request) -> Result<Self, Response> {
        let request = match json_body(request).await? {
            Value::Object(request) => request,
            Value::Array(_) | Value::String(_) => Map::new(),
            _ => return Err(internal_error()),
        };
        let ids = match request.get("delete") {
            Some(Value::Array(ids)) => ids.iter().map(python::str).collect(),
            Some(Value::String(_) | Value::Object(_)) | None => Vec::new(),
            Some(_) => return Err(internal_error()),
        };
        Ok(Self { all: request.get("clear").is_some_and(python::truthy), ids })
    }
}

async fn change_queue(State(server): Shared, request: Request) -> Result<(), Response> {
    let forget = Forget::read(request).await?;
    if forget.all {
        server.change_queue(queue::Queue::clear);
    }
    for id in forget.ids {
        server.change_queue(|queue| queue.delete(&id));
    }
    Ok(())
}

async fn history(
    State(server): Shared,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Response> {
    let max = match query.get("max_items") {
        Some(max) => Some(max.parse().map_err(|_| internal_error())?),
        None => None,
    };
    Ok(json_text(server.state().queue.history(max)))
}

async fn history_of(State(server): Shared, Path(id): Path<String>) -> Response {
    json_text(server.state().queue.history_of(&id))
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
}

async fn change_history(State(server): Shared, request: Request) -> Result<(), Response> {
    let forget = Forget::read(request).await?;
    let mut state = server.state();
    if forget.all {
        state.queue.forget(None);
    }
    for id in forget.ids {
        state.queue.forget(Some(&id));
    }
    Ok(())
}

async fn interrupt(State(server): Shared, request: Request) -> Result<(), Response> {
    // A request without a body, or with a body that is not JSON, means the running prompt.
    let bytes = body(request.into_body()).await?;
    let request = python_json::parse(&bytes).unwrap_or_default();
    server.interrupt(request["prompt_id"].as_str());
    Ok(())
}

async fn free(State(server): Shared, request: Request) -> Result<(), Response> {
    let request = json_body(request).await?;
    if request["unload_models"] == true || request["free_memory"] == true {
        server.state().free = true;
    }
    Ok(())
}

/// The route asks the GPU for its memory, which raises an exception after a CUDA error.
async fn system_stats(State(server): Shared) -> Result<Json<Value>, Response> {
    let state = server.state();
    if state.cuda_broken {
        return Err(internal_error());
    }
    Ok(Json(state.memory.system_stats(&server.options.machine, server.options.release.version())))
}

async fn faults(State(server): Shared) -> Json<Vec<Fault>> {
    Json(server.state().faults.list().to_vec())
}

async fn set_faults(State(server): Shared, Json(faults): Json<Vec<Fault>>) {
    server.set_faults(faults);
}

async fn inputs(State(server): Shared) -> Json<Vec<InputFile>> {
    Json(server.files.inputs())
}

async fn samplings(State(server): Shared) -> Json<Vec<Value>> {
    Json(server.state().samplings.list())
}

async fn stats(State(server): Shared) -> Json<Stats> {
    Json(server.stats())
}

/// `filename="…"`, as in ComfyUI's downloads.
pub(crate) fn disposition(name: &str) -> HeaderMap {
    let value = format!("filename=\"{name}\"").parse().ok();
    value.map(|value| (header::CONTENT_DISPOSITION, value)).into_iter().collect()
}

/// The folder that a request names; otherwise `default`.
pub(crate) fn folder(name: Option<&String>, default: Folder) -> Option<Folder> {
    name.map_or(Some(default), |name| Folder::parse(name))
}
