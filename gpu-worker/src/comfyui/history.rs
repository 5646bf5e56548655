use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Failure, client::File};

/// What became of a prompt, as `/history` tells it.
#[derive(Debug, Deserialize)]
pub(super) struct History {
    /// node id → {"images": […], …}
    #[serde(default)]
    outputs: Map<String, Value>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    status_str: String,
    /// `[name, data]`
    #[serde(default)]
    messages: Vec<(String, Value)>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// Somebody stopped it.
    Interrupted,
    Failed(Failure),
}

impl History {
    /// Error and interruption both have the status `error`; the messages tell which.
    pub(super) fn ended(&self) -> Ended {
        let Some(status) = &self.status else { return Ended::Well };
        if status.status_str == "success" {
            return Ended::Well;
        }
        match status.messages.last() {
            Some((name, data)) if name == "execution_error" => {
                Ended::Failed(Failure::deserialize(data).unwrap_or_else(|_| Failure::without_words()))
            }
            Some((name, _)) if name == "execution_interrupted" => Ended::Interrupted,
            _ => Ended::Failed(Failure::without_words()),
        }
    }

    /// Milliseconds from the start of execution to its end by the engine's own clock.
    pub(super) fn engine_ms(&self) -> Option<u64> {
        let at = |(_, data): &(String, Value)| data.get("timestamp")?.as_u64();
        let messages = &self.status.as_ref()?.messages;
        at(messages.last()?)?.checked_sub(at(messages.first()?)?)
    }

    /// The images of all output nodes, in the order in which the graph lists its nodes. Previews count only
    /// where there is nothing else.
    pub(super) fn images(&self, graph: &Map<String, Value>) -> Vec<File> {
        let known = graph.keys().filter_map(|node| self.outputs.get(node));
        // Nodes that a node expanded into are not in the graph.
        let expanded = self.outputs.iter().filter(|(node, _)| !graph.contains_key(*node)).map(|(_, out)| out);
        let all: Vec<File> = known.chain(expanded).flat_map(images_of).collect();
        let (kept, previews): (Vec<_>, Vec<_>) = all.into_iter().partition(|image| image.kind == "output");
        if kept.is_empty() { previews } else { kept }
    }
}

fn images_of(output: &Value) -> Vec<File> {
    let images = output.get("images").and_then(Value::as_array);
    images.into_iter().flatten().filter_map(|image| File::deserialize(image).ok()).collect()
}
