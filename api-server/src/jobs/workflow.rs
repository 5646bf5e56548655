//! Jobs that bring a workflow of their own.

use serde_json::{Map, Value, json};
use workflow::Graph;

/// The spec of a job that runs a graph, from these inputs.
pub(crate) fn workflow_spec(graph: Graph, inputs: Vec<Value>) -> Map<String, Value> {
    let object = |field: &str, value| Value::Object(Map::from_iter([(field.to_owned(), value)]));
    let mut work = Map::from_iter([("type".to_owned(), json!("Workflow"))]);
    work.insert("workflow".to_owned(), object("graph", Value::Object(graph)));
    let mut spec = Map::from_iter([("work".to_owned(), Value::Object(work))]);
    if !inputs.is_empty() {
        spec.insert("inputs".to_owned(), Value::Array(inputs));
    }
    spec
}
