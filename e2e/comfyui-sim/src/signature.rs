//! Decides when ComfyUI uses a node's earlier result: if its class and inputs, and those of all nodes before it, are
//! equal.
use std::{collections::HashMap, path::PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{catalog::Kind, order, queue::Item, server::Server};

/// A hash of a node and all nodes before it; equal signatures give equal results.
pub(crate) type Signature = [u8; 32];

/// The signatures of the nodes that a prompt's outputs need.
pub(crate) fn signatures(server: &Server, item: &Item) -> HashMap<String, Signature> {
    let mut signatures = HashMap::new();
    for output in &item.outputs {
        signature(server, &item.prompt, output, &mut signatures);
    }
    signatures
}

/// The recursion ends because a prompt with a cycle is refused.
fn signature(
    server: &Server,
    prompt: &Map<String, Value>,
    node: &str,
    known: &mut HashMap<String, Signature>,
) -> Signature {
    if let Some(signature) = known.get(node) {
        return *signature;
    }
    let mut hash = Sha256::new();
    let about = prompt.get(node).unwrap_or(&Value::Null);
    hash.update(about["class_type"].to_string());
    let mut inputs: Vec<_> = about["inputs"].as_object().into_iter().flatten().collect();
    inputs.sort_by_key(|(name, _)| *name);
    for (name, value) in inputs {
        hash.update(json!(name).to_string());
        match order::link(value) {
            Some((from, slot)) => {
                hash.update(signature(server, prompt, &from, known));
                hash.update(slot.to_le_bytes());
            }
            None => hash.update(value.to_string()),
        }
    }
    // A file may have been replaced by another one with the same name.
    for file in input_files(server, about) {
        hash.update(std::fs::read(file).unwrap_or_default());
    }
    let signature = hash.finalize().into();
    known.insert(node.to_owned(), signature);
    signature
}

/// The files that a node loads.
fn input_files(server: &Server, node: &Value) -> Vec<PathBuf> {
    let catalog = server.catalog();
    let class = node["class_type"].as_str().and_then(|name| catalog.class(name));
    let inputs = class.into_iter().flat_map(|class| &class.inputs);
    let files = inputs.filter(|input| matches!(input.kind, Kind::InputFile(_)));
    files.filter_map(|input| server.files.find_annotated(node["inputs"][&input.name].as_str()?)).collect()
}
