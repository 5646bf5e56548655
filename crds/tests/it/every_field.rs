//! Every field of a spec through values at its limits, past them, and of another type, made from the schema itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    objects::{
        config_map_job, config_map_recipe, full_job, full_pool, graph_job, image_job, recipe, recipe_job,
        tenant, with,
    },
    server::Server,
};

/// A value for a field, and whether the API server should take it.
struct Trial {
    value: Value,
    valid: bool,
}

fn valid(value: impl Into<Value>) -> Trial {
    Trial { value: value.into(), valid: true }
}

fn invalid(value: impl Into<Value>) -> Trial {
    Trial { value: value.into(), valid: false }
}

/// Values of these are right only together with others; the tables of admission.rs have them.
const TOGETHER: [&str; 7] = [
    "/spec/work/type",
    "/spec/inputs/0/type",
    "/spec/inputs/1/type",
    "/spec/allowedNamespaces/from",
    "/spec/classes/0/default",
    "/spec/fleets/0/type",
    "/spec/fleets/1/type",
];

fn trials(pointer: &str, schema: &Map<String, Value>) -> Vec<Trial> {
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    let size = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let fraction = schema.get("type").is_some_and(|kind| kind == "number");
    let number = |n: f64| if fraction { json!(n) } else { json!(format!("{n:.0}").parse::<i64>().unwrap()) };
    let mut trials = vec![];
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => {
            trials.push(invalid("1"));
            trials.extend((!fraction).then(|| invalid(1.5)));
            for (limit, outward) in [(limit("minimum"), -1.0), (limit("maximum"), 1.0)] {
                trials
                    .extend(limit.into_iter().flat_map(|n| [valid(number(n)), invalid(number(n + outward))]));
            }
        }
        Some("boolean") => trials.extend([valid(true), valid(false), invalid("true"), invalid(1)]),
        Some("string") if schema.contains_key("enum") => {
            let choices = schema["enum"].as_array().unwrap();
            trials.extend(choices.iter().cloned().map(valid));
            trials.extend([invalid("nonsense"), invalid(""), invalid(1)]);
        }
        Some("string") => {
            trials.push(invalid(1));
            trials.extend(size("maxLength").map(|n| invalid("a".repeat(n + 1))));
            trials.extend(size("minLength").filter(|n| *n > 0).map(|n| invalid("a".repeat(n - 1))));
        }
        Some("array") => {
            trials.extend([invalid("a"), invalid(json!({"a": 1}))]);
            trials.extend(size("maxItems").map(|n| invalid(vec![Value::Null; n + 1])));
        }
        Some("object") => {
            trials.extend([invalid("a"), invalid(json!(["a"]))]);
            let many = |n: usize| (0..=n).map(|i| (format!("k{i}"), json!("v"))).collect::<Value>();
            trials.extend(size("maxProperties").map(|n| invalid(many(n))));
        }
        _ => {}
    }
    trials.retain(|trial| !trial.valid || !TOGETHER.contains(&pointer));
    trials
}

/// Every field of the spec that the object has, as a JSON pointer with its schema; the lists' first items stand for all.
fn fields<'a>(
    pointer: &str,
    schema: &'a Value,
    value: &Value,
    found: &mut Vec<(String, &'a Map<String, Value>)>,
) {
    found.push((pointer.to_owned(), schema.as_object().unwrap()));
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        _ => vec![],
    };
    for (name, value) in entries {
        let inner = schema["properties"].get(&name);
        let inner = inner.or_else(|| schema.get("items")).or_else(|| schema.get("additionalProperties"));
        if let Some(inner) = inner {
            fields(&format!("{pointer}/{}", name.replace('/', "~1")), inner, value, found);
        }
    }
}

fn spec_schema(kind: &str) -> Value {
    let definitions = crds::crd::custom_resource_definitions().unwrap();
    let definition = definitions.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = serde_json::to_value(definition.spec.versions[0].schema.as_ref().unwrap()).unwrap();
    schema["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// All named fields below a schema, by their path.
fn named<'a>(path: &str, schema: &'a Value, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        named(&path, field, found);
        found.push((path, field.as_object().unwrap()));
    }
    for inner in [schema.get("items"), schema.get("additionalProperties")].into_iter().flatten() {
        named(path, inner, found);
    }
}

async fn try_all(objects: &[Value]) {
    let server = Server::get().await;
    let schema = spec_schema(objects[0]["kind"].as_str().unwrap());
    let (mut wrong, mut tried, mut met) = (vec![], 0, BTreeSet::new());
    for object in objects {
        server.admit(object).await.unwrap();
        let mut found = vec![];
        fields("/spec", &schema, &object["spec"], &mut found);
        for (pointer, schema) in found {
            met.insert(std::ptr::from_ref(schema));
            for Trial { value, valid } in trials(&pointer, schema) {
                tried += 1;
                let answer = server.admit(&with(object.clone(), &pointer, &value)).await;
                let shown: String = value.to_string().chars().take(80).collect();
                match answer {
                    Ok(_) if !valid => wrong.push(format!("{pointer}: {shown} was let pass")),
                    Err(refusal) if valid => wrong.push(format!("{pointer}: {shown} was refused: {refusal}")),
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} trials:\n{}", wrong.len(), wrong.join("\n"));
    let mut all = vec![];
    named("spec", &schema, &mut all);
    all.retain(|(_, field)| !met.contains(&std::ptr::from_ref(*field)));
    let missed: Vec<_> = all.into_iter().map(|(path, _)| path).collect();
    assert!(missed.is_empty(), "objects.rs has no object with {missed:?}");
}

#[tokio::test]
async fn every_field_of_a_job_keeps_its_limits() {
    try_all(&[full_job(), image_job(), graph_job(), config_map_job(), recipe_job()]).await;
}

#[tokio::test]
async fn every_field_of_a_recipe_keeps_its_limits() {
    try_all(&[recipe(), config_map_recipe()]).await;
}

#[tokio::test]
async fn every_field_of_a_tenant_keeps_its_limits() {
    try_all(&[tenant()]).await;
}

#[tokio::test]
async fn every_field_of_a_pool_keeps_its_limits() {
    try_all(&[full_pool()]).await;
}
