//! What is told about a prompt while it runs: frames to the clients, and messages for the history.
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::{picture::Pictures, queue::Item, server::Server, sockets::To};

/// Binary events.
const PREVIEW: u32 = 1;
const PREVIEW_WITH_METADATA: u32 = 4;
/// The format of a preview.
const PNG: u32 = 2;

/// Whom a message reaches if the prompt named no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Nobody,
    Everyone,
}

/// A prompt's reporter.
pub(crate) struct Report<'a> {
    server: &'a Server,
    prompt_id: &'a str,
    client: Option<&'a String>,
    /// Nodes that have started, as `progress_state` shows them.
    nodes: Map<String, Value>,
    messages: Vec<Value>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(server: &'a Server, item: &'a Item) -> Self {
        let client = item.client();
        Self { server, prompt_id: &item.id, client, nodes: Map::new(), messages: Vec::new() }
    }

    /// The messages so far, for the history.
    pub(crate) fn into_messages(self) -> Vec<Value> {
        self.messages
    }

    fn send(&self, kind: &str, data: &Value) {
        self.server.sockets.send(kind, data, To::of(self.client));
    }

    /// A turn in the prompt's life: `execution_start` and the like.
    pub(crate) fn message(&mut self, kind: &str, fields: Value, reach: Reach) {
        let mut data = Map::new();
        data.insert("prompt_id".to_owned(), json!(self.prompt_id));
        if let Value::Object(fields) = fields {
            data.extend(fields);
        }
        data.insert("timestamp".to_owned(), json!(now_ms()));
        let data = Value::Object(data);
        if self.client.is_some() || reach == Reach::Everyone {
            self.send(kind, &data);
        }
        self.messages.push(json!([kind, data]));
    }

    pub(crate) fn cached(&mut self, nodes: &[&String]) {
        // ComfyUI puts the nodes first here.
        let mut data = json!({"nodes": nodes, "prompt_id": self.prompt_id});
        data["timestamp"] = json!(now_ms());
        if self.client.is_some() {
            self.send("execution_cached", &data);
        }
        self.messages.push(json!(["execution_cached", data]));
    }

    pub(crate) fn started(&mut self, node: &str) {
        self.node_state(node, &json!(0.0), &json!(1.0), "running");
        if self.client.is_some() {
            self.server.set_last_node(node);
            let data = json!({"node": node, "display_node": node, "prompt_id": self.prompt_id});
            self.send("executing", &data);
        }
    }

    /// A node's output was made, or had been made before.
    pub(crate) fn executed(&self, node: &str, shown: &Value) {
        if self.client.is_some() {
            let data =
                json!({"node": node, "display_node": node, "output": shown, "prompt_id": self.prompt_id});
            self.send("executed", &data);
        }
    }

    pub(crate) fn finished(&mut self, node: &str) {
        let max = self.nodes.get(node).map_or(json!(1), |state| state["max"].clone());
        self.node_state(node, &max, &max, "finished");
    }

    pub(crate) fn progress(&mut self, node: &str, value: usize, max: usize, preview: Option<&Pictures>) {
        self.node_state(node, &json!(value), &json!(max), "running");
        let with_metadata = self.server.sockets.wants_metadata(self.client);
        if with_metadata {
            self.preview(node, preview, PREVIEW_WITH_METADATA);
        }
        let data = json!({"value": value, "max": max, "prompt_id": self.prompt_id, "node": node});
        self.send("progress", &data);
        if !with_metadata {
            self.preview(node, preview, PREVIEW);
        }
    }

    fn preview(&self, node: &str, preview: Option<&Pictures>, event: u32) {
        let Some(Ok(png)) = preview.map(|pictures| pictures.to_png(0, &[])) else { return };
        let head = match event {
            PREVIEW_WITH_METADATA => {
                let mut about = self.about(node);
                about.insert("image_type".to_owned(), json!("image/png"));
                let about = Value::Object(about).to_string().into_bytes();
                let length = u32::try_from(about.len()).unwrap_or_default();
                [length.to_be_bytes().to_vec(), about].concat()
            }
            _ => PNG.to_be_bytes().to_vec(),
        };
        self.server.sockets.send_binary(event, &[head, png].concat(), To::of(self.client));
    }

    fn node_state(&mut self, node: &str, value: &Value, max: &Value, state: &str) {
        let mut entry = json!({"value": value, "max": max, "state": state});
        if let Value::Object(entry) = &mut entry {
            entry.extend(self.about(node));
        }
        self.nodes.insert(node.to_owned(), entry);
        self.send("progress_state", &json!({"prompt_id": self.prompt_id, "nodes": self.nodes}));
    }

    fn about(&self, node: &str) -> Map<String, Value> {
        let fields = [
            ("node_id", json!(node)),
            ("prompt_id", json!(self.prompt_id)),
            ("display_node_id", json!(node)),
            ("parent_node_id", Value::Null),
            ("real_node_id", json!(node)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
