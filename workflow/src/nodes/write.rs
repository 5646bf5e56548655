//! Back to JSON, in the shape that ComfyUI answers.

use serde_json::{Map, Value, json};

use super::{Class, Input, Kind, ObjectInfo};

pub(super) fn value(known: &ObjectInfo) -> Value {
    known.classes.iter().map(|(name, definition)| (name.to_string(), class(definition))).collect()
}

fn class(class: &Class) -> Value {
    let mut given = inputs(&class.inputs);
    if !class.hidden.is_empty() {
        let hidden: Vec<&str> = class.hidden.iter().map(|name| &**name).collect();
        given.insert("hidden".into(), json!(hidden));
    }
    let outputs: Vec<&str> = class.outputs.iter().map(|output| &*output.kind).collect();
    let names: Vec<&str> = class.outputs.iter().map(|output| &*output.name).collect();
    let mut all = Map::new();
    all.insert("input".into(), Value::Object(given));
    if names != outputs {
        all.insert("output_name".into(), json!(names));
    }
    all.insert("output".into(), json!(outputs));
    let flags = [("output_node", class.is_output()), ("api_node", class.is_api())];
    all.extend(flags.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name.to_owned(), json!(true))));
    if class.is_custom() {
        all.insert("python_module".into(), json!("custom_nodes"));
    }
    Value::Object(all)
}

fn inputs(inputs: &[Input]) -> Map<String, Value> {
    let mut groups = Map::new();
    for input in inputs {
        let group = if input.required { "required" } else { "optional" };
        groups.entry(group).or_insert_with(|| json!({}))[&*input.name] = definition(input);
    }
    groups
}

fn definition(input: &Input) -> Value {
    let mut options = Map::new();
    let kind = match &input.kind {
        Kind::Type(kind) => json!(&**kind),
        Kind::Choice(choices) => json!(&**choices),
        Kind::Dynamic(choices) => {
            let choices: Vec<Value> =
                choices.iter().map(|(key, brought)| json!({"key": key, "inputs": inputs(brought)})).collect();
            options.insert("options".into(), json!(choices));
            json!("COMFY_DYNAMICCOMBO_V3")
        }
        Kind::Grow { names, min, each } => {
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            let each = inputs(std::slice::from_ref(each));
            options.insert("template".into(), json!({"input": each, "names": names, "min": min}));
            json!("COMFY_AUTOGROW_V3")
        }
        Kind::Opaque => json!("COMFY_OPAQUE"),
    };
    let bounds = [("min", &input.min), ("max", &input.max)];
    options.extend(
        bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound.as_ref()?)))),
    );
    if input.upload {
        options.insert("file_upload".into(), json!(true));
    }
    if options.is_empty() { json!([kind]) } else { json!([kind, options]) }
}
