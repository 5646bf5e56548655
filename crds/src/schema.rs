//! Schemas of fields for which the Rust type's own schema is too small or too large: values that are kept as they are
//! (workflows, Pod specs), and Kubernetes types, whose full schemas with their texts would make a CRD of half a megabyte.

use crate::rules;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

type Gen = SchemaGenerator;

/// Nodes are kept as they are: a schema of them would refuse the editor's own file field by field, and no message would
/// say what to do. The policy `imagejob-workflow` and the operator check them, each with one message.
pub(crate) fn graph(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 500,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

pub(crate) fn node_inputs(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": any_kept(),
    })
}

pub(crate) fn recipe_inputs(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": any_kept(),
    })
}

pub(crate) fn any_value(_: &mut Gen) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn any_kept() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true, "nullable": true})
}

pub(crate) fn node_ids(_: &mut Gen) -> Schema {
    names(50, 63)
}

pub(crate) fn seed_inputs(_: &mut Gen) -> Schema {
    names(20, 253)
}

pub(crate) fn node_input_paths(_: &mut Gen) -> Schema {
    let mut paths = names(20, 253);
    paths.insert("minItems".to_owned(), 1.into());
    paths
}

pub(crate) fn input_names(_: &mut Gen) -> Schema {
    names(10, 63)
}

pub(crate) fn choices(_: &mut Gen) -> Schema {
    names(100, 253)
}

fn names(most: u32, longest: u32) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": most,
        "items": {"type": "string", "minLength": 1, "maxLength": longest},
        "x-kubernetes-list-type": "atomic",
    })
}

pub(crate) fn work_type(_: &mut Gen) -> Schema {
    json_schema!({"type": "string", "enum": ["TextToImage", "ImageToImage", "Workflow", "Recipe"]})
}

pub(crate) fn recipe_input_type(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "string",
        "enum": ["String", "Integer", "Number", "Boolean", "Enum", "Image", "Seed"],
    })
}

pub(crate) fn family(_: &mut Gen) -> Schema {
    let names = crate::Family::ALL.map(crate::Family::as_str);
    json_schema!({"type": "string", "enum": names})
}

/// A whole number, or a decimal in quotes.
pub(crate) fn decimal(_: &mut Gen) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 16})
}

/// A decimal that only the operator writes.
pub(crate) fn told_decimal(_: &mut Gen) -> Schema {
    json_schema!({"type": "string", "maxLength": 24})
}

pub(crate) fn conditions(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What the condition is about."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, as a constant."},
                "message": {"type": "string", "maxLength": crate::conditions::MESSAGE_MAX, "description": "Why, for people."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "The metadata.generation that the condition describes."},
            },
        },
    })
}

/// A u64 has at most 20 digits.
pub(crate) fn seed(_: &mut Gen) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 20})
}

pub(crate) fn price(_: &mut Gen) -> Schema {
    json_schema!({"type": "string", "maxLength": 13})
}

pub(crate) fn amount(_: &mut Gen) -> Schema {
    json_schema!({"type": "string", "maxLength": 24})
}

pub(crate) fn pod_spec(_: &mut Gen) -> Schema {
    json_schema!({"type": "object", "maxProperties": 100, "x-kubernetes-preserve-unknown-fields": true})
}

pub(crate) fn pull_policy(_: &mut Gen) -> Schema {
    json_schema!({"type": "string", "enum": ["Always", "IfNotPresent", "Never"]})
}

pub(crate) fn arguments(_: &mut Gen) -> Schema {
    json_schema!({"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 4096}, "x-kubernetes-list-type": "atomic"})
}

/// A list of texts of 1 to `longest` characters, none twice.
fn texts(least: u32, most: u32, longest: u32) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": least,
        "maxItems": most,
        "items": {"type": "string", "minLength": 1, "maxLength": longest},
        "x-kubernetes-list-type": "set",
    })
}

pub(crate) fn fleet_names(_: &mut Gen) -> Schema {
    texts(1, 10, 40)
}

pub(crate) fn class_names(_: &mut Gen) -> Schema {
    names(10, 40)
}

pub(crate) fn webhook_events(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": {"type": "string", "enum": ["accepted", "started", "image", "completed", "failed", "cancelled", "late", "refused"]},
        "x-kubernetes-list-type": "set",
    })
}

pub(crate) fn recipe_names(_: &mut Gen) -> Schema {
    names(100, 63)
}

pub(crate) fn model_patterns(_: &mut Gen) -> Schema {
    texts(0, 200, 253)
}

pub(crate) fn node_patterns(_: &mut Gen) -> Schema {
    texts(0, 200, 128)
}

pub(crate) fn hosts(_: &mut Gen) -> Schema {
    texts(0, 50, 253)
}

pub(crate) fn prefixes(_: &mut Gen) -> Schema {
    texts(0, 50, 200)
}

pub(crate) fn speed(_: &mut Gen) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 8})
}

pub(crate) fn model_inputs(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

pub(crate) fn labels(_: &mut Gen) -> Schema {
    json_schema!({"type": "object", "maxProperties": 20, "additionalProperties": {"type": "string", "maxLength": 63}})
}

pub(crate) fn annotations(_: &mut Gen) -> Schema {
    json_schema!({"type": "object", "maxProperties": 20, "additionalProperties": {"type": "string", "maxLength": 4096}})
}

pub(crate) fn env(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The variable's name."},
                "value": {"type": "string", "maxLength": 32768, "description": "The variable's value. Default: empty."},
                "valueFrom": env_source(),
            },
        },
    })
}

fn env_source() -> Value {
    let key_of = |what: &str| {
        json!({
            "type": "object",
            "required": ["name", "key"],
            "description": format!("A key of a {what} in the pool's namespace."),
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 253, "description": format!("The {what}'s name.")},
                "key": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The key."},
                "optional": {"type": "boolean", "description": "True: the variable is left out if the key does not exist. Default: false."},
            },
        })
    };
    json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "description": "Where the value comes from: one of these.",
        "properties": {
            "secretKeyRef": key_of("Secret"),
            "configMapKeyRef": key_of("ConfigMap"),
            "fieldRef": {
                "type": "object",
                "required": ["fieldPath"],
                "description": "A field of the Pod.",
                "properties": {
                    "fieldPath": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The field's path, e.g. status.podIP."},
                },
            },
            "resourceFieldRef": {
                "type": "object",
                "required": ["resource"],
                "description": "A limit or request of the container.",
                "properties": {
                    "resource": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The limit or request, e.g. limits.memory."},
                },
            },
        },
    })
}

pub(crate) fn resources(_: &mut Gen) -> Schema {
    let quantities = |text: &str| {
        json!({
            "type": "object",
            "maxProperties": 20,
            "description": text,
            "x-kubernetes-validations": [rules::quantities()],
            "additionalProperties": {
                "x-kubernetes-int-or-string": true,
                "maxLength": 32,
            },
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "limits": quantities("What the container may use at most, e.g. nvidia.com/gpu: 1."),
            "requests": quantities("What the container needs. Default: the limits."),
        },
    })
}

pub(crate) fn volume_mounts(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 50,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["mountPath"],
        "items": {
            "type": "object",
            "required": ["name", "mountPath"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 63, "description": "The volume's name in podTemplate.spec.volumes."},
                "mountPath": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Where the volume is mounted."},
                "subPath": {"type": "string", "maxLength": 1024, "description": "The path inside the volume. Default: the root."},
                "readOnly": {"type": "boolean", "description": "True: the container cannot write to the volume. Default: false."},
            },
        },
    })
}

pub(crate) fn tolerations(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 20,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "properties": {
                "key": {"type": "string", "maxLength": 316, "description": "The taint's key. Default: any."},
                "operator": {"type": "string", "enum": ["Exists", "Equal"], "description": "Exists or Equal. Default: Equal."},
                "value": {"type": "string", "maxLength": 63, "description": "The taint's value, for Equal."},
                "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"], "description": "The taint's effect. Default: any."},
                "tolerationSeconds": {"type": "integer", "format": "int64", "description": "How long the Pod stays after NoExecute, in seconds. Default: for ever."},
            },
        },
    })
}

pub(crate) fn label_selector(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "type": "object",
                "maxProperties": 20,
                "additionalProperties": {"type": "string", "maxLength": 63},
                "description": "Labels that the namespace must have.",
            },
            "matchExpressions": {
                "type": "array",
                "maxItems": 20,
                "x-kubernetes-list-type": "atomic",
                "description": "Requirements that the labels must meet.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 316, "description": "The label's key."},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How the label is compared with the values."},
                        "values": {"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 63}, "x-kubernetes-list-type": "atomic", "description": "The values, for In and NotIn."},
                    },
                },
            },
        },
    })
}
