//! The WebSocket clients, and the single publisher that serves them one after another. It has ComfyUI's weaknesses: a
//! client that stops reading delays all others, and a client id that connects twice gets nothing after its first socket
//! closes.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Bytes,
    extract::ws::{Message, Utf8Bytes, WebSocket},
};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::python_json;

/// The number of frames that a client's writer holds before the publisher waits for it, in addition to the kernel's
/// buffers.
const CLIENT_BUFFER: usize = 1;

/// A frame and its receiver.
struct Outgoing {
    frame: Message,
    to: To,
}

/// The receiver of a frame.
#[derive(Debug, Clone)]
pub(crate) enum To {
    Everyone,
    Client(String),
}

impl To {
    /// The receiver of a prompt's frames: the client that sent the prompt, or all clients if it gave no name.
    pub(crate) fn of(client: Option<&String>) -> Self {
        client.map_or(Self::Everyone, |id| Self::Client(id.clone()))
    }
}

struct Client {
    frames: mpsc::Sender<Message>,
    /// Whether the client asked for previews with metadata.
    wants_metadata: bool,
}

/// All clients.
pub(crate) struct Sockets {
    clients: Mutex<HashMap<String, Client>>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    silent: AtomicBool,
    cut: Mutex<CancellationToken>,
}

impl Sockets {
    /// Creates the clients, and the future that publishes to them.
    pub(crate) fn new() -> (Arc<Self>, impl Future<Output = ()>) {
        let (outgoing, mut queue) = mpsc::unbounded_channel();
        let sockets = Arc::new(Self {
            clients: Mutex::default(),
            outgoing,
            silent: AtomicBool::new(false),
            cut: Mutex::default(),
        });
        let of_publisher = Arc::downgrade(&sockets);
        let publisher = async move {
            while let Some(Outgoing { frame, to }) = queue.recv().await {
                let Some(sockets) = of_publisher.upgrade() else { return };
                for client in sockets.receivers(&to) {
                    // The task of a closed client removes it from the list.
                    let _ = client.send(frame.clone()).await;
                }
            }
        };
        (sockets, publisher)
    }

    /// Queues a text frame.
    pub(crate) fn send(&self, kind: &str, data: &Value, to: To) {
        self.queue(text(kind, data), to);
    }

    /// Queues a binary frame: the event's number, then `payload`.
    pub(crate) fn send_binary(&self, event: u32, payload: &[u8], to: To) {
        let frame: Vec<u8> = event.to_be_bytes().iter().chain(payload).copied().collect();
        self.queue(Message::Binary(Bytes::from(frame)), to);
    }

    fn queue(&self, frame: Message, to: To) {
        if !self.silent.load(Ordering::Relaxed) {
            // Sending fails only while the server ends.
            let _ = self.outgoing.send(Outgoing { frame, to });
        }
    }

    /// Stops or resumes sending.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Closes every connection without a message.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *lock(&self.cut)).cancel();
    }

    pub(crate) fn wants_metadata(&self, client: Option<&String>) -> bool {
        client.and_then(|id| lock(&self.clients).get(id).map(|c| c.wants_metadata)).unwrap_or(false)
    }

    fn receivers(&self, to: &To) -> Vec<mpsc::Sender<Message>> {
        let clients = lock(&self.clients);
        match to {
            To::Everyone => clients.values().map(|client| client.frames.clone()).collect(),
            To::Client(id) => clients.get(id).map(|client| client.frames.clone()).into_iter().collect(),
        }
    }

    /// Serves one connection until it ends, beginning with the frames in `greeting`.
    pub(crate) async fn serve(&self, socket: WebSocket, id: String, greeting: Vec<Message>) {
        let cut = lock(&self.cut).clone();
        let (mut to_client, mut from_client) = socket.split();
        let (frames, mut queue) = mpsc::channel(CLIENT_BUFFER);
        lock(&self.clients).insert(id.clone(), Client { frames: frames.clone(), wants_metadata: false });
        let writing = async {
            for frame in greeting {
                to_client.send(frame).await?;
            }
            while let Some(frame) = queue.recv().await {
                to_client.send(frame).await?;
            }
            Ok::<(), axum::Error>(())
        };
        let reading = async {
            let mut first = true;
            while let Some(Ok(message)) = from_client.next().await {
                if std::mem::take(&mut first)
                    && let Some(flags) = feature_flags(&message)
                {
                    if let Some(client) = lock(&self.clients).get_mut(&id) {
                        client.wants_metadata = flags["supports_preview_metadata"] == true;
                    }
                    let _ = frames.send(text("feature_flags", &server_features())).await;
                }
            }
        };
        tokio::select! {
            () = reading => {}
            Err(_) = writing => {}
            () = cut.cancelled() => {}
        }
        // Removes the id, whichever connection has it now. So the end of an older connection silences a newer one with
        // the same id.
        lock(&self.clients).remove(&id);
    }
}

/// The answer of `/features` and to a client's flags.
pub(crate) fn server_features() -> Value {
    json!({"supports_preview_metadata": true, "max_upload_size": crate::http::MAX_BODY})
}

/// A text frame.
pub(crate) fn text(kind: &str, data: &Value) -> Message {
    Message::Text(Utf8Bytes::from(python_json::text(&json!({"type": kind, "data": data}))))
}

fn feature_flags(message: &Message) -> Option<Value> {
    let message: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
    (message["type"] == "feature_flags").then(|| message["data"].clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
