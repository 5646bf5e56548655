use serde::Deserialize;
use serde_json::Value;

use super::{PromptId, outputs::File, python};

/// What the engine tells of a prompt over its socket, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It is taken off the queue.
    Started(PromptId),
    /// These nodes need not run, as equal ones have run before.
    Cached { prompt: PromptId, nodes: Vec<String> },
    /// A node begins.
    Node { prompt: PromptId, node: String },
    /// A node has done so many of so many steps.
    Steps { prompt: PromptId, node: String, done: u32, total: u32 },
    /// A node has saved a latent.
    Saved { prompt: PromptId, node: String, file: File },
    /// It ended, one way or another, and history knows how.
    Ended(PromptId),
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    prompt_id: Option<String>,
    node: Option<Value>,
    #[serde(default)]
    nodes: Vec<String>,
    value: Option<f64>,
    max: Option<f64>,
    output: Option<Value>,
}

impl Event {
    /// `None` for what does not matter here, known or not.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Frame { kind, data: Data { prompt_id, node, nodes, value, max, output } } =
            serde_json::from_str(&python::to_json(text)).ok()?;
        // After a connection in mid-run the engine says `executing` without telling whose.
        let prompt = PromptId::from(prompt_id?.as_str());
        let named = || node.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "execution_start" => Some(Self::Started(prompt)),
            "execution_cached" => Some(Self::Cached { prompt, nodes }),
            "executing" if node.is_none() => Some(Self::Ended(prompt)),
            "executing" => Some(Self::Node { prompt, node: named() }),
            "progress" => {
                Some(Self::Steps { prompt, node: named(), done: steps(value?), total: steps(max?) })
            }
            "executed" => {
                let file = File::deserialize(output?.get("latents")?.get(0)?).ok()?;
                Some(Self::Saved { prompt, node: named(), file })
            }
            _ => None,
        }
    }

    pub(super) fn prompt(&self) -> &PromptId {
        match self {
            Self::Started(prompt)
            | Self::Cached { prompt, .. }
            | Self::Node { prompt, .. }
            | Self::Steps { prompt, .. }
            | Self::Saved { prompt, .. }
            | Self::Ended(prompt) => prompt,
        }
    }
}

/// Steps come as integers or floats, depending on the node.
fn steps(value: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to the range just before
    let whole = value.clamp(0.0, f64::from(u32::MAX)) as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::{Event, File};

    #[test]
    fn frames_are_read_for_what_matters() {
        let id = super::PromptId::from("p");
        let latent =
            File { filename: "a_00001_.latent".into(), subfolder: "b".into(), kind: "output".into() };
        let table = [
            (r#"{"type":"execution_start","data":{"prompt_id":"p"}}"#, Some(Event::Started(id.clone()))),
            (
                r#"{"type":"progress","data":{"value":3.0,"max":20,"prompt_id":"p","node":"3"}}"#,
                Some(Event::Steps { prompt: id.clone(), node: "3".into(), done: 3, total: 20 }),
            ),
            (
                r#"{"type":"executed","data":{"node":"10","display_node":"10","prompt_id":"p","output":{
                    "latents":[{"filename":"a_00001_.latent","subfolder":"b","type":"output"}]}}}"#,
                Some(Event::Saved { prompt: id.clone(), node: "10".into(), file: latent }),
            ),
            (r#"{"type":"executed","data":{"node":"9","prompt_id":"p","output":{"images":[]}}}"#, None),
            (r#"{"type":"executed","data":{"node":"9","prompt_id":"p","output":null}}"#, None),
            (r#"{"type":"executing","data":{"node":null,"prompt_id":"p"}}"#, Some(Event::Ended(id.clone()))),
            (
                r#"{"type":"executing","data":{"node":"3","prompt_id":"p"}}"#,
                Some(Event::Node { prompt: id.clone(), node: "3".into() }),
            ),
            (
                r#"{"type":"execution_cached","data":{"nodes":["4"],"prompt_id":"p","x":NaN}}"#,
                Some(Event::Cached { prompt: id.clone(), nodes: vec!["4".into()] }),
            ),
            (r#"{"type":"executing","data":{"node":"3"}}"#, None),
            (r#"{"type":"executing","data":{"node":null}}"#, None),
            (r#"{"type":"status","data":{"status":{"exec_info":{"queue_remaining":1}}}}"#, None),
            (r#"{"type":"from_a_plugin","data":[1,2]}"#, None),
            ("not JSON", None),
        ];
        for (frame, event) in table {
            assert_eq!(Event::parse(frame), event, "{frame}");
        }
    }
}
