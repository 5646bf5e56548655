//! What a graph loads, and what tells it from others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Graph, class_of, inputs_of, seeds::is_seed};

/// Files of these kinds hold models.
const MODEL_FILES: [&str; 9] =
    [".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft", ".onnx", ".engine"];
/// Files of these kinds come and go with a job.
pub(crate) const MEDIA_FILES: [&str; 26] = [
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".exr", ".svg", ".mp4",
    ".webm", ".mov", ".mkv", ".avi", ".m4v", ".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".latent",
    ".glb", ".obj",
];
/// The queue's names of models are no longer.
const MAX_MODEL: usize = 253;

/// Whether a file's name is that of a model.
pub(crate) fn is_model_file(name: &str) -> bool {
    has_ending(name, &MODEL_FILES)
}

/// Whether a file's name is that of a picture, a clip, a sound or a latent.
pub(crate) fn is_media_file(name: &str) -> bool {
    has_ending(name, &MEDIA_FILES)
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    endings.iter().any(|ending| lower.ends_with(ending))
}

/// What a worker must have loaded to run it. A single checkpoint is its own name, as textToImage names it; several files
/// are joined by `+`; nothing loaded is the empty name.
#[must_use]
pub fn model(graph: &Graph) -> String {
    let mut files = BTreeSet::new();
    let mut checkpoint = true;
    for node in graph.values() {
        let class = class_of(node);
        let loads = class.contains("Loader");
        for (name, value) in inputs_of(node) {
            let Some(file) = value.as_str().filter(|file| is_model(name, file, loads)) else { continue };
            checkpoint &= class.contains("Checkpoint");
            files.insert(file);
        }
    }
    let names: Vec<&str> = files.into_iter().collect();
    let joined = match names[..] {
        [] => return String::new(),
        [one] if checkpoint && !one.contains('+') => one.to_owned(),
        [one] => format!("+{one}"),
        _ => names.join("+"),
    };
    match joined.len() {
        0..=MAX_MODEL => joined,
        _ => format!("+{}", short(&hash(joined.as_bytes()))),
    }
}

/// The model files that a graph names, each once.
#[must_use]
pub fn model_files(graph: &Graph) -> Vec<String> {
    let mut files = BTreeSet::new();
    for node in graph.values() {
        let loads = class_of(node).contains("Loader");
        let texts = inputs_of(node).filter_map(|(name, value)| Some((name, value.as_str()?)));
        files.extend(
            texts.filter(|(name, file)| is_model(name, file, loads)).map(|(_, file)| file.to_owned()),
        );
    }
    files.into_iter().collect()
}

/// Whether a model's name is that of one checkpoint, which a worker can load before it has work.
#[must_use]
pub fn is_checkpoint(model: &str) -> bool {
    !model.is_empty() && !model.contains('+')
}

fn is_model(input: &str, value: &str, loads: bool) -> bool {
    is_model_file(value) || loads && input.ends_with("_name") && !is_media_file(value)
}

/// The digest of a graph as it is run: `sha256:` and hex, of its JSON with sorted keys.
#[must_use]
pub fn digest(graph: &Graph) -> String {
    let canonical = canonical(&Value::Object(graph.clone()));
    format!("sha256:{}", hex(&hash(canonical.to_string().as_bytes())))
}

/// What tells one kind of work from another in how long it takes: the graph less its seeds, texts and pictures.
#[must_use]
pub fn work(graph: &Graph) -> String {
    let mut nodes = BTreeMap::new();
    for (id, node) in graph {
        let counts = |name: &str, value: &Value| {
            !is_seed(name) && value.as_str().is_none_or(|text| matters(name, text))
        };
        let inputs: BTreeMap<&String, Value> = inputs_of(node)
            .filter(|(name, value)| counts(name, value))
            .map(|(name, value)| (name, canonical(value)))
            .collect();
        nodes.insert(id, (class_of(node).to_owned(), inputs));
    }
    let text = serde_json::to_string(&nodes).unwrap_or_default();
    format!("w:{}", short(&hash(text.as_bytes())))
}

/// Whether a text says how to work rather than what to show.
fn matters(input: &str, text: &str) -> bool {
    const LONGEST_CHOICE: usize = 64;
    let input = input.to_ascii_lowercase();
    let prose =
        text.len() > LONGEST_CHOICE && !is_model(&input, text, false) || text.contains(char::is_whitespace);
    !(prose
        || input.contains("text")
        || input.contains("prompt")
        || input == "filename_prefix"
        || is_media_file(text))
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> = map.iter().map(|(k, v)| (k, canonical(v))).collect();
            Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), v)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn short(hash: &[u8; 32]) -> String {
    hex(&hash[..8])
}

#[cfg(test)]
mod tests;
