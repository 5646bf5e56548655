//! What of a graph can be judged without an engine. Pure.

use serde_json::Value;
use workflow::{Graph, Misfit, NotAWorkflow, ObjectInfo, check, graph_of};

use super::refusal::{FieldError, NodeErrors, Refusal};
use crate::{cache::Tenant, definitions::words};

/// 2^63: the cluster's API server keeps no integer from here on exactly.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// The graph of a request.
pub(super) fn read(workflow: Value) -> Result<Graph, Refusal> {
    let graph = graph_of(workflow).map_err(not_a_workflow)?;
    no_large_integers(&graph)?;
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
    let is_changed = |value: &Value| match value {
        // What is larger than 64 bits is a float by now, like its neighbours.
        Value::Number(number) => number.as_i64().is_none() && number.as_f64().is_some_and(is_large),
        _ => false,
    };
    let found = fields(graph).filter(|(.., value)| holds(value, &is_changed));
    refuse(found.map(|(node, field, _)| (node, field)), "invalid_workflow", REASON)
}

fn is_large(number: f64) -> bool {
    number.abs() >= TOO_LARGE
}

/// Refuses a graph that the engines would refuse which have these nodes.
pub(super) fn fits(graph: &Graph, known: &ObjectInfo, tenant: &Tenant) -> Result<(), Refusal> {
    let Err(misfits) = check(graph, known) else { return Ok(()) };
    let said = |misfit: &Misfit| words(misfit, tenant);
    let message = misfits.iter().map(said).collect::<Vec<_>>().join("\n");
    let mut errors = NodeErrors::new();
    for misfit in misfits.iter().filter(|misfit| !misfit.node.is_empty()) {
        let error = FieldError { field: misfit.input.clone().unwrap_or_default(), reason: said(misfit) };
        errors.entry(misfit.node.clone()).or_default().push(error);
    }
    Err(Refusal::invalid_workflow(format!("workflow: {message}")).of_nodes(errors))
}

/// Each node's inputs, and what else it says: the node's id, the name and the value.
pub(super) fn fields(graph: &Graph) -> impl Iterator<Item = (&String, &String, &Value)> {
    graph.iter().flat_map(|(id, node)| {
        let inputs = node["inputs"].as_object().into_iter().flatten();
        let others = node.as_object().into_iter().flatten().filter(|(name, _)| *name != "inputs");
        inputs.chain(others).map(move |(field, value)| (id, field, value))
    })
}

/// Whether `is` is true of the value or of one inside it.
pub(super) fn holds(value: &Value, is: &impl Fn(&Value) -> bool) -> bool {
    is(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, is)),
            Value::Object(fields) => fields.values().any(|field| holds(field, is)),
            _ => false,
        }
}

/// Refuses a graph for these of its fields, if there are any.
pub(super) fn refuse<'a>(
    found: impl Iterator<Item = (&'a String, &'a String)>,
    code: &'static str,
    reason: &str,
) -> Result<(), Refusal> {
    let mut found = found.peekable();
    let Some((node, field)) = found.peek() else { return Ok(()) };
    let message = format!("workflow: node {node}: {field}: {reason}");
    let mut errors = NodeErrors::new();
    for (node, field) in found {
        let error = FieldError { field: field.clone(), reason: reason.to_owned() };
        errors.entry(node.clone()).or_default().push(error);
    }
    Err(Refusal::new(422, code, message).of_nodes(errors))
}
