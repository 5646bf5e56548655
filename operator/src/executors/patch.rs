//! Status patches, each only on the version it was worked out from.

use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use serde::Serialize;
use serde_json::Value;

/// Replaces the status of an object of this version. The API server answers a conflict if it has moved on.
pub(super) fn status(version: String, status: &impl Serialize) -> serde_json::Result<Patch> {
    Ok(Patch(vec![unmoved(version), set(&["status"], serde_json::to_value(status)?)]))
}

/// Says in the status of an object of this version that a generation was seen, and leaves the rest as it is.
pub(super) fn observed(
    version: String,
    generation: Option<i64>,
    conditions: &impl Serialize,
) -> serde_json::Result<Patch> {
    Ok(Patch(vec![
        unmoved(version),
        set(&["status", "observedGeneration"], serde_json::to_value(generation)?),
        set(&["status", "conditions"], serde_json::to_value(conditions)?),
    ]))
}

fn unmoved(version: String) -> PatchOperation {
    let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
    PatchOperation::Replace(ReplaceOperation { path, value: Value::String(version) })
}

fn set(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}
