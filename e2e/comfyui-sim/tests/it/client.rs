//! What the tests talk to the simulator with.
use std::time::Duration;

use comfyui_sim::Sim;
use futures::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testkit::wait_for;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

pub(crate) type Result<T = ()> = anyhow::Result<T>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// HTTP.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(crate) fn of(sim: &Sim) -> Self {
        Self::new(&sim.url())
    }

    pub(crate) fn new(url: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A kept connection would fail once after each restart of the simulator.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        Self { http, url: url.to_owned() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.request("GET", path).send().await?.error_for_status()?.json().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let answer = self.request("POST", path).body(body.to_string()).send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_str(&answer.text().await?).unwrap_or_default()))
    }

    /// Queues a prompt; returns its id.
    pub(crate) async fn queue(&self, prompt: &Value) -> Result<String> {
        let (status, answer) = self.post("/prompt", &json!({"prompt": prompt})).await?;
        anyhow::ensure!(status == StatusCode::OK, "{answer}");
        Ok(answer["prompt_id"].as_str().unwrap_or_default().to_owned())
    }

    /// The history of a prompt, once it has one.
    pub(crate) async fn history(&self, id: &str) -> Result<Value> {
        let path = format!("/history/{id}");
        wait_for("a prompt to end", PATIENCE, async || self.get(&path).await.ok()?.get(id).cloned()).await
    }

    pub(crate) async fn run(&self, prompt: &Value) -> Result<Value> {
        self.history(&self.queue(prompt).await?).await
    }

    /// Runs a prompt that is to succeed, and fetches the first file of an output node.
    pub(crate) async fn make(&self, prompt: &Value, node: &str, kind: &str) -> Result<Vec<u8>> {
        let history = self.run(prompt).await?;
        anyhow::ensure!(history["status"]["status_str"] == "success", "{}", history["status"]);
        let file = &history["outputs"][node][kind][0];
        let text = |field: &str| file[field].as_str().unwrap_or_default();
        let view = self.request("GET", "/view").query(&[
            ("filename", text("filename")),
            ("subfolder", text("subfolder")),
            ("type", text("type")),
        ]);
        Ok(view.send().await?.error_for_status()?.bytes().await?.to_vec())
    }
}

/// A WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(crate) async fn connect(sim: &Sim, client_id: &str) -> Result<Self> {
        let url = format!("ws://{}/ws?clientId={client_id}", sim.address());
        Ok(Self { stream: connect_async(url).await?.0 })
    }

    pub(crate) async fn send(&mut self, message: &Value) -> Result {
        Ok(self.stream.send(Message::text(message.to_string())).await?)
    }

    /// The next frame: a text frame's JSON, or `{"binary": …}` with what comes before the picture.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await?;
            match message.ok_or_else(|| anyhow::anyhow!("the socket ended"))?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Binary(bytes) => return Ok(json!({"binary": binary(&bytes)})),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(close) => anyhow::bail!("closed by the server: {close:?}"),
            }
        }
    }

    /// Frames up to and with the first one that `is_last`.
    pub(crate) async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await?);
            if frames.last().is_some_and(&is_last) {
                return Ok(frames);
            }
        }
    }

    /// Frames up to the end of a prompt.
    pub(crate) async fn until_end(&mut self) -> Result<Vec<Value>> {
        self.until(|frame| frame["type"] == "executing" && frame["data"]["node"].is_null()).await
    }
}

fn binary(bytes: &[u8]) -> Value {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    match number(0) {
        4 => {
            let end = 8 + number(4) as usize;
            let metadata: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
            assert_eq!(metadata["image_type"], "image/png");
            assert!(bytes[end..].starts_with(b"\x89PNG"));
            json!({"event": 4, "metadata": metadata})
        }
        event => {
            assert!(bytes[8..].starts_with(b"\x89PNG"));
            json!({"event": event, "format": number(4)})
        }
    }
}

/// A text-to-image prompt of seven nodes.
pub(crate) fn text_to_image(seed: u64, steps: u32, size: u32) -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0], "seed": seed,
            "steps": steps, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        }},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": size, "height": size, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dusk", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": format!("seed{seed}")}},
    })
}

/// A PNG's width, height and pixels.
pub(crate) fn pixels(file: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}
