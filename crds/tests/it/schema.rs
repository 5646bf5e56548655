//! What holds for the schemas as a whole.

use serde_json::{Map, Value};

fn schemas() -> Vec<(String, Value)> {
    crds::crd::custom_resource_definitions()
        .unwrap()
        .iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .map(|crd| {
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
            (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
        })
        .collect()
}

/// Every schema below this one, with its path: fields, items, map values.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let schema = schema.as_object().unwrap();
    visit(path, schema);
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    for (part, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        if let Some(inner) = schema.get(part).filter(|inner| inner.is_object()) {
            walk(&format!("{path}{suffix}"), inner, visit);
        }
    }
}

fn walk_all(mut visit: impl FnMut(&str, &Map<String, Value>)) {
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut visit);
    }
}

#[test]
fn every_list_map_and_string_is_bounded() {
    let mut unbounded = vec![];
    walk_all(|path, schema| {
        let bounds: &[&str] = match schema.get("type").and_then(Value::as_str) {
            Some("array") => &["maxItems"],
            Some("string") => &["maxLength", "enum"],
            Some("object") if !schema.contains_key("properties") => &["maxProperties"],
            None if schema.contains_key("x-kubernetes-int-or-string") => &["maxLength"],
            _ => return,
        };
        // A date-time is as long as a date-time is.
        let time = schema.get("format").is_some_and(|format| format == "date-time");
        if !time && !bounds.iter().any(|bound| schema.contains_key(*bound)) {
            unbounded.push(path.to_owned());
        }
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

/// What is kept unseen is bounded by the number of its entries and the API server's limit on requests only.
#[test]
fn few_fields_are_kept_as_they_are() {
    let mut kept = vec![];
    walk_all(|path, schema| {
        if schema.contains_key("x-kubernetes-preserve-unknown-fields") {
            kept.push(path.to_owned());
        }
    });
    kept.sort();
    assert_eq!(
        kept,
        [
            "ImageJob.spec.work.recipe.inputs.*",
            "ImageJob.spec.work.workflow.graph",
            "ImageJob.spec.work.workflow.inputs.*",
            "ImageRecipe.spec.graph",
            "ImageRecipe.spec.inputs[].default",
            "WorkerPool.spec.models[].inputs.*",
            "WorkerPool.spec.podTemplate.spec",
        ]
    );
}

/// `kubectl explain` is the documentation people have at hand.
#[test]
fn every_field_is_explained() {
    let mut silent = vec![];
    walk_all(|path, schema| {
        let named = !path.ends_with("[]") && !path.ends_with(".*");
        if named && schema.get("description").and_then(Value::as_str).is_none_or(|text| !text.ends_with('.'))
        {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn numbers_of_the_spec_have_both_limits() {
    let mut open = vec![];
    walk_all(|path, schema| {
        let number = schema.get("type").is_some_and(|kind| kind == "integer" || kind == "number");
        let limited = schema.contains_key("minimum") && schema.contains_key("maximum");
        if path.contains(".spec.") && number && !limited && !path.ends_with("tolerationSeconds") {
            open.push(path.to_owned());
        }
    });
    assert_eq!(open, Vec::<String>::new());
}

/// kubectl apply keeps the whole object in an annotation, and etcd takes 1.5 MB.
#[test]
fn definitions_stay_small() {
    for crd in crds::crd::custom_resource_definitions().unwrap() {
        let size = serde_json::to_vec(&crd).unwrap().len();
        assert!(size < 200_000, "{:?} takes {size} bytes", crd.metadata.name);
    }
}
