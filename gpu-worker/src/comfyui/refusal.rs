use serde::Deserialize;
use serde_json::{Map, Value};

/// What the engine answers to a prompt, taken or not.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    error: Option<Words>,
    #[serde(default)]
    pub(super) node_errors: Map<String, Value>,
}

/// The engine will not run a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For people: which nodes the engine refuses, and its own words on each.
    pub words: String,
    /// It may be for want of something that another worker has: a model, a node, another version of one.
    pub is_doubtful: bool,
}

#[derive(Debug, Deserialize)]
struct NodeErrors {
    #[serde(default)]
    class_type: String,
    #[serde(default)]
    errors: Vec<Words>,
}

#[derive(Debug, Deserialize)]
struct Words {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: String,
}

/// Errors that lie in the graph alone, whatever is installed. All others may be for a file or a node that is missing
/// here, or for one that is of another version.
const OF_THE_GRAPH: [&str; 10] = [
    "value_smaller_than_min",
    "value_bigger_than_max",
    "invalid_input_type",
    "required_input_missing",
    "return_type_mismatch",
    "bad_linked_input",
    "dependency_cycle",
    "prompt_no_outputs",
    "no_prompt",
    "invalid_prompt_id",
];
/// Only says that nodes have errors, which stand beside it.
const SEE_NODES: &str = "prompt_outputs_failed_validation";

impl Words {
    fn joined(&self) -> String {
        match (self.message.is_empty(), self.details.is_empty() || self.details == self.message) {
            (_, true) => self.message.clone(),
            (true, false) => self.details.clone(),
            (false, false) => format!("{}: {}", self.message.trim_end_matches('.'), self.details),
        }
    }

    fn is_of_the_graph(&self) -> bool {
        OF_THE_GRAPH.contains(&self.kind.as_str())
    }
}

impl Answer {
    /// Why it refuses. The details of a node's errors name the input.
    pub(super) fn refusal(&self) -> Refusal {
        let mut nodes = Vec::with_capacity(self.node_errors.len());
        let mut is_doubtful = match &self.error {
            Some(error) if error.kind == SEE_NODES => self.node_errors.is_empty(),
            Some(error) => !error.is_of_the_graph(),
            None => self.node_errors.is_empty(),
        };
        for (id, errors) in &self.node_errors {
            let (words, is_of_the_graph) = node_words(id, errors);
            nodes.push(words);
            is_doubtful |= !is_of_the_graph;
        }
        let words = match (nodes.is_empty(), &self.error) {
            (false, _) => nodes.join("; "),
            (true, Some(error)) => error.joined(),
            (true, None) => "the engine refused the workflow and gave no reason".into(),
        };
        Refusal { words, is_doubtful }
    }
}

/// What is said of a node, and whether all of it is of the graph.
fn node_words(id: &str, errors: &Value) -> (String, bool) {
    match NodeErrors::deserialize(errors) {
        Ok(NodeErrors { class_type, errors }) => {
            let words: Vec<String> = errors.iter().map(Words::joined).collect();
            let words = format!("node {id} ({class_type}): {}", words.join(", "));
            (words, errors.iter().all(Words::is_of_the_graph))
        }
        Err(_) => (format!("node {id}: {errors}"), false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Answer, Refusal};

    fn refusal(answer: Value) -> Refusal {
        serde_json::from_value::<Answer>(answer).expect("an answer").refusal()
    }

    fn of_a_node(kind: &str) -> Value {
        json!({
            "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
            "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [{
                "type": kind, "message": "Value not in list",
                "details": "ckpt_name: 'nope' not in ['a', 'b']", "extra_info": {"input_name": "ckpt_name"}
            }]}}
        })
    }

    #[test]
    fn a_refusal_names_node_input_and_reason() {
        assert_eq!(
            refusal(of_a_node("value_not_in_list")).words,
            "node 4 (CheckpointLoaderSimple): Value not in list: ckpt_name: 'nope' not in ['a', 'b']"
        );
    }

    #[test]
    fn a_refusal_without_nodes_still_says_why() {
        let answer = json!({"error": {"message": "Prompt has no outputs", "details": ""}, "node_errors": {}});
        assert_eq!(refusal(answer).words, "Prompt has no outputs");
        let answer = json!({"error": {"message": "No prompt provided", "details": "No prompt provided"}});
        assert_eq!(refusal(answer).words, "No prompt provided");
    }

    #[test]
    fn what_may_be_for_want_of_a_file_or_a_node_is_doubtful() {
        let of_the_prompt = |kind: &str| json!({"error": {"type": kind, "message": "m", "details": "d"}});
        let table = [
            (of_a_node("value_not_in_list"), true),
            (of_a_node("custom_validation_failed"), true),
            (of_a_node("exception_during_validation"), true),
            (of_a_node("from_a_plugin"), true),
            (of_a_node("value_bigger_than_max"), false),
            (of_a_node("required_input_missing"), false),
            (of_the_prompt("invalid_prompt"), true),
            (of_the_prompt("missing_node_type"), true),
            (of_the_prompt("prompt_no_outputs"), false),
            (of_the_prompt("prompt_outputs_failed_validation"), true),
            (json!({}), true),
            (json!({"node_errors": {"1": 5}}), true),
        ];
        for (answer, is_doubtful) in table {
            assert_eq!(refusal(answer.clone()).is_doubtful, is_doubtful, "{answer}");
        }
    }
}
