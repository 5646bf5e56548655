//! From JSON. A definition comes in several shapes: older nodes give choices as `[["a", "b"], {}]`, newer ones as
//! `["COMBO", {"options": ["a", "b"]}]`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value, value::RawValue};

use super::{Class, Flags, Input, Kind, NotObjectInfo, ObjectInfo, Output};

/// Choices of choices are read this deep.
const MAX_DEPTH: usize = 8;
/// What a list of choices counts as where it is linked.
const COMBO: &str = "COMBO";

/// Holds what stands several times once.
#[derive(Default)]
struct Pool {
    names: HashSet<Arc<str>>,
    lists: HashMap<String, Arc<[Value]>>,
}

impl Pool {
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(held) = self.names.get(name) {
            return held.clone();
        }
        let held: Arc<str> = name.into();
        self.names.insert(held.clone());
        held
    }

    fn list(&mut self, list: &[Value]) -> Arc<[Value]> {
        let key = serde_json::to_string(list).unwrap_or_default();
        self.lists.entry(key).or_insert_with(|| list.into()).clone()
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<ObjectInfo, NotObjectInfo> {
    let wrong = |error: serde_json::Error| NotObjectInfo(error.to_string());
    // One class at a time: all of them as values would take many times the memory of their text.
    let read: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).map_err(wrong)?;
    let mut pool = Pool::default();
    let mut classes = BTreeMap::new();
    for (name, definition) in read {
        let definition: Value = serde_json::from_str(definition.get()).map_err(wrong)?;
        let Some(definition) = definition.as_object() else {
            return Err(NotObjectInfo(format!("{} is not an object", crate::shown(&name))));
        };
        let class = class(definition, &mut pool);
        classes.insert(pool.name(&name), class);
    }
    Ok(ObjectInfo { classes })
}

fn class(definition: &Map<String, Value>, pool: &mut Pool) -> Class {
    let is = |name: &str| definition.get(name).is_some_and(|value| value == true);
    let given = definition.get("input").unwrap_or(&Value::Null);
    let hidden = match &given["hidden"] {
        Value::Object(hidden) => hidden.keys().map(|name| pool.name(name)).collect(),
        Value::Array(hidden) => hidden.iter().filter_map(Value::as_str).map(|name| pool.name(name)).collect(),
        _ => Vec::new(),
    };
    let module = definition.get("python_module").and_then(Value::as_str).unwrap_or_default();
    Class {
        inputs: inputs(given, pool, 0),
        hidden,
        outputs: outputs(definition, pool),
        flags: Flags {
            is_output: is("output_node"),
            is_custom: module.starts_with("custom_nodes"),
            is_api: is("api_node") || module.starts_with("comfy_api_nodes"),
        },
    }
}

fn outputs(definition: &Map<String, Value>, pool: &mut Pool) -> Vec<Output> {
    let names = definition.get("output_name").and_then(Value::as_array);
    let kinds = definition.get("output").and_then(Value::as_array);
    let kinds = kinds.into_iter().flatten().enumerate();
    kinds
        .map(|(index, kind)| {
            let kind = kind.as_str().unwrap_or(COMBO);
            let name = names.and_then(|names| names.get(index)).and_then(Value::as_str).unwrap_or(kind);
            Output { kind: pool.name(kind), name: pool.name(name) }
        })
        .collect()
}

/// The inputs under `required` and `optional`.
fn inputs(given: &Value, pool: &mut Pool, depth: usize) -> Vec<Input> {
    let mut all = Vec::new();
    for (group, required) in [("required", true), ("optional", false)] {
        for (name, definition) in given[group].as_object().into_iter().flatten() {
            all.push(input(name, required, definition, pool, depth));
        }
    }
    all.shrink_to_fit();
    all
}

fn input(name: &str, required: bool, definition: &Value, pool: &mut Pool, depth: usize) -> Input {
    const UPLOADS: [&str; 5] =
        ["image_upload", "video_upload", "audio_upload", "file_upload", "animated_image_upload"];
    let options = &definition[1];
    let number = |name: &str| options[name].as_number().cloned();
    let from_input = options["image_folder"].as_str().is_none_or(|folder| folder == "input");
    Input {
        name: pool.name(name),
        required,
        kind: kind(&definition[0], options, pool, depth),
        min: number("min"),
        max: number("max"),
        upload: from_input && UPLOADS.iter().any(|upload| options[*upload] == true),
    }
}

fn kind(kind: &Value, options: &Value, pool: &mut Pool, depth: usize) -> Kind {
    // Several may be chosen, or they come from elsewhere: not a list to look up one value in.
    let is_open = ["multiselect", "remote", "remote_combo"]
        .iter()
        .any(|name| options.get(name).is_some_and(|value| !value.is_null() && value != false));
    match kind {
        Value::Array(_) if is_open => Kind::Choice(pool.list(&[])),
        Value::Array(choices) => Kind::Choice(pool.list(choices)),
        Value::String(name) => match name.as_str() {
            COMBO if is_open => Kind::Choice(pool.list(&[])),
            COMBO => Kind::Choice(pool.list(options["options"].as_array().map_or(&[], Vec::as_slice))),
            "COMFY_DYNAMICCOMBO_V3" if depth < MAX_DEPTH => dynamic(options, pool, depth),
            "COMFY_AUTOGROW_V3" if depth < MAX_DEPTH => grow(&options["template"], pool, depth),
            "COMFY_MATCHTYPE_V3" => Kind::Type(pool.name("*")),
            other if other.starts_with("COMFY_") => Kind::Opaque,
            other => Kind::Type(pool.name(other)),
        },
        _ => Kind::Opaque,
    }
}

fn dynamic(options: &Value, pool: &mut Pool, depth: usize) -> Kind {
    let choices = options["options"].as_array().into_iter().flatten();
    Kind::Dynamic(
        choices.map(|choice| (choice["key"].clone(), inputs(&choice["inputs"], pool, depth + 1))).collect(),
    )
}

fn grow(template: &Value, pool: &mut Pool, depth: usize) -> Kind {
    /// No node of the engine's own takes more.
    const MOST: u64 = 100;
    let Some(each) = inputs(&template["input"], pool, depth + 1).into_iter().next() else {
        return Kind::Opaque;
    };
    let names = match (&template["names"], &template["prefix"], template["max"].as_u64()) {
        (Value::Array(names), _, _) => {
            names.iter().filter_map(Value::as_str).map(|name| pool.name(name)).collect()
        }
        (_, Value::String(prefix), Some(max)) => {
            (0..max.min(MOST)).map(|n| pool.name(&format!("{prefix}{n}"))).collect()
        }
        _ => return Kind::Opaque,
    };
    let min = template["min"].as_u64().and_then(|min| usize::try_from(min).ok()).unwrap_or(0);
    Kind::Grow { names, min, each: Box::new(each) }
}
