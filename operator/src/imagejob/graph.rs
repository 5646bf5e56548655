//! A workflow's graph: whether it is one, what it loads, and what tells it from others. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crds::conditions::cut;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Node id → node.
pub(crate) type Graph = Map<String, Value>;

/// How to get what is expected, out of ComfyUI's editor.
const EXPORT: &str = "save the workflow with Workflow > Export (API)";
/// Files of these kinds hold models.
const MODEL_FILES: [&str; 9] =
    [".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft", ".onnx", ".engine"];
/// Files of these kinds come and go with a job.
const MEDIA_FILES: [&str; 9] = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm", ".wav", ".mp3"];
/// The queue's names of models are no longer.
const MAX_MODEL: usize = 253;
/// Links are followed this far.
const MAX_LINKS: usize = 16;
/// The texts of nodes in messages are cut here, characters.
const MAX_SHOWN: usize = 60;

/// Whether it is a graph in ComfyUI's API format, and if not, why.
pub(crate) fn check(graph: &Graph) -> Result<(), String> {
    if graph.is_empty() {
        return Err("it has no nodes".into());
    }
    if graph.get("nodes").is_some_and(Value::is_array) {
        return Err(format!("this is the editor's own format; {EXPORT}"));
    }
    for (id, node) in graph {
        let shown = cut(id, MAX_SHOWN);
        let Some(node) = node.as_object() else {
            return Err(format!("node {shown:?} is not an object; {EXPORT}"));
        };
        if !node.get("class_type").is_some_and(Value::is_string) {
            return Err(format!("node {shown:?} has no class_type; {EXPORT}"));
        }
        if !node.get("inputs").is_none_or(Value::is_object) {
            return Err(format!("node {shown:?} has inputs that are not an object; {EXPORT}"));
        }
    }
    Ok(())
}

/// Sets inputs, each named `node.input`. Only what a node has can be set: the engine ignores anything else without a
/// word.
pub(crate) fn set_inputs(graph: &mut Graph, inputs: &Map<String, Value>) -> Result<(), String> {
    for (path, value) in inputs {
        let invalid = |why: String| format!("spec.workflow.inputs[{path:?}]: {why}");
        let Some((id, input)) = path.split_once('.') else {
            return Err(invalid("write it as node.input, e.g. 6.text".into()));
        };
        let Some(node) = graph.get_mut(id) else {
            return Err(invalid(format!("the workflow has no node {:?}", cut(id, MAX_SHOWN))));
        };
        let class = class_of(node).to_owned();
        let has = node.get_mut("inputs").and_then(Value::as_object_mut);
        match has.as_deref().map(|has| has.contains_key(input)) {
            Some(true) => {
                if let Some(has) = has {
                    has.insert(input.to_owned(), value.clone());
                }
            }
            Some(false) | None => {
                let names: Vec<String> =
                    has.iter().flat_map(|has| has.keys()).map(|name| cut(name, MAX_SHOWN)).collect();
                let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let input = cut(input, MAX_SHOWN);
                let class = cut(&class, MAX_SHOWN);
                return Err(invalid(format!("node {id} ({class}) has no input {input:?}; it has {has}")));
            }
        }
    }
    Ok(())
}

/// Makes every seed a whole number, so that the images of a job can count it up, or says why one can't be.
pub(crate) fn settle_seeds(graph: &mut Graph, count: u32) -> Result<(), String> {
    let mut settled = Vec::new();
    let mut linked = None;
    for (id, node) in graph.iter() {
        for (name, value) in inputs_of(node).filter(|(name, _)| is_seed(name)) {
            let says =
                |why: String| format!("node {} ({}): {name} {why}", cut(id, MAX_SHOWN), class_of(node));
            match literal(graph, value) {
                Literal::Value(literal) => {
                    let seed = whole(literal).map_err(says)?;
                    if let Seed::Whole(seed) = seed
                        && seed.checked_add(u64::from(count.saturating_sub(1))).is_none()
                    {
                        return Err(says(format!("{seed} can't be counted up for {count} images")));
                    }
                    settled.push((id.clone(), name.clone(), seed));
                }
                Literal::Of(other) => {
                    linked = linked.or_else(|| Some((says(String::new()), other.to_owned())));
                }
            }
        }
    }
    let varies = settled.iter().any(|(_, _, seed)| matches!(seed, Seed::Whole(_)));
    if let Some((what, other)) = linked
        && count > 1
        && !varies
    {
        return Err(format!(
            "{what}is linked to node {}, whose value can't be counted up: all {count} images would be the same; give \
             the seed as a number, or count: 1",
            cut(&other, MAX_SHOWN)
        ));
    }
    for (id, name, seed) in settled {
        if let (Seed::Whole(seed), Some(input)) =
            (seed, graph.get_mut(&id).map(|node| &mut node["inputs"][&name]))
        {
            *input = seed.into();
        }
    }
    Ok(())
}

/// A seed as it is given.
enum Seed {
    Whole(u64),
    /// Below zero: the engine says what it thinks of it.
    Negative,
}

/// What an input is in the end.
enum Literal<'a> {
    Value(&'a Value),
    /// The output of this node, which is worked out when the graph runs.
    Of(&'a str),
}

fn is_seed(name: &str) -> bool {
    name.ends_with("seed")
}

fn whole(value: &Value) -> Result<Seed, String> {
    /// 2^53: from here on a floating-point number may stand for its neighbours.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let not_whole = || format!("is {}, not a whole number", cut(&value.to_string(), MAX_SHOWN));
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(seed), _, _) => Ok(Seed::Whole(seed)),
            (None, Some(_), _) => Ok(Seed::Negative),
            (None, None, Some(float)) if float.abs() >= EXACT => Err(
                "is above 9223372036854775807; inline numbers that large are rounded by the API server: put the \
                 workflow in a ConfigMap, where seeds up to 18446744073709551615 are exact"
                    .into(),
            ),
            (None, None, Some(float)) if float.fract() == 0.0 => {
                if float < 0.0 {
                    return Ok(Seed::Negative);
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole, ≥ 0 and below 2^53
                let seed = float as u64;
                Ok(Seed::Whole(seed))
            }
            _ => Err(not_whole()),
        },
        Value::String(text) => match (text.trim().parse::<u64>(), text.trim().parse::<i64>()) {
            (Ok(seed), _) => Ok(Seed::Whole(seed)),
            (Err(_), Ok(_)) => Ok(Seed::Negative),
            (Err(_), Err(_)) => Err(not_whole()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(not_whole()),
    }
}

/// Follows links to nodes that only hold a value (`PrimitiveInt` and its like).
fn literal<'a>(graph: &'a Graph, mut value: &'a Value) -> Literal<'a> {
    let mut at = "";
    for _ in 0..MAX_LINKS {
        let Some(id) = link(value) else { return Literal::Value(value) };
        at = id;
        let Some(node) = graph.get(id) else { break };
        let mut inputs = inputs_of(node);
        match (inputs.next(), inputs.next()) {
            // One that counts up by itself gives the link a new value for every image.
            (Some((name, _)), _) if is_seed(name) => break,
            (Some((name, held)), None) if name == "value" => value = held,
            _ => break,
        }
    }
    Literal::Of(at)
}

/// The node that an input comes from.
fn link(value: &Value) -> Option<&str> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(id), Value::Number(_)]) => Some(id),
        _ => None,
    }
}

/// What a worker must have loaded to run it. A single checkpoint is its own name, as textToImage names it; several files
/// are joined by `+`; nothing loaded is the empty name.
pub(crate) fn model(graph: &Graph) -> String {
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

/// Whether a model's name is that of one checkpoint, which a worker can load before it has work.
pub(crate) fn is_checkpoint(model: &str) -> bool {
    !model.is_empty() && !model.contains('+')
}

fn is_model(input: &str, value: &str, loads: bool) -> bool {
    let lower = value.to_ascii_lowercase();
    MODEL_FILES.iter().any(|ending| lower.ends_with(ending))
        || loads && input.ends_with("_name") && !MEDIA_FILES.iter().any(|ending| lower.ends_with(ending))
}

/// The digest of a graph as it is run: `sha256:` and hex, of its JSON with sorted keys.
pub(crate) fn digest(graph: &Graph) -> String {
    let canonical = canonical(&Value::Object(graph.clone()));
    format!("sha256:{}", hex(&hash(canonical.to_string().as_bytes())))
}

/// What tells one kind of work from another in how long it takes: the graph less its seeds, texts and pictures.
pub(crate) fn work(graph: &Graph) -> String {
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
    let lower = text.to_ascii_lowercase();
    let prose =
        text.len() > LONGEST_CHOICE && !is_model(&input, text, false) || text.contains(char::is_whitespace);
    !(prose
        || input.contains("text")
        || input.contains("prompt")
        || input == "filename_prefix"
        || MEDIA_FILES.iter().any(|ending| lower.ends_with(ending)))
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

fn class_of(node: &Value) -> &str {
    node["class_type"].as_str().unwrap_or_default()
}

fn inputs_of(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node["inputs"].as_object().into_iter().flatten()
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
