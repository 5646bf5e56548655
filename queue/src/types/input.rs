//! Files that a job brings: what a worker is told of them. The operator writes it, the worker fetches and checks.

use serde::{Deserialize, Serialize};

/// One input file of a job, the same for all its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskInput {
    /// What the job calls it; for messages alone.
    pub name: String,
    /// Where it is.
    pub source: InputSource,
    /// The SHA-256 of the file as it is fetched, in hex; any other content is refused. With it, jobs share one fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it has to be.
    pub kind: InputKind,
    /// The inputs of the graph that get the file's name in the engine, each as `node.input`. The node's id ends at the
    /// first point.
    pub to: Vec<String>,
    /// A larger file is refused, bytes.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
    /// A picture of more pixels is refused, width × height. Absent: as many as the worker takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u64>,
}

/// Where an input file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum InputSource {
    /// On the web.
    Url {
        /// `https://…`
        url: String,
        /// The hosts that the pool allows, for the URL and for what it redirects to: a host's name, or
        /// `*.example.com` for all names below `example.com`.
        hosts: Vec<String>,
    },
    /// In the pool's bucket. That the job may read this key is for the operator to check.
    Object {
        /// The object's key.
        key: String,
    },
    /// In the job itself.
    Inline {
        /// The file in base64 (RFC 4648 §4).
        base64: String,
    },
}

/// What an input file has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputKind {
    /// A PNG, JPEG or WebP. The engine gets its pixels as a PNG and nothing else of it.
    Picture,
    /// A file of any kind that the engine can load: video, sound, a latent, text. A picture is treated as
    /// [`InputKind::Picture`].
    File,
}

impl TaskInput {
    /// What a file may have unless the job says otherwise, bytes.
    pub const MAX_BYTES: u64 = 20 << 20;
}

fn max_bytes() -> u64 {
    TaskInput::MAX_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InputKind, InputSource, TaskInput};

    #[test]
    fn an_input_reads_as_the_operator_writes_it() {
        let source =
            InputSource::Url { url: "https://a.example/b.png".into(), hosts: vec!["a.example".into()] };
        let input = TaskInput {
            name: "photo".into(),
            source,
            sha256: None,
            kind: InputKind::Picture,
            to: vec!["10.image".into()],
            max_bytes: TaskInput::MAX_BYTES,
            max_pixels: None,
        };
        let written = json!({
            "name": "photo", "kind": "picture", "to": ["10.image"], "maxBytes": 20_971_520,
            "source": {"url": {"url": "https://a.example/b.png", "hosts": ["a.example"]}},
        });
        assert_eq!(serde_json::to_value(&input).unwrap(), written);
        let mut short = written;
        short.as_object_mut().unwrap().remove("maxBytes");
        assert_eq!(serde_json::from_value::<TaskInput>(short).unwrap(), input);
    }
}
