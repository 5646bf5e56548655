use std::collections::HashSet;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    Failure,
    mark::{Extra, Mark},
    outputs::{File, Output, in_order, outputs_of},
};

/// What became of a prompt, as `/history` tells it. The graph that stands in it is not read: it may hold numbers and
/// depths of nesting that no strict parser takes.
#[derive(Debug, Deserialize)]
pub(super) struct History {
    /// node id → {"images": […], …}
    #[serde(default)]
    outputs: Map<String, Value>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    prompt: Queued,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    status_str: String,
    #[serde(default)]
    messages: Vec<(String, Message)>,
}

/// What the engine said while it ran the prompt, as far as it matters.
#[derive(Debug, Default, Deserialize)]
struct Message {
    /// Milliseconds.
    timestamp: Option<u64>,
    /// Of `execution_cached`.
    #[serde(default)]
    nodes: Vec<String>,
    // The rest is of `execution_error`.
    node_id: Option<String>,
    node_type: Option<String>,
    exception_type: Option<String>,
    exception_message: Option<String>,
}

/// An entry of the engine's queue: `[number, id, graph, extra data, …]`.
#[derive(Debug, Default)]
pub(super) struct Queued {
    pub(super) id: String,
    pub(super) mark: Option<Mark>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Succeeded,
    /// Somebody stopped it.
    Interrupted,
    Failed(Failure),
}

impl History {
    /// By its last message. The status of 0.3.64 is the one of the prompt before where a graph has a cycle, or needs
    /// no node to run; and an error and an interruption both have the status `error`.
    pub(super) fn ended(&self) -> Ended {
        let Some(Status { status_str, messages }) = &self.status else { return Ended::Succeeded };
        match messages.last().map(|(name, message)| (name.as_str(), message)) {
            Some(("execution_success", _)) => Ended::Succeeded,
            Some(("execution_error", message)) => Ended::Failed(message.failure()),
            Some(("execution_interrupted", _)) => Ended::Interrupted,
            _ if status_str == "success" => Ended::Succeeded,
            _ => Ended::Failed(Message::default().failure()),
        }
    }

    /// Milliseconds from the start of execution to its end by the engine's own clock.
    pub(super) fn engine_ms(&self) -> Option<u64> {
        let messages = &self.status.as_ref()?.messages;
        let (first, last) = (messages.first()?.1.timestamp?, messages.last()?.1.timestamp?);
        last.checked_sub(first)
    }

    /// What is kept of what all nodes show, see [`in_order`].
    pub(super) fn outputs(&self, chosen: &[String]) -> Vec<Output> {
        let messages = self.status.iter().flat_map(|status| &status.messages);
        let cached =
            messages.filter(|(name, _)| name == "execution_cached").flat_map(|(_, said)| &said.nodes);
        let cached: HashSet<&String> = cached.collect();
        let nodes = self.outputs.iter();
        let shown = nodes.flat_map(|(node, shown)| outputs_of(node, shown));
        let all = shown.map(|output| Output { is_cached: cached.contains(&output.node), ..output });
        in_order(all.collect(), chosen)
    }

    /// Every file that it names, whatever its kind.
    pub(super) fn files(&self) -> Vec<File> {
        let lists = self.outputs.values().filter_map(Value::as_object).flat_map(Map::values);
        let items = lists.filter_map(Value::as_array).flatten();
        items.filter_map(|item| File::deserialize(item).ok()).collect()
    }

    pub(super) fn mark(&self) -> Option<&Mark> {
        self.prompt.mark.as_ref()
    }
}

impl Message {
    fn failure(&self) -> Failure {
        let text = |text: &Option<String>, missing: &str| text.clone().unwrap_or_else(|| missing.to_owned());
        Failure {
            node_id: text(&self.node_id, "?"),
            node_type: text(&self.node_type, "?"),
            exception_type: text(&self.exception_type, "Error"),
            exception_message: text(&self.exception_message, "the engine gave no reason"),
        }
    }
}

impl<'de> Deserialize<'de> for Queued {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = Queued;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a prompt in the engine's queue")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entry: A) -> Result<Queued, A::Error> {
                let _number: Option<IgnoredAny> = entry.next_element()?;
                let id = entry.next_element()?.unwrap_or_default();
                let _graph: Option<IgnoredAny> = entry.next_element()?;
                let mark = entry.next_element::<Extra>()?.and_then(|extra| extra.mark);
                while entry.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Queued { id, mark })
            }
        }
        deserializer.deserialize_seq(Entry)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Ended, History, Queued};
    use crate::comfyui::python;

    fn history(text: &str) -> History {
        serde_json::from_str(&python::to_json(text)).expect("a history")
    }

    fn ended(status: &serde_json::Value) -> Ended {
        history(&json!({"outputs": {}, "status": status}).to_string()).ended()
    }

    #[test]
    fn the_last_message_tells_how_it_ended() {
        let status = |status: &str, last: &str| {
            let messages = json!([["execution_start", {"timestamp": 1}], [last, {"timestamp": 5}]]);
            json!({"status_str": status, "completed": status == "success", "messages": messages})
        };
        assert_eq!(ended(&status("success", "execution_success")), Ended::Succeeded);
        assert_eq!(ended(&status("error", "execution_success")), Ended::Succeeded);
        assert_eq!(ended(&status("error", "execution_interrupted")), Ended::Interrupted);
        for said in ["success", "error"] {
            let Ended::Failed(failure) = ended(&status(said, "execution_error")) else { panic!("{said}") };
            assert_eq!(failure.words(), "node ? (?): Error: the engine gave no reason");
        }
        assert_eq!(ended(&json!(null)), Ended::Succeeded);
    }

    #[test]
    fn a_graph_that_no_strict_parser_reads_hides_nothing() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let huge = "9".repeat(400);
        let text = format!(
            r#"{{"prompt": [1, "p", {{"1": {{"is_changed": [NaN], "inputs": {{"x": {deep}, "y": {huge}}}}}}},
                 {{"client_id": "c", "deep": {deep}, "imagejob": {{"pool": "a/b", "worker": "w"}}}}, ["9"], {{}}],
                "outputs": {{"9": {{"images": [{{"filename": "a.png", "type": "output"}}], "x": [NaN]}}}},
                "meta": {{"9": {{"node_id": "9"}}}},
                "status": {{"status_str": "error", "completed": false, "messages": [
                    ["execution_cached", {{"nodes": ["9"], "timestamp": 3}}],
                    ["execution_error", {{"timestamp": 7, "node_id": "1", "node_type": "T", "exception_type": "E",
                        "exception_message": "m", "current_inputs": {{"x": [{huge}, -Infinity, {deep}]}}}}]]}}}}"#
        );
        let history = history(&text);
        let Ended::Failed(failure) = history.ended() else { panic!("{history:?}") };
        assert_eq!(failure.words(), "node 1 (T): E: m");
        assert_eq!(history.engine_ms(), Some(4));
        assert_eq!(history.files()[0].filename, "a.png");
        assert_eq!(history.mark().expect("a mark").worker, "w");
        assert!(history.outputs(&[])[0].is_cached);
    }

    #[test]
    fn what_others_put_into_their_prompts_is_no_mark() {
        let entries = [
            r#"[1, "p", {}, {"imagejob": {"pool": 5}}, []]"#,
            r#"[1, "p", {}, {"imagejob": "mine"}, []]"#,
            r#"[1, "p", {}, [1, [2]], []]"#,
            r#"[1, "p", {}, null, []]"#,
            r#"[1, "p"]"#,
        ];
        for entry in entries {
            let queued: Queued = serde_json::from_str(entry).expect(entry);
            assert_eq!((queued.id.as_str(), queued.mark), ("p", None), "{entry}");
        }
    }
}
