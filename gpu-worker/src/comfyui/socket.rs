use std::time::Duration;

use futures::StreamExt;
use reqwest::Url;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use uuid::Uuid;

use super::{event::Event, progress::Followed};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A workflow may send whole pictures over the socket; they are read and dropped.
const LARGEST_FRAME: usize = 256 << 20;

/// One connection to the engine's event stream.
pub(super) struct Socket {
    /// Of this connection only: a client id that connects twice gets no events on the second.
    pub(super) client_id: String,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and waits for the engine's first word, from which on it sends us what happens.
    pub(super) async fn connect(base: &Url) -> Result<Self, String> {
        let client_id = Uuid::new_v4().to_string();
        let base = base.as_str().trim_end_matches('/').replacen("http", "ws", 1);
        let url = format!("{base}/ws?clientId={client_id}");
        let greeted = async {
            let config = WebSocketConfig::default()
                .max_message_size(Some(LARGEST_FRAME))
                .max_frame_size(Some(LARGEST_FRAME));
            let (stream, _) =
                connect_async_with_config(url, Some(config), true).await.map_err(|e| e.to_string())?;
            let mut socket = Self { client_id, stream };
            socket.next().await?;
            Ok(socket)
        };
        timeout(CONNECT_TIMEOUT, greeted).await.unwrap_or_else(|_| {
            Err(format!("no greeting on its WebSocket within {}s", CONNECT_TIMEOUT.as_secs()))
        })
    }

    /// Passes on what happens until the connection ends; returns why it did.
    pub(super) async fn read(mut self, followed: &Followed) -> String {
        loop {
            match self.next().await {
                Ok(text) => {
                    if let Some(event) = Event::parse(&text) {
                        followed.apply(&event, Instant::now());
                    }
                }
                Err(why) => return why,
            }
        }
    }

    /// The next text frame; previews and the like are skipped.
    async fn next(&mut self) -> Result<String, String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(_))) | None => return Err("it closed the WebSocket".into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }
}
