//! Whether an engine takes a graph, by the rules of ComfyUI's own validation (`execution.py`: `validate_prompt`,
//! `validate_inputs`).
//!
//! What the engine takes is never refused, but for an input whose name is a slip. So: only what leads to an output node
//! is looked at; values of input files are not, since the engine looks for the file itself; and of nodes of custom
//! packages, which may judge their inputs with code of their own, only what no such code can let pass.

mod literal;
mod misfit;
mod walk;

use std::collections::BTreeSet;

pub use misfit::{Misfit, What};
use serde_json::Value;

use crate::{
    Graph, class_of,
    files::is_file_input,
    inputs_of,
    near::is_near,
    nodes::{Class, Input, ObjectInfo},
    order::order,
};

/// More are not told.
const MAX_MISFITS: usize = 20;
/// The names that come nearest to a wrong one.
const NEAREST: usize = 3;

/// Whether the engine that has these nodes takes the graph.
///
/// # Errors
///
/// What does not fit, by the numbers of the nodes, at most twenty.
pub fn check(graph: &Graph, known: &ObjectInfo) -> Result<(), Vec<Misfit>> {
    let ids = order(graph);
    let mut misfits = unknown(graph, known, &ids);
    if misfits.is_empty() {
        let outputs: Vec<&str> = ids
            .iter()
            .copied()
            .filter(|id| known.class(class_of(&graph[*id])).is_some_and(Class::is_output))
            .collect();
        if outputs.is_empty() {
            return Err(vec![Misfit::of_graph(What::NoOutput)]);
        }
        misfits = reachable(graph, known, &outputs);
    }
    misfits.truncate(MAX_MISFITS);
    if misfits.is_empty() { Ok(()) } else { Err(misfits) }
}

/// The engine refuses a graph with a class it does not have, wherever that stands.
fn unknown(graph: &Graph, known: &ObjectInfo, ids: &[&str]) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for id in ids {
        let class = class_of(&graph[*id]);
        if known.class(class).is_none() {
            let nearest = known.nearest(class, NEAREST);
            misfits.push(Misfit::new(id, class, None, What::UnknownClass { nearest }));
            if misfits.len() == MAX_MISFITS {
                break;
            }
        }
    }
    misfits
}

fn reachable(graph: &Graph, known: &ObjectInfo, outputs: &[&str]) -> Vec<Misfit> {
    let links = |id: &str| -> Vec<&str> {
        let Some(class) = graph.get(id).and_then(|node| known.class(class_of(node))) else {
            return Vec::new();
        };
        let declared = literal::declared(class, &graph[id]);
        declared
            .iter()
            .filter_map(|(name, _, _)| graph[id]["inputs"].get(name.as_str())?.get(0)?.as_str())
            .filter_map(|to| graph.get_key_value(to).map(|(to, _)| to.as_str()))
            .collect()
    };
    let walked = walk::walk(outputs, links);
    let mut misfits: Vec<Misfit> = walked
        .cycle
        .iter()
        .map(|path| Misfit::new(path[0], class_of(&graph[path[0]]), None, What::Cycle(owned(path))))
        .collect();
    let reached: BTreeSet<&str> = walked.reached;
    for id in order(graph).into_iter().filter(|id| reached.contains(id)) {
        let node = &graph[id];
        if let Some(class) = known.class(class_of(node)) {
            let mut add =
                |input: &str, what| misfits.push(Misfit::new(id, class_of(node), Some(input), what));
            check_node(graph, known, class, node, &mut add);
        }
        if misfits.len() >= MAX_MISFITS {
            break;
        }
    }
    misfits
}

fn check_node(
    graph: &Graph,
    known: &ObjectInfo,
    class: &Class,
    node: &Value,
    add: &mut impl FnMut(&str, What),
) {
    let declared = literal::declared(class, node);
    let name = class_of(node);
    for (input, required, definition) in &declared {
        match node["inputs"].get(input.as_str()) {
            None => {
                if *required {
                    let given = inputs_of(node).map(|(name, _)| name.as_str());
                    let slip = given.filter(|given| !declared.iter().any(|(name, _, _)| name == given));
                    let slip = slip.into_iter().find(|given| is_near(given, input)).map(crate::shown);
                    add(input, What::Missing { kind: literal::kind_of(definition), slip });
                }
            }
            Some(Value::Array(parts)) => {
                if let Some(what) = wrong_link(graph, known, class, definition, parts) {
                    add(input, what);
                }
            }
            Some(value) => {
                let any_value = is_file_input(name, definition, value);
                if let Some(what) = literal::wrong(class, definition, value, any_value) {
                    add(input, what);
                }
            }
        }
    }
    if class.is_open() {
        return;
    }
    let has = |name: &str| class.input(name).is_some() || class.hidden.iter().any(|hidden| &**hidden == name);
    for (given, _) in inputs_of(node).filter(|(given, _)| !has(given)) {
        // An input that the editor added, or that an older node had, is like none of this one's.
        let left: Vec<&Input> = class
            .inputs
            .iter()
            .filter(|input| !input.required && node["inputs"].get(&*input.name).is_none())
            .collect();
        if let Some(meant) = left.into_iter().find(|input| is_near(&input.name, given)) {
            let has = class.inputs.iter().map(|input| input.name.to_string()).collect();
            add(given, What::UnknownInput { has, meant: meant.name.to_string() });
        }
    }
}

fn wrong_link(
    graph: &Graph,
    known: &ObjectInfo,
    class: &Class,
    input: &Input,
    parts: &[Value],
) -> Option<What> {
    let [Value::String(from), index] = parts else { return Some(What::BadLink) };
    let Some(source) = graph.get(from).map(class_of) else {
        return Some(What::NoSuchNode { from: from.clone() });
    };
    let outputs = &known.class(source)?.outputs;
    let Some(output) = place(index, outputs.len()).and_then(|index| outputs.get(index)) else {
        return Some(What::NoSuchOutput {
            from: from.clone(),
            class: source.to_owned(),
            index: index.to_string(),
            has: outputs.iter().map(|output| output.name.to_string()).collect(),
        });
    };
    // A custom node may take any type (`input_types`).
    if class.is_custom() || literal::takes(input, &output.kind) {
        return None;
    }
    Some(What::TypeMismatch {
        from: from.clone(),
        class: source.to_owned(),
        gives: output.kind.to_string(),
        takes: literal::kind_of(input),
    })
}

/// Python counts from the end below zero, and takes booleans and no floats.
fn place(index: &Value, len: usize) -> Option<usize> {
    match index.as_i64() {
        Some(index) if index < 0 => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
        Some(index) => usize::try_from(index).ok(),
        None => None,
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|id| (*id).to_owned()).collect()
}
