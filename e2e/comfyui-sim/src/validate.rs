//! The checks that ComfyUI makes before it queues a prompt, and the messages with which it refuses one.
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::{
    catalog::{Catalog, Class, Input, Kind},
    files::Files,
    python, python_json,
};

/// The reason for a refused prompt: the body of a 400.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Value);

impl Refusal {
    pub(crate) fn new(kind: &str, message: &str, details: &str, node_errors: &Map<String, Value>) -> Self {
        let error = json!({"type": kind, "message": message, "details": details, "extra_info": {}});
        Self(json!({"error": error, "node_errors": node_errors}))
    }
}

/// A prompt that can run.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The outputs to make, in the prompt's order.
    pub(crate) outputs: Vec<String>,
    /// The errors of the other outputs.
    pub(crate) node_errors: Map<String, Value>,
}

/// Checks `prompt` and turns its values into the types its nodes want. `targets`: only these outputs.
pub(crate) fn validate(
    catalog: &Catalog,
    files: &Files,
    prompt: &mut Map<String, Value>,
    targets: Option<&[String]>,
) -> Result<Accepted, Refusal> {
    let outputs = outputs(catalog, prompt, targets)?;
    let mut check = Check { catalog, files, prompt, seen: HashMap::new(), order: Vec::new() };
    let mut good = Vec::new();
    let mut node_errors = Map::new();
    let mut details = Vec::new();
    for output in outputs {
        if let Err(exception) = check.node(&output) {
            let reason = exception.reason("exception_during_validation", "Exception when validating node");
            check.finish(&output, Verdict::Invalid(vec![reason]));
        }
        match check.seen.get(&output) {
            Some(Verdict::Valid) => good.push(output),
            Some(Verdict::Invalid(reasons)) => {
                details.extend(reasons.iter().map(|reason| {
                    format!("{}: {}", python::str(&reason["message"]), python::str(&reason["details"]))
                }));
                check.report(&output, &mut node_errors);
            }
            Some(Verdict::Open) | None => {}
        }
    }
    if good.is_empty() {
        let message = "Prompt outputs failed validation";
        let kind = "prompt_outputs_failed_validation";
        return Err(Refusal::new(kind, message, &details.join("\n"), &node_errors));
    }
    Ok(Accepted { outputs: good, node_errors })
}

fn outputs(
    catalog: &Catalog,
    prompt: &Map<String, Value>,
    targets: Option<&[String]>,
) -> Result<Vec<String>, Refusal> {
    let refuse = |kind, message: &str, details: &str| Refusal::new(kind, message, details, &Map::new());
    let mut outputs = Vec::new();
    for (id, node) in prompt {
        let invalid = |message: &str| refuse("invalid_prompt", message, &format!("Node ID '#{id}'"));
        let Some(name) = node.get("class_type") else {
            return Err(invalid("Cannot execute because a node is missing the class_type property."));
        };
        let name = python::str(name);
        let Some(class) = catalog.class(&name) else {
            return Err(invalid(&format!("Cannot execute because node {name} does not exist.")));
        };
        if class.is_output && targets.is_none_or(|targets| targets.contains(id)) {
            outputs.push(id.clone());
        }
    }
    if outputs.is_empty() {
        return Err(refuse("prompt_no_outputs", "Prompt has no outputs", ""));
    }
    Ok(outputs)
}

enum Verdict {
    /// The node is being checked; meeting it again means a cycle.
    Open,
    Valid,
    /// The node is invalid for these reasons; the list is empty if only a node before it is invalid.
    Invalid(Vec<Value>),
}

/// An exception of Python: ComfyUI's validation fails on malformed nodes.
struct Exception {
    kind: &'static str,
    message: String,
}

impl Exception {
    fn key(key: &str) -> Self {
        Self { kind: "KeyError", message: format!("'{key}'") }
    }

    fn reason(&self, kind: &str, message: &str) -> Value {
        let extra = json!({"exception_message": self.message, "exception_type": self.kind, "traceback": []});
        json!({"type": kind, "message": message, "details": self.message, "extra_info": extra})
    }
}

struct Check<'a> {
    catalog: &'a Catalog,
    files: &'a Files,
    prompt: &'a mut Map<String, Value>,
    seen: HashMap<String, Verdict>,
    /// The nodes in the order of their verdicts.
    order: Vec<String>,
}

impl Check<'_> {
    /// Whether the node and all it depends on are valid; the verdicts are in `seen`.
    fn node(&mut self, id: &str) -> Result<bool, Exception> {
        match self.seen.get(id) {
            Some(verdict) => return Ok(matches!(verdict, Verdict::Valid)),
            None => self.seen.insert(id.to_owned(), Verdict::Open),
        };
        let catalog = self.catalog;
        let class = self.class(catalog, id)?;
        let given = match self.prompt[id].get("inputs") {
            Some(Value::Object(inputs)) => inputs.clone(),
            _ => return Err(Exception::key("inputs")),
        };
        let mut reasons = Vec::new();
        let mut valid = true;
        let mut inputs: Vec<&Input> = class.inputs.iter().rev().collect();
        while let Some(input) = inputs.pop() {
            if let (Kind::Branches(branches), Some(key)) = (&input.kind, given.get(&input.name)) {
                let chosen = branches.iter().find(|(of, _)| of == key);
                inputs.extend(chosen.into_iter().flat_map(|(_, inputs)| inputs).rev());
            }
            match given.get(&input.name) {
                None if !input.is_required => {}
                None => reasons.push(reason(
                    "required_input_missing",
                    "Required input is missing",
                    &input.name,
                    json!({"input_name": input.name}),
                )),
                Some(Value::Array(link)) => match self.link(input, link)? {
                    Link::Valid => {}
                    Link::DependsOnInvalid => valid = false,
                    Link::Wrong(reason) => reasons.push(reason),
                },
                Some(value) => match self.value(input, value) {
                    Ok(value) => self.prompt[id]["inputs"][&input.name] = value,
                    Err(reason) => reasons.push(reason),
                },
            }
        }
        let valid = valid && reasons.is_empty();
        self.finish(id, if valid { Verdict::Valid } else { Verdict::Invalid(reasons) });
        Ok(valid)
    }

    fn finish(&mut self, id: &str, verdict: Verdict) {
        self.seen.insert(id.to_owned(), verdict);
        self.order.push(id.to_owned());
    }

    fn class<'c>(&self, catalog: &'c Catalog, id: &str) -> Result<&'c Class, Exception> {
        let node = self.prompt.get(id).ok_or_else(|| Exception::key(id))?;
        let name = node["class_type"].as_str().unwrap_or_default();
        catalog.class(name).ok_or_else(|| Exception::key(name))
    }

    fn link(&mut self, input: &Input, link: &[Value]) -> Result<Link, Exception> {
        let [from, slot] = link else {
            let message = "Bad linked input, must be a length-2 list of [node_id, slot_index]";
            let extra = json!({"input_name": input.name, "input_config": self.catalog.config(input), "received_value": link});
            return Ok(Link::Wrong(reason("bad_linked_input", message, &input.name, extra)));
        };
        let from = python::str(from);
        let slot = slot.as_u64().and_then(|slot| usize::try_from(slot).ok()).unwrap_or(usize::MAX);
        let outputs = &self.class(self.catalog, &from)?.outputs;
        let out_of_range =
            || Exception { kind: "IndexError", message: "tuple index out of range".to_owned() };
        let received = outputs.get(slot).ok_or_else(out_of_range)?;
        let wanted = input.kind.type_name();
        // A class may accept several types, or any type, and so may an output be of one of several.
        let fits = |received: &str| wanted.split(',').any(|wanted| wanted == received);
        if wanted != "*" && received != "*" && !received.split(',').any(fits) {
            let details = format!("{}, received_type({received}) mismatch input_type({wanted})", input.name);
            let extra = json!({
                "input_name": input.name, "input_config": self.catalog.config(input),
                "received_type": received, "linked_node": link,
            });
            let message = "Return type mismatch between linked nodes";
            return Ok(Link::Wrong(reason("return_type_mismatch", message, &details, extra)));
        }
        match self.node(&from) {
            Ok(true) => Ok(Link::Valid),
            Ok(false) => Ok(Link::DependsOnInvalid),
            Err(exception) => {
                let mut reason = exception
                    .reason("exception_during_inner_validation", "Exception when validating inner node");
                reason["extra_info"]["input_name"] = json!(input.name);
                reason["extra_info"]["input_config"] = self.catalog.config(input);
                reason["extra_info"]["linked_node"] = json!(link);
                self.finish(&from, Verdict::Invalid(vec![reason]));
                Ok(Link::DependsOnInvalid)
            }
        }
    }

    /// Converts a value to the type that the node needs.
    fn value(&self, input: &Input, value: &Value) -> Result<Value, Value> {
        let name = &input.name;
        let config = self.catalog.config(input);
        let extra = json!({"input_name": name, "input_config": config, "received_value": value});
        let unconvertible = |exception: String| {
            let kind = input.kind.type_name();
            let mut extra = extra.clone();
            extra["exception_message"] = json!(exception);
            let details = format!("{name}, {}, {exception}", python::str(value));
            reason(
                "invalid_input_type",
                &format!("Failed to convert an input value to a {kind} value"),
                &details,
                extra,
            )
        };
        let out_of_range = |kind, is, than, received: Value, limit: String| {
            let mut extra = extra.clone();
            extra["received_value"] = received.clone();
            let shown = if received.is_f64() && !matches!(input.kind, Kind::Int { .. }) {
                python::float_str(received.as_f64().unwrap_or_default())
            } else {
                python::repr(&received)
            };
            reason(kind, &format!("Value {shown} {is} than {than} of {limit}"), name, extra)
        };
        let smaller =
            |received, limit| out_of_range("value_smaller_than_min", "smaller", "min", received, limit);
        let bigger =
            |received, limit| out_of_range("value_bigger_than_max", "bigger", "max", received, limit);
        match &input.kind {
            Kind::Int { min, max } => match python::int(value).map_err(unconvertible)? {
                int if int < *min => Err(smaller(whole(int), min.to_string())),
                int if int > *max => Err(bigger(whole(int), max.to_string())),
                int => Ok(whole(int)),
            },
            Kind::Float { min, max } => match python::float(value).map_err(unconvertible)? {
                // NaN is neither.
                float if float < *min => Err(smaller(python_json::number(float), python::float_str(*min))),
                float if float > *max => Err(bigger(python_json::number(float), python::float_str(*max))),
                float => Ok(python_json::number(float)),
            },
            Kind::Bool => Ok(Value::Bool(python::truthy(value))),
            Kind::Text => Ok(Value::String(python::str(value))),
            Kind::Choice(_) | Kind::Branches(_) | Kind::ModelFile(..) => {
                let choices = self.catalog.choices(input).unwrap_or_default();
                if choices.contains(value) {
                    return Ok(value.clone());
                }
                Err(not_in_list(&input.name, config, &choices, value))
            }
            Kind::InputFile(what) => {
                let file = python::str(value);
                if self.files.find_annotated(&file).is_some() {
                    return Ok(value.clone());
                }
                let details = format!("{name} - Invalid {what} file: {file}");
                let message = "Custom validation failed for node";
                Err(reason("custom_validation_failed", message, &details, json!({"input_name": name})))
            }
            // A constant where the node needs a link passes ComfyUI's checks; the node fails when it runs.
            Kind::Link(_) => Ok(value.clone()),
        }
    }

    /// Adds every invalid node so far, with `output` as a node that depends on it.
    fn report(&self, output: &str, node_errors: &mut Map<String, Value>) {
        for id in &self.order {
            let Some(Verdict::Invalid(reasons)) = self.seen.get(id) else { continue };
            if reasons.is_empty() {
                continue;
            }
            let class = &self.prompt[id]["class_type"];
            let entry = node_errors
                .entry(id.clone())
                .or_insert_with(|| json!({"errors": reasons, "dependent_outputs": [], "class_type": class}));
            if let Some(dependents) = entry["dependent_outputs"].as_array_mut() {
                dependents.push(json!(output));
            }
        }
    }
}

enum Link {
    Valid,
    DependsOnInvalid,
    Wrong(Value),
}

fn reason(kind: &str, message: &str, details: &str, extra_info: Value) -> Value {
    let mut reason = json!({"type": kind, "message": message, "details": details});
    reason["extra_info"] = extra_info;
    reason
}

/// Long lists are not repeated.
fn not_in_list(name: &str, config: Value, choices: &[Value], value: &Value) -> Value {
    let (list, config) = match choices.len() {
        length @ 21.. => (format!("(list of length {length})"), Value::Null),
        _ => (python::repr(&json!(choices)), config),
    };
    let details = format!("{name}: '{}' not in {list}", python::str(value));
    let extra = json!({"input_name": name, "input_config": config, "received_value": value});
    reason("value_not_in_list", "Value not in list", &details, extra)
}

#[allow(clippy::cast_precision_loss, reason = "only what is beyond any limit anyway")]
fn whole(value: i128) -> Value {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => json!(value),
        (_, Ok(value)) => json!(value),
        _ => json!(value as f64),
    }
}
