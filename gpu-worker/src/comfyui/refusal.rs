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

#[derive(Debug, Deserialize)]
struct NodeErrors {
    #[serde(default)]
    class_type: String,
    #[serde(default)]
    errors: Vec<Words>,
}

#[derive(Debug, Deserialize)]
struct Words {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: String,
}

impl Words {
    fn joined(&self) -> String {
        match (self.message.is_empty(), self.details.is_empty() || self.details == self.message) {
            (_, true) => self.message.clone(),
            (true, false) => self.details.clone(),
            (false, false) => format!("{}: {}", self.message.trim_end_matches('.'), self.details),
        }
    }
}

impl Answer {
    /// For people: which nodes the engine minds, and its own words on each. The details name the input.
    pub(super) fn words(&self) -> String {
        let nodes: Vec<String> = self.node_errors.iter().map(|(id, errors)| node_words(id, errors)).collect();
        match (nodes.is_empty(), &self.error) {
            (false, _) => nodes.join("; "),
            (true, Some(error)) => error.joined(),
            (true, None) => "the engine refused the workflow and gave no reason".into(),
        }
    }
}

fn node_words(id: &str, errors: &Value) -> String {
    match NodeErrors::deserialize(errors) {
        Ok(NodeErrors { class_type, errors }) => {
            let words: Vec<String> = errors.iter().map(Words::joined).collect();
            format!("node {id} ({class_type}): {}", words.join(", "))
        }
        Err(_) => format!("node {id}: {errors}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Answer;

    fn words(answer: serde_json::Value) -> String {
        serde_json::from_value::<Answer>(answer).expect("an answer").words()
    }

    #[test]
    fn a_refusal_names_node_input_and_reason() {
        let answer = json!({
            "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
            "node_errors": {"4": {"class_type": "CheckpointLoaderSimple", "errors": [{
                "type": "value_not_in_list", "message": "Value not in list",
                "details": "ckpt_name: 'nope' not in ['a', 'b']", "extra_info": {"input_name": "ckpt_name"}
            }]}}
        });
        assert_eq!(
            words(answer),
            "node 4 (CheckpointLoaderSimple): Value not in list: ckpt_name: 'nope' not in ['a', 'b']"
        );
    }

    #[test]
    fn a_refusal_without_nodes_still_says_why() {
        let answer = json!({"error": {"message": "Prompt has no outputs", "details": ""}, "node_errors": {}});
        assert_eq!(words(answer), "Prompt has no outputs");
        let answer = json!({"error": {"message": "No prompt provided", "details": "No prompt provided"}});
        assert_eq!(words(answer), "No prompt provided");
    }
}
