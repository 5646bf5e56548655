//! Whether a graph can be taken, told in ComfyUI's words: node by node. Pure.

use serde_json::{Map, Value, json};
use workflow::{Graph, NotAWorkflow, ObjectInfo, What, check, graph_of, model_files};

use super::refusal::Refusal;
use crate::{cache::Tenant, definitions::words};

/// What ComfyUI calls a prompt with wrong nodes.
const INVALID: &str = "prompt_outputs_failed_validation";

/// The graph in the body of a `POST /prompt`.
pub(super) fn read(body: &mut Map<String, Value>) -> Result<Graph, Refusal> {
    let prompt = match body.shift_remove("prompt") {
        Some(prompt) => prompt,
        // The editor's file, sent as it is.
        None if body.get("nodes").is_some_and(Value::is_array) => Value::Object(body.clone()),
        None => return Err(Refusal::new("no_prompt", "No prompt provided")),
    };
    graph_of(prompt).map_err(|wrong| match &wrong {
        NotAWorkflow::NoNodes => Refusal::new("prompt_no_outputs", "Prompt has no outputs"),
        NotAWorkflow::Node { node, .. } => {
            let details = format!("Node ID '#{node}'");
            Refusal::with_details("invalid_prompt", wrong.to_string(), details, Map::new())
        }
        _ => Refusal::new("invalid_prompt", wrong.to_string()),
    })
}

/// What speaks against a graph. `known`: the nodes that the pool's engines have, if that is known.
pub(super) fn verify(graph: &Graph, tenant: &Tenant, known: Option<&ObjectInfo>) -> Result<(), Refusal> {
    let mut errors = NodeErrors::default();
    for (id, node) in graph {
        if let Some((input, number)) = too_large(node) {
            let details = format!(
                "{input}: {number} is above 9223372036854775807 (2^63 - 1) and would not be kept exactly; write it as a \
                 text, in quotes"
            );
            errors.add(graph, id, "value_bigger_than_max", input, &details);
        }
        for model in not_allowed(node, tenant) {
            let details = format!("{model:?} is not a model that this API key may use");
            errors.add(graph, id, "value_not_in_list", "", &details);
        }
    }
    errors.refuse()?;
    let Some(Err(misfits)) = known.map(|known| check(graph, known)) else { return Ok(()) };
    for misfit in &misfits {
        match &misfit.what {
            What::NoOutput => return Err(Refusal::new("prompt_no_outputs", misfit.to_string())),
            What::UnknownClass { .. } => {
                let details = format!("Node ID '#{}'", misfit.node);
                let message = misfit.to_string();
                return Err(Refusal::with_details("missing_node_type", message, details, Map::new()));
            }
            what => {
                let input = misfit.input.as_deref().unwrap_or_default();
                errors.add(graph, &misfit.node, kind_of(what), input, &words(misfit, tenant));
            }
        }
    }
    errors.refuse()
}

/// The nodes that others take nothing from: as far as can be told without their definitions, what the graph is run for.
pub(super) fn outputs(graph: &Graph) -> Vec<String> {
    let inputs = graph.values().filter_map(|node| node["inputs"].as_object()).flat_map(Map::values);
    let taken: Vec<&str> = inputs.filter_map(|input| input.get(0)?.as_str()).collect();
    graph.keys().filter(|id| !taken.contains(&id.as_str())).cloned().collect()
}

/// ComfyUI's name of what is wrong.
fn kind_of(what: &What) -> &'static str {
    match what {
        What::Missing { .. } | What::UnknownInput { .. } => "required_input_missing",
        What::BadLink | What::NoSuchNode { .. } | What::NoSuchOutput { .. } => "bad_linked_input",
        What::TypeMismatch { .. } => "return_type_mismatch",
        What::NotInList { .. } => "value_not_in_list",
        What::OutOfRange { given, min, .. } => {
            let number = |text: &str| text.parse::<f64>().ok();
            match (number(given), min.as_deref().and_then(number)) {
                (Some(given), Some(min)) if given < min => "value_smaller_than_min",
                _ => "value_bigger_than_max",
            }
        }
        What::WrongType { .. } => "invalid_input_type",
        What::Cycle(_) => "dependency_cycle",
        _ => "custom_validation_failed",
    }
}

/// A number in a node that Kubernetes would not keep exactly, and the input that has it.
fn too_large(node: &Value) -> Option<(&str, String)> {
    fn inside(value: &Value) -> Option<String> {
        /// 2^63, exactly.
        const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
        match value {
            Value::Number(number) if number.is_i64() => None,
            Value::Number(number) => {
                let is_too_large =
                    number.is_u64() || number.as_f64().is_some_and(|number| number.abs() >= TOO_LARGE);
                is_too_large.then(|| number.to_string())
            }
            Value::Array(items) => items.iter().find_map(inside),
            Value::Object(fields) => fields.values().find_map(inside),
            _ => None,
        }
    }
    let inputs = node["inputs"].as_object().into_iter().flatten();
    let of_input = inputs.into_iter().find_map(|(name, value)| Some((name.as_str(), inside(value)?)));
    of_input.or_else(|| inside(node).map(|number| ("", number)))
}

/// The models of a node that the tenant may not load.
fn not_allowed(node: &Value, tenant: &Tenant) -> Vec<String> {
    let alone = Graph::from_iter([(String::new(), node.clone())]);
    let mut models = model_files(&alone);
    models.retain(|model| !tenant.may_load(model));
    models
}

/// What is wrong with nodes.
#[derive(Default)]
pub(super) struct NodeErrors(Map<String, Value>);

impl NodeErrors {
    pub(super) fn add(&mut self, graph: &Graph, id: &str, kind: &str, input: &str, details: &str) {
        let message = match kind {
            "value_not_in_list" => "Value not in list",
            "value_bigger_than_max" => "Value bigger than max",
            "value_smaller_than_min" => "Value smaller than min",
            "required_input_missing" => "Required input is missing",
            "return_type_mismatch" => "Return type mismatch between linked nodes",
            "bad_linked_input" => "Bad linked input",
            "custom_validation_failed" => "Custom validation failed for node",
            "invalid_input_type" => "Failed to convert an input value",
            _ => "Prompt outputs failed validation",
        };
        let extra = if input.is_empty() { json!({}) } else { json!({ "input_name": input }) };
        let error = json!({ "type": kind, "message": message, "details": details, "extra_info": extra });
        let node = self.0.entry(id).or_insert_with(|| {
            json!({ "errors": [], "dependent_outputs": [], "class_type": graph.get(id).map(|node| &node["class_type"]) })
        });
        if let Some(errors) = node["errors"].as_array_mut() {
            errors.push(error);
        }
    }

    pub(super) fn refuse(&self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let said = self
            .0
            .iter()
            .filter_map(|(id, node)| Some(format!("node {id}: {}", node["errors"][0]["details"].as_str()?)));
        let details = said.collect::<Vec<_>>().join("\n");
        Err(Refusal::with_details(INVALID, "Prompt outputs failed validation", details, self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(models: &[&str]) -> Tenant {
        let spec = json!({ "namespace": "studio", "models": models });
        Tenant { name: "acme".into(), spec: serde_json::from_value(spec).unwrap() }
    }

    fn graph(text: &Value) -> Graph {
        text.as_object().unwrap().clone()
    }

    fn refused(graph: &Graph, tenant: &Tenant, known: Option<&ObjectInfo>) -> (String, Value) {
        match verify(graph, tenant, known) {
            Ok(()) => (String::new(), json!({})),
            Err(Refusal::Bad(wrong)) => (wrong.kind.to_owned(), Value::Object(wrong.node_errors)),
            Err(Refusal::Core(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_number_that_kubernetes_would_change_is_refused_with_its_node() {
        for number in ["9223372036854775808", "18446744073709551615", "1e19", "99999999999999999999999"] {
            let text = format!(r#"{{"3": {{"class_type": "KSampler", "inputs": {{"seed": {number}}}}}}}"#);
            let (kind, nodes) = refused(&serde_json::from_str(&text).unwrap(), &tenant(&[]), None);
            assert_eq!(kind, INVALID, "{number}");
            assert_eq!(nodes["3"]["errors"][0]["extra_info"]["input_name"], "seed");
            assert_eq!(nodes["3"]["class_type"], "KSampler");
        }
        let deep = json!({"3": {"class_type": "A", "_meta": {"x": [u64::MAX]}, "inputs": {"y": 1}}});
        assert_eq!(refused(&graph(&deep), &tenant(&[]), None).0, INVALID);
        let fits = json!({"3": {"class_type": "A", "inputs": {"seed": i64::MAX, "b": i64::MIN, "c": 0.5, "d": "18446744073709551615"}}});
        assert_eq!(refused(&graph(&fits), &tenant(&[]), None).0, "");
    }

    #[test]
    fn models_that_the_tenant_may_not_use_are_told_by_their_node() {
        let load = json!({"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux.safetensors"}}});
        let (_, nodes) = refused(&graph(&load), &tenant(&["sdxl/*"]), None);
        assert_eq!(nodes["4"]["errors"][0]["type"], "value_not_in_list");
        assert_eq!(refused(&graph(&load), &tenant(&["flux*"]), None).0, "");
    }

    #[test]
    fn what_the_engine_would_refuse_has_comfyuis_name() {
        let known = ObjectInfo::parse(
            br#"{"L": {"input": {"required": {"ckpt_name": [["a.safetensors"]], "n": ["INT", {"min": 1, "max": 9}]}},
                "output": [], "output_node": true, "python_module": "nodes"}}"#,
        )
        .unwrap();
        let node = |inputs: &Value| graph(&json!({"1": {"class_type": "L", "inputs": inputs}}));
        let kind = |inputs: &Value| {
            let (kind, nodes) = refused(&node(inputs), &tenant(&[]), Some(&known));
            nodes["1"]["errors"][0]["type"].as_str().unwrap_or(&kind).to_owned()
        };
        for (inputs, wanted) in [
            (json!({"ckpt_name": "a.safetensors", "n": 3}), ""),
            (json!({"ckpt_name": "b.safetensors", "n": 3}), "value_not_in_list"),
            (json!({"ckpt_name": "a.safetensors", "n": 0}), "value_smaller_than_min"),
            (json!({"ckpt_name": "a.safetensors", "n": 10}), "value_bigger_than_max"),
            (json!({"ckpt_name": "a.safetensors", "n": "x"}), "invalid_input_type"),
            (json!({"ckpt_name": "a.safetensors"}), "required_input_missing"),
        ] {
            assert_eq!(kind(&inputs), wanted, "{inputs}");
        }
        let unknown = graph(&json!({"1": {"class_type": "M", "inputs": {}}}));
        assert_eq!(refused(&unknown, &tenant(&[]), Some(&known)).0, "missing_node_type");
        // Names of other tenants' models are not told.
        let bound = tenant(&["b*"]);
        let (_, nodes) = refused(&node(&json!({"ckpt_name": "b.safetensors", "n": 1})), &bound, Some(&known));
        assert!(!nodes.to_string().contains("a.safetensors"), "{nodes}");
    }

    #[test]
    fn what_is_no_graph_says_what_to_do() {
        let read = |body: Value| match read(&mut graph(&body)) {
            Ok(_) => String::new(),
            Err(Refusal::Bad(wrong)) => format!("{}: {}", wrong.kind, wrong.message),
            Err(Refusal::Core(error)) => panic!("{error}"),
        };
        let editor = json!({"nodes": [{"id": 1}], "links": []});
        for (body, wanted) in [
            (json!({}), "no_prompt: "),
            (json!({"prompt": {}}), "prompt_no_outputs: "),
            (json!({"prompt": editor}), "invalid_prompt: this is the editor's own format; export it"),
            (editor, "invalid_prompt: this is the editor's own format; export it"),
            (json!({"prompt": {"3": {"inputs": {}}}}), "invalid_prompt: node \"3\" has no class_type"),
            (json!({"prompt": null}), "invalid_prompt: it is a single value"),
        ] {
            assert!(read(body.clone()).starts_with(wanted), "{body}: {}", read(body.clone()));
        }
    }

    #[test]
    fn outputs_are_the_nodes_that_nothing_is_linked_to() {
        let graph = graph(&json!({
            "8": {"class_type": "VAEDecode", "inputs": {"samples": "no link"}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "a"}},
        }));
        assert_eq!(outputs(&graph), ["9"]);
    }
}
