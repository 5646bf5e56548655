use serde::Deserialize;

use super::PromptId;

/// What the engine tells of a prompt over its socket, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It is taken off the queue.
    Started(PromptId),
    /// A node has done so many of so many steps.
    Steps(PromptId, u32, u32),
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
    node: Option<serde_json::Value>,
    value: Option<f64>,
    max: Option<f64>,
}

impl Event {
    /// `None` for all that is of no interest, known or not.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Frame { kind, data } = serde_json::from_str(text).ok()?;
        // After a connection in mid-run the engine says `executing` without telling whose.
        let id = PromptId::from(data.prompt_id?.as_str());
        match kind.as_str() {
            "execution_start" => Some(Self::Started(id)),
            "executing" if data.node.is_none() => Some(Self::Ended(id)),
            "progress" => Some(Self::Steps(id, steps(data.value?), steps(data.max?))),
            _ => None,
        }
    }

    pub(super) fn prompt(&self) -> &PromptId {
        match self {
            Self::Started(id) | Self::Steps(id, ..) | Self::Ended(id) => id,
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
    use super::Event;

    #[test]
    fn frames_are_read_for_what_matters() {
        let id = super::PromptId::from("p");
        let table = [
            (r#"{"type":"execution_start","data":{"prompt_id":"p"}}"#, Some(Event::Started(id.clone()))),
            (
                r#"{"type":"progress","data":{"value":3.0,"max":20,"prompt_id":"p","node":"3"}}"#,
                Some(Event::Steps(id.clone(), 3, 20)),
            ),
            (r#"{"type":"executing","data":{"node":null,"prompt_id":"p"}}"#, Some(Event::Ended(id))),
            (r#"{"type":"executing","data":{"node":"3","prompt_id":"p"}}"#, None),
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
