//! Status patches: the whole status is replaced, and only on the version it was worked out from.

use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde::Serialize;
use serde_json::Value;

/// Replaces the status of an object of this version. The API server answers a conflict if it has moved on.
pub(crate) fn status(version: Option<String>, status: &impl Serialize) -> serde_json::Result<Patch> {
    let at = |tokens: &[&str]| PointerBuf::from_tokens(tokens.iter().copied());
    let unmoved = PatchOperation::Replace(ReplaceOperation {
        path: at(&["metadata", "resourceVersion"]),
        value: Value::String(version.unwrap_or_default()),
    });
    let replaced =
        PatchOperation::Add(AddOperation { path: at(&["status"]), value: serde_json::to_value(status)? });
    Ok(Patch(vec![unmoved, replaced]))
}
