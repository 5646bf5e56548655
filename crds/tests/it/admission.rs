//! Every rule of the API, on a real API server: an object it lets pass, and one it refuses, by the words of its
//! refusal.

use serde_json::{Value, json};

use crate::{
    objects::{
        config_map_job, config_map_recipe, full_job, full_pool, graph_job, image_job, job, pool, recipe,
        recipe_job, tenant, with,
    },
    server::Server,
};

struct Case {
    base: fn() -> Value,
    /// A JSON pointer to the field.
    field: &'static str,
    good: Value,
    bad: Value,
    /// What the refusal says.
    says: &'static str,
}

fn case(
    base: fn() -> Value,
    field: &'static str,
    good: impl Into<Value>,
    bad: impl Into<Value>,
    says: &'static str,
) -> Case {
    Case { base, field, good: good.into(), bad: bad.into(), says }
}

const LABEL: &str = "use small letters, digits and '-', with a letter or digit at both ends";
const TENANT: &str = "use letters, digits, '-', '_' and '.', with a letter or digit at both ends";
const URL: &str = "give an http or https URL without query or fragment, e.g. https://cdn.example.com";
const PRICE: &str = "give a price of 0 or more as a quoted decimal with at most six places, e.g. \"0.90\"";
const QUANTITIES: &str = "give quantities of 0 or more, e.g. 1, 500m or 4Gi";
const ONE_OF_EACH: &str =
    "spec.fleets: Invalid value: for now a pool has one fleet of type Spot and one of type OnDemand";
const ORDER: &str = "spec.classes: Invalid value: for now a pool has one fleet of type Spot and one of type OnDemand; a class of both names the one of type Spot first";
const SPEED: &str =
    "give a speed above 0 with at most three places; one with a fraction in quotes, e.g. \"1.5\"";
const HOSTS: &str = "give host names in small letters without port, e.g. images.example.com or *.example.com";
const PREFIXES: &str = "use letters, digits, '-', '_', '.', {namespace} and {tenant}, and end in a slash, e.g. uploads/{tenant}/";
const WORK: &str = "spec.work: Invalid value: give the field that type names and no other: textToImage, imageToImage, workflow or recipe";
const SOURCE: &str = "from: Invalid value: give exactly one of url, s3, configMapKey or job";
const SEED: &str = "give a seed from 0 to 18446744073709551615; above 9223372036854775807 in quotes, or the API server rounds it";
const OWN_KEYS: &str = "keys under imagejob.dev/ are the operator's own";

#[rustfmt::skip]
fn jobs() -> Vec<Case> {
    let graph = graph_job()["spec"]["work"]["workflow"].clone();
    let text = job()["spec"]["work"]["textToImage"].clone();
    vec![
        case(job, "/metadata/name", "a".repeat(63), "a".repeat(64), "a job's name has at most 63 characters"),
        case(job, "/spec/work", json!({"type": "TextToImage", "textToImage": text}), Value::Null, "spec.work: Required value"),
        case(job, "/spec/work", json!({"type": "Workflow", "workflow": graph}), json!({"type": "TextToImage", "textToImage": text, "workflow": graph}), WORK),
        case(job, "/spec/work/type", "TextToImage", "ImageToImage", WORK),
        case(job, "/spec/work/type", "TextToImage", "TextToVideo", "spec.work.type: Unsupported value: \"TextToVideo\""),
        case(recipe_job, "/spec/work/recipe/name", "portrait-2", "Portrait", LABEL),
        case(image_job, "/spec/work/imageToImage/image", "a-photo", "a photo", LABEL),
        case(image_job, "/spec/work/imageToImage/mask", "m", "M", LABEL),
        case(image_job, "/spec/work/imageToImage/strength", "1", "1.001", "give a number from 0 to 1 with at most three places; one with a fraction in quotes, e.g. \"0.5\""),
        case(image_job, "/spec/work/imageToImage/cfgScale", 7, "7.5555", "give a number from 0 to 100"),
        case(image_job, "/spec/work/imageToImage/seed", "18446744073709551615", "18446744073709551616", SEED),
        case(full_job, "/spec/work/textToImage/loras/0/weight", "-2", "-2.5", "give a number from -2 to 2 with at most three places"),
        case(full_job, "/spec/work/textToImage/controlNets/0/strength", 10, "11", "give a number from 0 to 10 with at most three places"),
        case(full_job, "/spec/work/textToImage/controlNets/0/image", "edges", "Edges", LABEL),
        case(full_job, "/spec/inputs/0/name", "photo", "a photo", LABEL),
        case(full_job, "/spec/inputs/0/from", json!({"s3": {"key": "a"}}), json!({}), SOURCE),
        case(full_job, "/spec/inputs/0/from", json!({"job": {"name": "a"}}), json!({"s3": {"key": "a"}, "job": {"name": "a"}}), SOURCE),
        case(full_job, "/spec/inputs/0/from/url", "https://a.example.com/b", "http://a.example.com/b", "give an https URL, e.g. https://pictures.example.com/cat.png"),
        case(full_job, "/spec/inputs/0/sha256", "a".repeat(64), "A".repeat(64), "give the SHA-256 as 64 hexadecimal digits in small letters"),
        case(full_job, "/spec/inputs/1/name", "other", "edges", "spec.inputs[1]: Duplicate value"),
        case(graph_job, "/spec/work/workflow/configMapRef", Value::Null, json!({"name": "a"}), "spec.work.workflow: Invalid value: give either graph or configMapRef, not both"),
        case(config_map_job, "/spec/work/workflow/configMapRef", json!({"name": "a"}), Value::Null, "spec.work.workflow: Invalid value: give one of graph or configMapRef"),
        case(config_map_job, "/spec/work/workflow/configMapRef/name", "por.trait-1", "Portrait", "use small letters, digits, '-' and '.', with a letter or digit at both ends"),
        case(config_map_job, "/spec/work/workflow/configMapRef/key", "Flow_1.json", "a/b", "use letters, digits, '-', '_' and '.', as ConfigMap keys do"),
        case(graph_job, "/spec/work/workflow/graph", json!({"1": {"class_type": "A"}}), json!({}), "spec.work.workflow.graph in body should have at least 1 properties"),
        case(graph_job, "/spec/work/workflow/graph", nodes(500), nodes(501), "spec.work.workflow.graph: Too many: 501: must have at most 500 items"),
        case(full_job, "/spec/poolRef/name", "sd-15", "SD15", LABEL),
        case(full_job, "/spec/poolRef/namespace", "studio", "-studio", LABEL),
        case(full_job, "/spec/class", "relaxed", "Relaxed!", LABEL),
        case(full_job, "/spec/tenant", "Acme.eu_1", "{acme}", TENANT),
        case(full_job, "/spec/count", 10_000, 0, "spec.count in body should be greater than or equal to 1"),
        case(full_job, "/spec/work/textToImage/width", 104, 100, "spec.work.textToImage.width in body should be a multiple of 8"),
        case(full_job, "/spec/work/textToImage/height", 4096, 4104, "spec.work.textToImage.height in body should be less than or equal to 4096"),
        case(full_job, "/spec/work/textToImage/seed", i64::MAX, -1, SEED),
        case(full_job, "/spec/work/textToImage/seed", "9223372036854775808", "1e3", SEED),
        case(full_job, "/spec/work/textToImage/steps", 150, 12.5, "spec.work.textToImage.steps in body must be of type integer"),
        case(full_job, "/spec/work/textToImage/cfgScale", 0, "100.5", "give a number from 0 to 100 with at most three places"),
        case(full_job, "/spec/work/textToImage/cfgScale", "7.5", "seven", "give a number from 0 to 100 with at most three places"),
    ]
}

#[rustfmt::skip]
fn recipes() -> Vec<Case> {
    let graph = recipe()["spec"]["graph"].clone();
    let choices = |kind: &str, choices: Value| json!([{"name": "a", "type": kind, "to": ["3.a"], "choices": choices}]);
    vec![
        case(recipe, "/metadata/name", "a".repeat(63), "a".repeat(64), "a recipe's name has at most 63 characters"),
        case(config_map_recipe, "/spec/graph", Value::Null, graph, "spec: Invalid value: give either graph or configMapRef, not both"),
        case(config_map_recipe, "/spec/configMapRef/name", "por.trait-1", "Portrait", "use small letters, digits, '-' and '.', with a letter or digit at both ends"),
        case(config_map_recipe, "/spec/configMapRef/key", "Flow_1.json", "a/b", "use letters, digits, '-', '_' and '.', as ConfigMap keys do"),
        case(recipe, "/spec/inputs/0/name", "steps_2", "a-b", "use letters, digits and '_', beginning with a letter"),
        case(recipe, "/spec/inputs/0/minimum", "-0.125", "a", "give a number with at most three places; one with a fraction in quotes, e.g. \"0.5\""),
        case(recipe, "/spec/inputs/0/maximum", 7, "7.1234", "give a number with at most three places"),
        case(recipe, "/spec/inputs", choices("Enum", json!(["a"])), choices("Enum", Value::Null), "type: Enum needs choices"),
        case(recipe, "/spec/inputs", choices("Enum", json!(["a"])), choices("String", json!(["a"])), "choices need type: Enum"),
        case(recipe, "/spec/inputs/0/type", "Number", "Float", "Unsupported value: \"Float\""),
    ]
}

#[rustfmt::skip]
fn pools() -> Vec<Case> {
    let classes = |names: &[(&str, &[&str], bool)]| -> Value {
        names.iter().map(|(name, fleets, default)| json!({"name": name, "slaSeconds": 60, "fleets": fleets, "default": default})).collect()
    };
    let fleets = |types: &[(&str, &str)]| -> Value {
        types.iter().map(|(name, kind)| json!({"name": name, "type": kind, "max": 1, "pricePerHour": "1"})).collect()
    };
    let both = fleets(&[("spot", "Spot"), ("on-demand", "OnDemand")]);
    let selector = json!({"matchLabels": {"images": "yes"}});
    vec![
        case(pool, "/metadata/name", "sd15-xl", "sd15.xl", "a pool's name has at most 40 small letters, digits and '-', and begins with a letter"),
        case(pool, "/metadata/name", "a".repeat(40), "a".repeat(41), "a pool's name has at most 40 small letters"),
        case(pool, "/spec/fleets", fleets(&[("spot", "Spot")]), json!([]), "spec.fleets in body should have at least 1 items"),
        case(pool, "/spec/fleets", both.clone(), fleets(&[("spot", "Spot"), ("spot", "OnDemand")]), "spec.fleets[1]: Duplicate value"),
        case(pool, "/spec/fleets", both.clone(), fleets(&[("spot", "Spot"), ("more", "Spot")]), ONE_OF_EACH),
        case(pool, "/spec/fleets", both.clone(), fleets(&[("spot", "OnDemand"), ("more", "OnDemand")]), ONE_OF_EACH),
        case(pool, "/spec/fleets", both, fleets(&[("spot", "Spot"), ("more", "Reserved")]), ONE_OF_EACH),
        case(pool, "/spec/fleets/0/type", "OnDemand", "Preemptible", "Unsupported value: \"Preemptible\": supported values: \"Spot\", \"OnDemand\", \"Reserved\""),
        case(full_pool, "/spec/fleets/0/name", "spot", "Spot", LABEL),
        case(pool, "/spec/fleets/0/min", 20, 21, "spec.fleets[0].max: Invalid value: max must be at least min"),
        case(full_pool, "/spec/fleets/1/max", 0, -1, "spec.fleets[1].max in body should be greater than or equal to 0"),
        case(full_pool, "/spec/fleets/1/min", 10_000, 10_001, "spec.fleets[1].min in body should be less than or equal to 10000"),
        case(full_pool, "/spec/fleets/0/pricePerHour", "0.000125", "-0.90", PRICE),
        case(full_pool, "/spec/fleets/1/pricePerHour", "0", "3,06", PRICE),
        case(full_pool, "/spec/fleets/0/pricePerHour", "12", 0.9, "pricePerHour in body must be of type string"),
        case(full_pool, "/spec/fleets/0/zones/0/pricePerHour", "0.70", "0.7000001", PRICE),
        case(full_pool, "/spec/fleets/0/zones", json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "a"}, {"name": "a"}]), "spec.fleets[0].zones[1]: Duplicate value"),
        case(full_pool, "/spec/fleets/0/speed", "0.125", "0", SPEED),
        case(full_pool, "/spec/fleets/0/speed", 2, "1.5x", SPEED),
        case(full_pool, "/spec/currency", "EUR", "eur", "give a currency by its three capital letters, e.g. USD"),
        case(pool, "/spec/classes", classes(&[("a", &["spot"], false)]), classes(&[("a", &["on-demand"], false)]), "spec.classes: Invalid value: a class names a fleet that the pool does not have; give names of spec.fleets"),
        case(full_pool, "/spec/classes", classes(&[("a", &["spot", "on-demand"], true)]), classes(&[("a", &["on-demand", "spot"], true)]), ORDER),
        case(full_pool, "/spec/classes", classes(&[("a", &["on-demand"], true)]), classes(&[("a", &["on-demand", "on-demand"], true)]), "spec.classes[0].fleets[1]: Duplicate value"),
        case(full_pool, "/spec/classes", classes(&[("a", &["on-demand"], true)]), classes(&[("a", &[], true)]), "spec.classes[0].fleets in body should have at least 1 items"),
        case(pool, "/spec/classes", classes(&[("a", &["spot"], true), ("b", &["spot"], false)]), classes(&[("a", &["spot"], true), ("b", &["spot"], true)]), "spec.classes: Invalid value: at most one class can have default: true"),
        case(pool, "/spec/classes", classes(&[("a", &["spot"], false), ("b", &["spot"], false)]), classes(&[("a", &["spot"], false), ("a", &["spot"], false)]), "spec.classes[1]: Duplicate value"),
        case(pool, "/spec/classes", classes(&[("a", &["spot"], false)]), json!([]), "spec.classes in body should have at least 1 items"),
        case(full_pool, "/spec/limits/maxPixels", 4096, 4095, "spec.limits.maxPixels in body should be greater than or equal to 4096"),
        case(full_pool, "/spec/limits/models", json!(["*"]), json!([""]), "spec.limits.models[0] in body should be at least 1 chars long"),
        case(full_pool, "/spec/inputs/hosts", json!(["a.example.com", "*.example.com"]), json!(["https://example.com"]), HOSTS),
        case(full_pool, "/spec/inputs/hosts", json!(["a"]), json!(["a.*.com"]), HOSTS),
        case(full_pool, "/spec/inputs/objectPrefixes", json!(["uploads/{tenant}/a_{namespace}/"]), json!(["uploads/{user}/"]), PREFIXES),
        case(full_pool, "/spec/inputs/objectPrefixes", json!(["a/"]), json!(["a"]), PREFIXES),
        case(full_pool, "/spec/inputs/maxBytes", 100_663_296, 100_663_297, "spec.inputs.maxBytes in body should be less than or equal to 100663296"),
        case(full_pool, "/spec/models/0/family", "QwenImage", "SD14", "Unsupported value: \"SD14\""),
        case(full_pool, "/spec/models/1/name", "other", "flux1-dev.safetensors", "spec.models[1]: Duplicate value"),
        case(full_pool, "/spec/defaultTTLSecondsAfterFinished", 0, -1, "spec.defaultTTLSecondsAfterFinished in body should be greater than or equal to 0"),
        case(full_pool, "/spec/classes/0/name", "now", "Now", LABEL),
        case(full_pool, "/spec/fairness/tenants/0/name", "acme.eu", "acme eu", TENANT),
        case(full_pool, "/spec/fairness/tenants", json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "a"}, {"name": "a"}]), "spec.fairness.tenants[1]: Duplicate value"),
        case(pool, "/spec/allowedNamespaces", json!({"from": "Selector", "selector": selector}), json!({"from": "Selector"}), "spec.allowedNamespaces: Invalid value: from: Selector needs a selector"),
        case(pool, "/spec/allowedNamespaces", json!({"from": "All"}), json!({"selector": selector}), "spec.allowedNamespaces: Invalid value: selector needs from: Selector"),
        case(full_pool, "/spec/output/bucket", "my.images-1", "My_Images", "a bucket's name has small letters, digits, '-' and '.', with a letter or digit at both ends"),
        case(full_pool, "/spec/output/endpoint", "http://127.0.0.1:9000", "127.0.0.1:9000", URL),
        case(full_pool, "/spec/output/publicURL", "https://cdn.example.com/a", "https://cdn.example.com/a?b=c", URL),
        case(full_pool, "/spec/output/keyPrefix", "a/b_c/", "/a/", "use letters, digits, '-', '_' and '.', and end in a slash, e.g. generated/"),
        case(full_pool, "/spec/output/keyPrefix", "", "a", "spec.output.keyPrefix: Invalid value: \"a\": use letters"),
        case(full_pool, "/spec/output/credentialsSecretRef/name", "s3.keys", "s3_keys", "use small letters, digits, '-' and '.', with a letter or digit at both ends"),
        case(full_pool, "/spec/engine/resources/limits", json!({"nvidia.com/gpu": 2, "memory": "16Gi"}), json!({"memory": "16 GB"}), QUANTITIES),
        case(full_pool, "/spec/engine/resources/requests", json!({"cpu": "0.5"}), json!({"cpu": -1}), QUANTITIES),
        case(full_pool, "/spec/worker/resources/limits", json!({}), json!({"cpu": "-1"}), QUANTITIES),
        case(full_pool, "/spec/worker/resources/requests", json!({"cpu": 1}), json!({"cpu": ""}), QUANTITIES),
        case(full_pool, "/spec/podTemplate/metadata/labels", json!({"team": "a"}), json!({"imagejob.dev/pool": "a"}), OWN_KEYS),
        case(full_pool, "/spec/podTemplate/metadata/annotations", json!({"a": "b"}), json!({"imagejob.dev/x": "a"}), OWN_KEYS),
        case(full_pool, "/spec/engine/env", json!([{"name": "A"}]), json!([{"name": "A"}, {"name": "A"}]), "spec.engine.env[1]: Duplicate value"),
        case(full_pool, "/spec/worker/env/0/valueFrom", json!({"fieldRef": {"fieldPath": "status.podIP"}}), json!({}), "spec.worker.env[0].valueFrom in body should have at least 1 properties"),
        case(full_pool, "/spec/engine/kind", "ComfyUI", "Automatic1111", "Unsupported value: \"Automatic1111\": supported values: \"ComfyUI\""),
    ]
}

#[rustfmt::skip]
fn tenants() -> Vec<Case> {
    let queue = json!({"queueURL": "https://sqs.eu-central-1.amazonaws.com/123456789012/done"});
    let topic = json!({"topicArn": "arn:aws:sns:eu-central-1:123456789012:done"});
    vec![
        case(tenant, "/metadata/name", "a".repeat(63), "a".repeat(64), "a tenant's name has at most 63 characters"),
        case(tenant, "/spec/namespace", "studio-1", "Studio", LABEL),
        case(tenant, "/spec/pools/0/name", "flux", "Flux", LABEL),
        case(tenant, "/spec/modelAliases", json!([{"name": "a", "model": "m"}]), json!([{"name": "a", "model": "m"}, {"name": "a", "model": "n"}]), "spec.modelAliases[1]: Duplicate value"),
        case(tenant, "/spec/webhooks/0/url", "http://a/b", "ftp://a/b", "give an http or https URL, e.g. https://shop.example.com/hooks/images"),
        case(tenant, "/spec/webhooks/0", json!({"name": "a", "sqs": queue}), json!({"name": "a", "sqs": queue, "sns": topic}), "spec.webhooks[0]: Invalid value: give exactly one of url, sqs or sns"),
        case(tenant, "/spec/webhooks/0", json!({"name": "a", "sns": topic}), json!({"name": "a"}), "give exactly one of url, sqs or sns"),
        case(tenant, "/spec/webhooks/0/events", json!(["refused", "late"]), json!(["born"]), "Unsupported value: \"born\""),
        case(tenant, "/spec/webhooks/2/sns/topicArn", "arn:aws-cn:sns:cn-north-1:123456789012:a_b.fifo", "done", "give the topic's ARN, e.g. arn:aws:sns:eu-central-1:123456789012:images"),
        case(tenant, "/spec/webhooks/2/sns/endpoint", "http://127.0.0.1:4566", "127.0.0.1:4566", URL),
        case(tenant, "/spec/intakes/0/name", "orders-2", "Orders", LABEL),
        case(tenant, "/spec/intakes", json!([{"name": "a", "sqs": queue}]), json!([{"name": "a", "sqs": queue}, {"name": "a", "sqs": queue}]), "spec.intakes[1]: Duplicate value"),
        case(tenant, "/spec/intakes/0/sqs/queueURL", "http://127.0.0.1:9324/000000000000/a_b.fifo", "orders", "give the queue's URL, e.g. https://sqs.eu-central-1.amazonaws.com/123456789012/images"),
        case(tenant, "/spec/intakes/0/sqs/queueURL", "https://a/b", "https://a/b?c=d", "give the queue's URL"),
        case(tenant, "/spec/intakes/0/sqs/region", "us-gov-west-1", "US East", LABEL),
        case(tenant, "/spec/intakes/0/sqs/credentialsSecretRef/name", "aws.keys", "aws_keys", "use small letters, digits, '-' and '.', with a letter or digit at both ends"),
        case(tenant, "/spec/limits/amountPerDay", "0.000001", "-1", "give a price of 0 or more as a quoted decimal"),
        case(tenant, "/spec/limits/imagesPerDay", 1, 0, "spec.limits.imagesPerDay in body should be greater than or equal to 1"),
    ]
}

fn nodes(n: usize) -> Value {
    (0..n).map(|id| (id.to_string(), json!({"class_type": "A"}))).collect()
}

/// The refusals a table met with.
async fn run(server: &Server, cases: Vec<Case>) -> Vec<String> {
    let mut wrong = vec![];
    let mut refusals = vec![];
    for Case { base, field, good, bad, says } in cases {
        if let Err(refusal) = server.admit(&with(base(), field, &good)).await {
            wrong.push(format!("{field}: {good} was refused: {refusal}"));
        }
        match server.admit(&with(base(), field, &bad)).await {
            Ok(_) => wrong.push(format!("{field}: {bad} was let pass")),
            Err(refusal) if refusal.contains(says) => refusals.push(refusal),
            Err(refusal) => wrong.push(format!("{field}: {bad}: expected {says:?} in: {refusal}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    refusals
}

/// The message of every CEL rule of a kind that can be met at creation.
fn messages(kind: &str) -> Vec<String> {
    fn collect(schema: &Value, messages: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for rule in
                    fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
                {
                    let at_creation = !rule["rule"].as_str().unwrap().contains("oldSelf");
                    messages.extend(rule["message"].as_str().filter(|_| at_creation).map(str::to_owned));
                }
                fields.values().for_each(|inner| collect(inner, messages));
            }
            Value::Array(items) => items.iter().for_each(|inner| collect(inner, messages)),
            _ => {}
        }
    }
    let definitions = crds::crd::custom_resource_definitions().unwrap();
    let definition = definitions.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let mut messages = vec![];
    collect(&serde_json::to_value(definition).unwrap(), &mut messages);
    messages
}

#[tokio::test]
async fn jobs_are_checked_at_admission() {
    let refusals = run(&Server::get().await, jobs()).await;
    for message in messages("ImageJob") {
        assert!(refusals.iter().any(|refusal| refusal.contains(&message)), "no case for: {message}");
    }
}

#[tokio::test]
async fn recipes_are_checked_at_admission() {
    let refusals = run(&Server::get().await, recipes()).await;
    for message in messages("ImageRecipe") {
        assert!(refusals.iter().any(|refusal| refusal.contains(&message)), "no case for: {message}");
    }
}

#[tokio::test]
async fn tenants_are_checked_at_admission() {
    let refusals = run(&Server::get().await, tenants()).await;
    for message in messages("ImageTenant") {
        assert!(refusals.iter().any(|refusal| refusal.contains(&message)), "no case for: {message}");
    }
}

#[tokio::test]
async fn pools_are_checked_at_admission() {
    let refusals = run(&Server::get().await, pools()).await;
    for message in messages("WorkerPool") {
        assert!(refusals.iter().any(|refusal| refusal.contains(&message)), "no case for: {message}");
    }
}

#[tokio::test]
async fn a_job_is_fixed_but_for_suspend_cancel_and_ttl() {
    let server = Server::get().await;
    let named = |job: Value, name: &str| with(job, "/metadata/name", &json!(name));
    let text = server.create(&named(full_job(), "fixed-text")).await;
    let graph = server.create(&named(graph_job(), "fixed-graph")).await;
    let bare = server.create(&named(job(), "fixed-bare")).await;

    let refused = |field: &str| {
        format!(
            "spec.{field}: Forbidden: {field} cannot be changed; create a new job (suspend, cancel and ttlSecondsAfterFinished can)"
        )
    };
    for (job, pointer, value, says) in [
        (&text, "/spec/poolRef/name", json!("other"), refused("poolRef")),
        (&text, "/spec/poolRef", Value::Null, refused("poolRef")),
        (&bare, "/spec/poolRef", json!({"name": "sd15"}), refused("poolRef")),
        (&text, "/spec/tenant", json!("other"), refused("tenant")),
        (&text, "/spec/class", Value::Null, refused("class")),
        (&text, "/spec/work/textToImage/prompt", json!("a boat"), refused("work")),
        (&text, "/spec/work/textToImage/cfgScale", json!("7"), refused("work")),
        (&bare, "/spec/work/textToImage/seed", json!(1), refused("work")),
        (&graph, "/spec/work/workflow/graph/3/inputs/seed", json!(6), refused("work")),
        (&graph, "/spec/work/workflow/graph/3/inputs/note", json!("x"), refused("work")),
        (&graph, "/spec/work/workflow/graph/9/class_type", json!("PreviewImage"), refused("work")),
        (&graph, "/spec/work/workflow/inputs/3.seed", json!(8), refused("work")),
        (&text, "/spec/work/type", json!("Recipe"), refused("work")),
        (&text, "/spec/inputs/0/name", json!("other"), refused("inputs")),
        (&bare, "/spec/inputs", json!([{"name": "a", "from": {"s3": {"key": "a"}}}]), refused("inputs")),
        (&text, "/spec/output/quality", json!(70), refused("output")),
        (&text, "/spec/sameSeed", json!(false), refused("sameSeed")),
        (&text, "/spec/dueWithinSeconds", json!(7200), refused("dueWithinSeconds")),
        (&text, "/spec/count", json!(5), refused("count")),
        (&text, "/spec/timeoutSeconds", json!(5), refused("timeoutSeconds")),
        (&text, "/spec/retries", json!(5), refused("retries")),
        (&text, "/spec/maxFailedImages", json!(5), refused("maxFailedImages")),
        (&bare, "/spec/maxFailedImages", json!(5), refused("maxFailedImages")),
    ] {
        let refusal = server.admit_change(&with(job.clone(), pointer, &value)).await.expect_err(pointer);
        assert!(refusal.contains(&says), "{pointer}: {refusal}");
    }
    for (job, pointer, value) in [
        (&text, "/spec/suspend", json!(true)),
        (&text, "/spec/cancel", json!(true)),
        (&text, "/spec/ttlSecondsAfterFinished", json!(5)),
        (&text, "/spec/ttlSecondsAfterFinished", Value::Null),
        (&graph, "/spec/suspend", json!(true)),
    ] {
        server.admit_change(&with(job.clone(), pointer, &value)).await.expect(pointer);
    }
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled() {
    let server = Server::get().await;
    let cancelled = with(with(job(), "/metadata/name", &json!("cancelled")), "/spec/cancel", &json!(true));
    let cancelled = server.create(&cancelled).await;
    let refusal = server.admit_change(&with(cancelled, "/spec/cancel", &json!(false))).await.unwrap_err();
    assert!(
        refusal
            .contains("spec.cancel: Invalid value: false: a cancelled job stays cancelled; create a new one"),
        "{refusal}"
    );
}
