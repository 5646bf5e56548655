//! What is known of ComfyUI graphs: how they are read, what their inputs, seeds, files and models are, and whether an
//! engine's nodes take them. Pure: no clock, no network, no files.
//!
//! A graph in ComfyUI's API format is an object of node id → `{class_type, inputs}`. An input is a literal, or a link
//! `[node id, output]`.

mod check;
mod deny;
mod files;
mod model;
mod near;
mod nodes;
mod order;
mod parse;
mod path;
mod recipe;
mod seeds;
mod set;
mod shipped;
mod size;

pub use check::{Misfit, What, check};
pub use deny::{API_NODES, DEFAULT_RULES, Denied, default_denied, denied, is_like};
pub use files::{FileInput, ReachesOut, Why, check_paths, files};
pub use model::{digest, is_checkpoint, model, model_files, work};
pub use nodes::{Class, NotObjectInfo, ObjectInfo};
pub use order::{by_number, order};
pub use parse::{NotAWorkflow, graph_of, parse};
pub use path::InputPath;
pub use recipe::{JobFacts, RecipeProblem, Rendered, check_input, render};
pub use seeds::{SeedAt, SeedProblem, SeedRules, count_up, rounded_seed, settle_seeds};
use serde_json::{Map, Value};
pub use set::{InputProblem, set_inputs};
pub use shipped::{
    family_of, image_to_image, image_to_image_recipe, shipped_recipes, text_to_image, text_to_image_recipe,
};
pub use size::{most_pixels, most_steps};

/// Node id → node.
pub type Graph = Map<String, Value>;

/// The texts of nodes in messages are cut here, characters.
const MAX_SHOWN: usize = 60;

/// A text of a node, as messages show it.
fn shown(text: &str) -> String {
    crds::conditions::cut(text, MAX_SHOWN)
}

fn class_of(node: &Value) -> &str {
    node["class_type"].as_str().unwrap_or_default()
}

fn inputs_of(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node["inputs"].as_object().into_iter().flatten()
}

/// The node and the output that an input comes from.
fn link(value: &Value) -> Option<(&str, &Value)> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(id), output @ Value::Number(_)]) => Some((id, output)),
        _ => None,
    }
}
