//! What a request asks for as one short text, by which a request that comes again is told from another one with the same
//! Idempotency-Key.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::to_hex;

/// The SHA-256 of a request, whatever the order of its fields.
pub(super) fn digest(spec: &Map<String, Value>, labels: &BTreeMap<String, String>) -> String {
    let mut sha = Sha256::new();
    feed(&mut sha, &Value::Object(spec.clone()));
    feed(&mut sha, &json!(labels));
    to_hex(&sha.finalize())
}

fn feed(sha: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            sha.update(b"{");
            for (name, value) in sorted {
                sha.update(Value::from(name.as_str()).to_string());
                feed(sha, value);
            }
            sha.update(b"}");
        }
        Value::Array(items) => {
            sha.update(b"[");
            items.iter().for_each(|item| feed(sha, item));
            sha.update(b"]");
        }
        other => {
            sha.update(other.to_string());
            sha.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_makes_no_other_request_but_anything_else_does() {
        let of = |text: &str| digest(&serde_json::from_str(text).unwrap(), &BTreeMap::new());
        assert_eq!(
            of(r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#),
            of(r#"{"b": {"d": null, "c": [1, 2]}, "a": 1}"#)
        );
        for other in [r#"{"a": 2}"#, r#"{"a": "1"}"#, r#"{"a": [1]}"#, r#"{"b": 1}"#, r#"{"a": 1, "b": 1}"#] {
            assert_ne!(of(r#"{"a": 1}"#), of(other), "{other}");
        }
        assert_ne!(of(r#"{"a": [1, 23]}"#), of(r#"{"a": [12, 3]}"#));
    }
}
