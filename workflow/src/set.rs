//! Setting inputs by name.

use serde_json::{Map, Value};

use crate::{Graph, InputPath, class_of, near::nearest, shown};

/// An input that can't be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inputs[{path:?}]: {why}")]
pub struct InputProblem {
    /// The path as it was given.
    pub path: String,
    /// Why not, and what the node has.
    pub why: String,
}

/// Sets inputs, each named `node.input`. Only what a node has can be set: the engine ignores anything else without a
/// word.
///
/// # Errors
///
/// The first input that the graph does not have.
pub fn set_inputs(graph: &mut Graph, inputs: &Map<String, Value>) -> Result<(), InputProblem> {
    for (path, value) in inputs {
        let invalid = |why: String| InputProblem { path: path.clone(), why };
        let place: InputPath = path.parse().map_err(|error| invalid(format!("{error}")))?;
        *find(graph, &place).map_err(invalid)? = value.clone();
    }
    Ok(())
}

/// The input, or why there is none.
pub(crate) fn find<'a>(graph: &'a mut Graph, path: &InputPath) -> Result<&'a mut Value, String> {
    let InputPath { node: id, input } = path;
    if !graph.contains_key(id) {
        return Err(format!("the workflow has no node {:?}", shown(id)));
    }
    let node = &mut graph[id];
    let class = class_of(node).to_owned();
    let has = node.get_mut("inputs").and_then(Value::as_object_mut);
    let names: Vec<String> = has.iter().flat_map(|has| has.keys().cloned()).collect();
    if let Some(found) = has.and_then(|has| has.get_mut(input)) {
        return Ok(found);
    }
    let near = nearest(input, names.iter().map(String::as_str), 1);
    let near = near.first().map(|near| format!("; did you mean {:?}?", shown(near))).unwrap_or_default();
    let listed: Vec<String> = names.iter().map(|name| shown(name)).collect();
    let has = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
    let (input, class) = (shown(input), shown(&class));
    Err(format!("node {id} ({class}) has no input {input:?}; it has {has}{near}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_inputs_that_a_node_has_can_be_set() {
        let nodes = json!({
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn", "clip": ["4", 1]}},
            "57:8": {"class_type": "KSampler", "inputs": {"a.b": 1}},
            "9": {"class_type": "Note"},
        });
        let set = |inputs: Value| {
            let mut graph = nodes.as_object().unwrap().clone();
            set_inputs(&mut graph, inputs.as_object().unwrap())
                .map(|()| graph)
                .map_err(|error| error.to_string())
        };
        let refused = [
            (json!({"text": 1}), "inputs[\"text\"]: write it as node.input, e.g. 6.text"),
            (json!({"99.text": 1}), "inputs[\"99.text\"]: the workflow has no node \"99\""),
            (
                json!({"6.prompt": "x"}),
                "inputs[\"6.prompt\"]: node 6 (CLIPTextEncode) has no input \"prompt\"; it has text, clip",
            ),
            (
                json!({"6.txt": "x"}),
                "inputs[\"6.txt\"]: node 6 (CLIPTextEncode) has no input \"txt\"; it has text, clip; did you mean \
                 \"text\"?",
            ),
            (json!({"9.text": 1}), "inputs[\"9.text\"]: node 9 (Note) has no input \"text\"; it has none"),
        ];
        for (inputs, why) in refused {
            assert_eq!(set(inputs), Err(why.to_owned()));
        }
        let set = set(json!({"6.text": "a harbour", "57:8.a.b": 2})).unwrap();
        assert_eq!(
            (&set["6"]["inputs"]["text"], &set["57:8"]["inputs"]["a.b"]),
            (&json!("a harbour"), &json!(2))
        );
    }
}
