//! What of a graph can be judged without an engine. Pure.

use serde_json::Value;
use workflow::{Graph, NotAWorkflow, graph_of};

use super::refusal::{FieldError, NodeErrors, Refusal};

/// 2^63: the cluster's API server keeps no integer from here on exactly.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
/// The type of an object that stands for a file where a node takes a file's name.
const ASSET: &str = "core/ASSET";

/// The graph of a request.
pub(super) fn read(workflow: Value) -> Result<Graph, Refusal> {
    let graph = graph_of(workflow).map_err(not_a_workflow)?;
    no_large_integers(&graph)?;
    no_assets(&graph)?;
    Ok(graph)
}

fn not_a_workflow(error: NotAWorkflow) -> Refusal {
    let message = format!("workflow: {error}");
    match error {
        NotAWorkflow::EditorFormat => Refusal::new(422, "workflow_format_ui", message),
        NotAWorkflow::Node { node, why } => {
            let field = ["class_type", "inputs"].into_iter().find(|field| why.contains(field));
            let error = FieldError { field: field.unwrap_or_default().to_owned(), reason: why.to_owned() };
            Refusal::invalid_workflow(message).of_nodes([(node, vec![error])].into())
        }
        _ => Refusal::invalid_workflow(message),
    }
}

/// The numbers that would be changed on their way to the engine.
fn no_large_integers(graph: &Graph) -> Result<(), Refusal> {
    const REASON: &str =
        "an integer above 9223372036854775807 (2^63 - 1) would be rounded on its way; write it as a text";
    let errors = each_field(graph, &|value| match value {
        // What is larger than 64 bits is a float by now, like its neighbours.
        Value::Number(number) => number.as_i64().is_none() && number.as_f64().is_some_and(is_large),
        _ => false,
    });
    refuse(errors, "invalid_workflow", REASON)
}

fn is_large(number: f64) -> bool {
    number.abs() >= TOO_LARGE
}

/// Files can't be uploaded here, so none is known.
fn no_assets(graph: &Graph) -> Result<(), Refusal> {
    const REASON: &str = "there is no such asset";
    let errors = each_field(graph, &|value| value.get("__type").is_some_and(|kind| kind == ASSET));
    refuse(errors, "missing_asset", REASON)
}

/// The nodes and their fields that hold a value of which `is` is true.
fn each_field(graph: &Graph, is: &impl Fn(&Value) -> bool) -> Vec<(String, String)> {
    let mut found = vec![];
    for (id, node) in graph {
        let inputs = node["inputs"].as_object().into_iter().flatten();
        let others = node.as_object().into_iter().flatten().filter(|(name, _)| *name != "inputs");
        let fields = inputs.chain(others).filter(|(_, value)| holds(value, is));
        found.extend(fields.map(|(field, _)| (id.clone(), field.clone())));
    }
    found
}

fn holds(value: &Value, is: &impl Fn(&Value) -> bool) -> bool {
    is(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, is)),
            Value::Object(fields) => fields.values().any(|field| holds(field, is)),
            _ => false,
        }
}

fn refuse(found: Vec<(String, String)>, code: &'static str, reason: &str) -> Result<(), Refusal> {
    let Some((node, field)) = found.first() else { return Ok(()) };
    let message = format!("workflow: node {node}: {field}: {reason}");
    let mut errors = NodeErrors::new();
    for (node, field) in found {
        errors.entry(node).or_default().push(FieldError { field, reason: reason.to_owned() });
    }
    Err(Refusal::new(422, code, message).of_nodes(errors))
}
