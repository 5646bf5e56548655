//! A server that answers as a recording says. It plays the frames of the socket once the prompt is posted, and has
//! the history ready before the last of them, as the real one does. The recorded prompt id becomes ours.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gpu_worker::comfyui::{Client, Engine, Mark};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::task::AbortOnDropHandle;

/// One exchange to play.
#[derive(Default, Clone)]
pub(crate) struct Script {
    /// Status and body of the answer to POST /prompt.
    pub(crate) answer: Value,
    /// Frames of each connection in turn; after its last one, a connection that is not the last is closed.
    pub(crate) connections: Vec<Vec<Value>>,
    /// Body of GET /history/{id} at the end.
    pub(crate) history: Value,
    /// The prompt is queued, whatever the answer says.
    pub(crate) taken: bool,
    /// The id in all of these.
    pub(crate) recorded_id: String,
}

pub(crate) struct Replay {
    pub(crate) engine: Arc<Engine>,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
    _connecting: AbortOnDropHandle<()>,
}

struct Shared {
    script: Script,
    frames: Mutex<VecDeque<Vec<Value>>>,
    /// Our prompt's id, once posted.
    posted: watch::Sender<Option<String>>,
    ended: watch::Sender<bool>,
    requests: Mutex<Vec<String>>,
}

/// A recording by its file's name.
pub(crate) fn recording(name: &str) -> Value {
    let file = format!("{}/tests/it/recordings/{name}.json", env!("CARGO_MANIFEST_DIR"));
    // One recorded answer contains NaN, which Python writes and JSON does not know.
    let text = std::fs::read_to_string(file).expect("a recording").replace("NaN", "0");
    serde_json::from_str(&text).expect("JSON")
}

impl Script {
    /// From a recording of one prompt with one connection.
    pub(crate) fn of(recording: &Value) -> Self {
        let post = [&recording["post"], &recording["prompt_response"]];
        let post = post.into_iter().find(|post| post.is_object()).expect("a POST");
        let history = recording["history"]["json"].clone();
        Self {
            answer: post.clone(),
            connections: vec![recording["ws"].as_array().expect("frames").clone()],
            recorded_id: post["json"]["prompt_id"].as_str().expect("an id").to_owned(),
            history,
            taken: true,
        }
    }

    /// Only an answer to the POST; nothing runs.
    pub(crate) fn answering(post: &Value) -> Self {
        let taken = post["status"] == 200;
        Self { answer: post.clone(), connections: vec![vec![]], taken, ..Self::default() }
    }
}

impl Replay {
    pub(crate) async fn start(script: Script) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            frames: Mutex::new(script.connections.clone().into()),
            script,
            posted: watch::Sender::new(None),
            ended: watch::Sender::new(false),
            requests: Mutex::default(),
        });
        let routes = Router::new()
            .route("/ws", get(socket))
            .route("/prompt", post(prompt))
            .route("/history/{id}", get(history))
            .route("/queue", get(queue).post(note))
            .route("/interrupt", post(note))
            .route("/system_stats", get(async || Json(json!({"system": {"comfyui_version": "0.3.64"}}))))
            .route("/view", get(async || Bytes::from_static(b"a picture")))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async { axum::serve(listener, routes).await.expect("serving") });
        let mark = Mark { pool: "studio/sd15".into(), worker: "w".into() };
        let client = Client::new(base.parse().expect("a URL")).expect("a client");
        let engine = Arc::new(Engine::new(client, mark));
        let connecting = {
            let engine = engine.clone();
            tokio::spawn(async move { engine.keep_connected().await })
        };
        Self {
            engine,
            shared,
            _serving: AbortOnDropHandle::new(serving),
            _connecting: AbortOnDropHandle::new(connecting),
        }
    }

    /// What was asked of the server, but for looking: method, path and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("requests").clone()
    }
}

impl Shared {
    /// With our id in place of the recorded one.
    fn ours(&self, value: &Value) -> Value {
        let id = self.posted.borrow().clone().unwrap_or_default();
        match self.script.recorded_id.as_str() {
            "" => value.clone(),
            recorded => serde_json::from_str(&value.to_string().replace(recorded, &id)).expect("JSON"),
        }
    }
}

async fn socket(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| play(&shared, socket).await)
}

async fn play(shared: &Shared, mut socket: WebSocket) {
    let greeting = json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}});
    socket.send(Message::Text(greeting.to_string().into())).await.expect("a socket");
    let (frames, last) = {
        let mut connections = shared.frames.lock().expect("frames");
        (connections.pop_front().unwrap_or_default(), connections.is_empty())
    };
    let _ = shared.posted.subscribe().wait_for(Option::is_some).await;
    let (sender, mut queue) = mpsc::unbounded_channel();
    for (i, frame) in frames.iter().enumerate() {
        let message = match (&frame["text"], &frame["binary"]) {
            (Value::Object(_), _) => Message::Text(shared.ours(&frame["text"]).to_string().into()),
            (_, binary) => Message::Binary(binary_of(binary)),
        };
        let _ = sender.send((message, last && i + 1 == frames.len()));
    }
    drop(sender);
    while let Some((message, end)) = queue.recv().await {
        if end {
            shared.ended.send_replace(true);
        }
        if socket.send(message).await.is_err() {
            return;
        }
    }
    if last {
        // The server keeps the connection; the client is the one to leave.
        while socket.recv().await.is_some_and(|message| message.is_ok()) {}
    }
}

fn binary_of(frame: &Value) -> Bytes {
    let head = frame["head_hex"].as_str().unwrap_or_default();
    let mut bytes: Vec<u8> =
        (0..head.len() / 2).map(|i| u8::from_str_radix(&head[2 * i..2 * i + 2], 16).expect("hex")).collect();
    bytes.resize(frame["len"].as_u64().and_then(|len| usize::try_from(len).ok()).unwrap_or_default(), 0);
    bytes.into()
}

async fn prompt(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let id = body["prompt_id"].as_str().expect("our own prompt id").to_owned();
    assert!(body["client_id"].is_string(), "a prompt without a client id makes no events");
    shared.requests.lock().expect("requests").push(format!("POST /prompt {id}"));
    shared.posted.send_replace(Some(id));
    let answer = &shared.script.answer;
    let status = answer["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
    let status = StatusCode::from_u16(status).expect("a status");
    match &answer["json"] {
        Value::Null => (status, answer["text"].as_str().unwrap_or_default().to_owned()).into_response(),
        json => (status, Json(shared.ours(json))).into_response(),
    }
}

async fn history(State(shared): State<Arc<Shared>>, Path(_): Path<String>) -> Json<Value> {
    let ended = *shared.ended.borrow();
    Json(if ended { shared.ours(&shared.script.history) } else { json!({}) })
}

async fn queue(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let taken = shared.script.taken && !*shared.ended.borrow();
    let running: Vec<Value> = match &*shared.posted.borrow() {
        Some(id) if taken => vec![json!([0, id, {}, {}, []])],
        _ => vec![],
    };
    Json(json!({"queue_running": running, "queue_pending": []}))
}

/// Deleting or interrupting: noted, and obeyed at once.
async fn note(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> StatusCode {
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let body = String::from_utf8_lossy(&body).into_owned();
    shared.requests.lock().expect("requests").push(format!("POST {path} {body}"));
    shared.ended.send_replace(true);
    StatusCode::OK
}
