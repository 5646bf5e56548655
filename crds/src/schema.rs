//! Schemas of fields whose own type says too little, or far too much: values kept as they are (workflows, Pod
//! specs), and Kubernetes types, whose full schemas with their texts would make a CRD of half a megabyte.

use crate::rules;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

type Gen = SchemaGenerator;

pub(crate) fn graph(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 500,
        "additionalProperties": {
            "type": "object",
            "required": ["class_type"],
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "class_type": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The node's type."},
                "_meta": {"type": "object", "maxProperties": 20, "x-kubernetes-preserve-unknown-fields": true, "description": "What the editor notes, e.g. a title. Not used."},
                "inputs": {
                    "type": "object",
                    "maxProperties": 200,
                    "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true, "nullable": true},
                    "description": "The node's inputs: values, or links as [node id, output].",
                },
            },
        },
    })
}

pub(crate) fn workflow_inputs(_: &mut Gen) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true, "nullable": true},
    })
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
                "type": {"type": "string", "maxLength": 316, "description": "What it speaks of."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, a constant."},
                "message": {"type": "string", "maxLength": crate::conditions::MESSAGE_MAX, "description": "Why, for people."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "The metadata.generation it speaks of."},
            },
        },
    })
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

pub(crate) fn zones(_: &mut Gen) -> Schema {
    json_schema!({"type": "array", "maxItems": 20, "items": {"type": "string", "minLength": 1, "maxLength": 63}, "x-kubernetes-list-type": "set"})
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
                "value": {"type": "string", "maxLength": 32768, "description": "Its value. Default: empty."},
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
                "optional": {"type": "boolean", "description": "True: go without if it is not there. Default: false."},
            },
        })
    };
    json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "description": "Where its value comes from: one of these.",
        "properties": {
            "secretKeyRef": key_of("Secret"),
            "configMapKeyRef": key_of("ConfigMap"),
            "fieldRef": {
                "type": "object",
                "required": ["fieldPath"],
                "description": "A field of the Pod.",
                "properties": {
                    "fieldPath": {"type": "string", "minLength": 1, "maxLength": 253, "description": "Its path, e.g. status.podIP."},
                },
            },
            "resourceFieldRef": {
                "type": "object",
                "required": ["resource"],
                "description": "A limit or request of the container.",
                "properties": {
                    "resource": {"type": "string", "minLength": 1, "maxLength": 253, "description": "Which, e.g. limits.memory."},
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
            "limits": quantities("The most it may use, e.g. nvidia.com/gpu: 1."),
            "requests": quantities("What it needs. Default: the limits."),
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
                "mountPath": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Where to mount it."},
                "subPath": {"type": "string", "maxLength": 1024, "description": "The path inside the volume. Default: its root."},
                "readOnly": {"type": "boolean", "description": "True: it cannot be written to. Default: false."},
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
                "value": {"type": "string", "maxLength": 63, "description": "The taint's value, with Equal."},
                "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"], "description": "The taint's effect. Default: any."},
                "tolerationSeconds": {"type": "integer", "format": "int64", "description": "How long to stay after NoExecute, in seconds. Default: for ever."},
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
                "description": "Labels it must have.",
            },
            "matchExpressions": {
                "type": "array",
                "maxItems": 20,
                "x-kubernetes-list-type": "atomic",
                "description": "Requirements it must meet.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 316, "description": "The label's key."},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How the values are used."},
                        "values": {"type": "array", "maxItems": 50, "items": {"type": "string", "maxLength": 63}, "x-kubernetes-list-type": "atomic", "description": "The values, with In and NotIn."},
                    },
                },
            },
        },
    })
}
