//! Reading the text of a workflow, and saying what to do where it is none.

use serde_json::Value;

use crate::{Graph, shown};

/// How to get what is expected, out of ComfyUI's editor.
const EXPORT: &str = "export it with Workflow > Export (API)";

/// A text that is no workflow. Each is one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAWorkflow {
    /// Nothing but white space.
    #[error("it is empty; put the workflow's JSON there: {EXPORT}")]
    Empty,
    /// A text that begins with the byte order mark of UTF-16, or has a zero byte at every other place.
    #[error("it is UTF-16; save it as UTF-8")]
    Utf16,
    /// Bytes that are no text.
    #[error("it is not UTF-8 text: byte {0} is not; save it as UTF-8")]
    NotText(usize),
    /// A page of the web instead of a file.
    #[error(
        "it is an HTML page, not a workflow; fetch the file itself: the raw link, not the page that shows it"
    )]
    Html,
    /// The editor's own format, with `nodes` and `links`.
    #[error("this is the editor's own format; {EXPORT}")]
    EditorFormat,
    /// An array, a text or a number.
    #[error("it is {0}, not an object of node id → node; {EXPORT}")]
    NotAnObject(&'static str),
    /// `NaN` and the infinities, which JSON does not have.
    #[error("line {line} has {word}, which JSON does not have; put a number there")]
    NotANumber {
        /// Counted from 1.
        line: usize,
        /// As it stands there.
        word: &'static str,
    },
    /// A comment.
    #[error("line {0} has a comment, which JSON does not have; take it out")]
    Comment(usize),
    /// A comma before `}` or `]`.
    #[error("line {0} has a comma with nothing after it; take it out")]
    TrailingComma(usize),
    /// What Python prints of a dict.
    #[error(
        "line {line} has {word}, so it is Python and not JSON; write it with json.dumps(workflow), or {EXPORT}"
    )]
    Python {
        /// Counted from 1.
        line: usize,
        /// What JSON writes otherwise.
        word: &'static str,
    },
    /// Any other slip.
    #[error("it is not JSON: {0}; {EXPORT}")]
    NotJson(String),
    /// An empty object.
    #[error("it has no nodes; {EXPORT}")]
    NoNodes,
    /// A node that is none.
    #[error("node {node:?} {why}; {EXPORT}")]
    Node {
        /// Its id.
        node: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The graph in a text, on whichever route it came: UTF-8 with or without its byte order mark, a graph in the API format
/// or the body of a `POST /prompt`.
///
/// # Errors
///
/// If it is none; the error says what to do.
pub fn parse(bytes: &[u8]) -> Result<Graph, NotAWorkflow> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..]) {
        return Err(NotAWorkflow::Utf16);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| NotAWorkflow::NotText(error.valid_up_to()))?;
    let start = text.trim_start();
    if start.is_empty() {
        return Err(NotAWorkflow::Empty);
    }
    if start.starts_with('<') {
        return Err(NotAWorkflow::Html);
    }
    let value = serde_json::from_str(text).map_err(|error| slip(text, &error))?;
    graph_of(value)
}

/// The graph that a JSON value is or holds.
///
/// # Errors
///
/// As [`parse`].
pub fn graph_of(value: Value) -> Result<Graph, NotAWorkflow> {
    let mut graph = match value {
        Value::Object(graph) => graph,
        Value::Array(_) => return Err(NotAWorkflow::NotAnObject("an array")),
        Value::String(_) => return Err(NotAWorkflow::NotAnObject("a text")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            return Err(NotAWorkflow::NotAnObject("a single value"));
        }
    };
    if graph.get("prompt").is_some_and(|inner| inner.is_object() && inner.get("class_type").is_none())
        && let Some(Value::Object(inner)) = graph.remove("prompt")
    {
        graph = inner;
    }
    if graph.get("nodes").is_some_and(Value::is_array) {
        return Err(NotAWorkflow::EditorFormat);
    }
    if graph.is_empty() {
        return Err(NotAWorkflow::NoNodes);
    }
    for (id, node) in &graph {
        let why = if !node.is_object() {
            "is not an object"
        } else if !node.get("class_type").is_some_and(Value::is_string) {
            "has no class_type"
        } else if !node.get("inputs").is_none_or(Value::is_object) {
            "has inputs that are not an object"
        } else {
            continue;
        };
        return Err(NotAWorkflow::Node { node: shown(id), why });
    }
    Ok(graph)
}

/// What stands where the parser stopped.
fn slip(text: &str, error: &serde_json::Error) -> NotAWorkflow {
    const NOT_NUMBERS: [&str; 5] = ["NaN", "-Infinity", "Infinity", "-inf", "nan"];
    const PYTHON: [(&str, &str); 4] =
        [("'", "single quotes"), ("True", "True"), ("False", "False"), ("None", "None")];
    let line = error.line();
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = before + error.column().saturating_sub(1);
    // The parser has read the sign of a number, the first slash or the bracket after a comma.
    let from_here = |back: usize| at.checked_sub(back).and_then(|at| text.get(at..)).unwrap_or_default();
    let stands = |word: &str| from_here(0).starts_with(word) || from_here(1).starts_with(word);
    if let Some(word) = NOT_NUMBERS.into_iter().find(|word| stands(word)) {
        return NotAWorkflow::NotANumber { line, word };
    }
    if stands("//") || stands("/*") || from_here(0).starts_with('#') {
        return NotAWorkflow::Comment(line);
    }
    if let Some((_, word)) = PYTHON.into_iter().find(|(start, _)| from_here(0).starts_with(start)) {
        return NotAWorkflow::Python { line, word };
    }
    let said = error.to_string();
    if said.starts_with("trailing comma") {
        return NotAWorkflow::TrailingComma(line);
    }
    NotAWorkflow::NotJson(crds::conditions::cut(&said, 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"{"6": {"class_type": "Note"}}"#;

    #[test]
    fn a_graph_is_read_however_it_is_wrapped() {
        let plain = parse(NODE.as_bytes()).unwrap();
        assert_eq!(plain["6"]["class_type"], "Note");
        let body = format!(r#"{{"client_id": "me", "prompt": {NODE}}}"#);
        for text in [format!("\u{feff}{NODE}"), format!("\n  {NODE}\n"), body] {
            assert_eq!(parse(text.as_bytes()).as_ref(), Ok(&plain), "{text}");
        }
        let named = parse(br#"{"prompt": {"class_type": "Note", "inputs": {}}}"#).unwrap();
        assert!(named.contains_key("prompt"), "a node may have that id");
    }

    #[test]
    fn what_is_not_a_workflow_is_told_in_one_sentence() {
        let export = "export it with Workflow > Export (API)";
        let table: [(&str, &str); 22] = [
            ("", "it is empty; put the workflow's JSON there: "),
            (" \n\t", "it is empty"),
            ("<!DOCTYPE html><html>", "it is an HTML page, not a workflow; fetch the file itself"),
            ("[]", "it is an array, not an object of node id → node; "),
            ("\"workflow.json\"", "it is a text, not an object"),
            ("7", "it is a single value"),
            ("{}", "it has no nodes; "),
            (
                r#"{"last_node_id": 9, "nodes": [{"id": 1}], "links": []}"#,
                "this is the editor's own format; ",
            ),
            (r#"{"prompt": {"nodes": []}}"#, "this is the editor's own format"),
            (r#"{"6": "text"}"#, "node \"6\" is not an object; "),
            (r#"{"6": {"inputs": {}}}"#, "node \"6\" has no class_type; "),
            (
                r#"{"6": {"class_type": "A", "inputs": "none"}}"#,
                "node \"6\" has inputs that are not an object",
            ),
            ("{\n\"6\": {\"cfg\": NaN}}", "line 2 has NaN, which JSON does not have"),
            (r#"{"6": {"cfg": Infinity}}"#, "line 1 has Infinity"),
            (r#"{"6": {"cfg": -Infinity}}"#, "line 1 has -Infinity"),
            ("{\n// the prompt\n\"6\": 1}", "line 2 has a comment, which JSON does not have; take it out"),
            ("{\"6\": 1, /* why */ \"7\": 2}", "line 1 has a comment"),
            ("{\"6\": {\"a\": 1,\n}}", "line 2 has a comma with nothing after it; take it out"),
            (
                "{'6': {'class_type': 'A'}}",
                "line 1 has single quotes, so it is Python and not JSON; write it with",
            ),
            (r#"{"6": {"noise": True}}"#, "line 1 has True, so it is Python"),
            (r#"{"6": {"mask": None}}"#, "line 1 has None, so it is Python"),
            (r#"{"6": {"class_type": "A"}"#, "it is not JSON: EOF while parsing an object at line 1"),
        ];
        for (text, why) in table {
            let told = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(told.starts_with(why), "{text}: {told}");
            assert!(!why.ends_with("; ") || told.ends_with(export), "{text}: {told}");
        }
        let utf16: Vec<u8> =
            std::iter::once(0xfeff).chain(NODE.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(parse(&utf16), Err(NotAWorkflow::Utf16));
        assert_eq!(parse(&utf16[2..]), Err(NotAWorkflow::Utf16));
        assert_eq!(parse(b"{\"6\": \"\xff\"}"), Err(NotAWorkflow::NotText(7)));
    }
}
