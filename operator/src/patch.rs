//! Status patches, each only on the version it was worked out from.

use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::Value;

/// Replaces the status of an object of this version. The API server answers a conflict if it has moved on.
pub(crate) fn status(version: Option<String>, status: &impl Serialize) -> serde_json::Result<Patch> {
    Ok(Patch(vec![unmoved(version), set(&["status"], serde_json::to_value(status)?)]))
}

/// Says in the status of an object of this version that a generation was seen, and leaves the rest as it is.
pub(crate) fn observed(version: Option<String>, observed: &Observed) -> serde_json::Result<Patch> {
    let Observed { generation, conditions } = observed;
    Ok(Patch(vec![
        unmoved(version),
        set(&["status", "observedGeneration"], serde_json::to_value(generation)?),
        set(&["status", "conditions"], serde_json::to_value(conditions)?),
    ]))
}

/// What [`observed`] writes.
#[derive(Debug, PartialEq)]
pub(crate) struct Observed {
    pub(crate) generation: Option<i64>,
    /// With this `observedGeneration`, otherwise as they were.
    pub(crate) conditions: Vec<Condition>,
}

fn unmoved(version: Option<String>) -> PatchOperation {
    let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
    PatchOperation::Replace(ReplaceOperation { path, value: Value::String(version.unwrap_or_default()) })
}

fn set(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path.iter().copied()), value })
}
