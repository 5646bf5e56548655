//! Small objects for unit tests.

use crds::{ImageJob, WorkerPool};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::index::{self, JobRecord};

/// When the jobs of the tests were created.
pub(crate) const CREATED: &str = "2026-01-01T00:00:00Z";

/// So many seconds after [`CREATED`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    CREATED.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
}

/// `studio/lighthouse`, four images, changed by a JSON merge of `change` over its manifest.
pub(crate) fn job_with(change: Value) -> ImageJob {
    let mut job = json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "ImageJob",
        "metadata": {
            "name": "lighthouse",
            "namespace": "studio",
            "uid": "6f0c4c56-1b1f-4e4c-9d7a-2f3b8a1c5e01",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": CREATED,
        },
        "spec": {
            "work": {
                "type": "TextToImage",
                "textToImage": {"model": "v1-5.safetensors", "prompt": "a lighthouse at dusk"},
            },
            "count": 4,
        },
    });
    merge(&mut job, change);
    serde_json::from_value(job).unwrap()
}

pub(crate) fn job() -> ImageJob {
    job_with(json!({}))
}

/// `studio/sd15` with the three usual classes, changed by a JSON merge of `change` over its manifest.
pub(crate) fn pool_with(change: Value) -> WorkerPool {
    let mut pool = json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {
            "name": "sd15",
            "namespace": "studio",
            "uid": "0b2d5c9e-8a34-4a6f-b0a1-7c6d5e4f3a21",
            "resourceVersion": "7",
            "generation": 1,
        },
        "spec": {
            "engine": {"image": "registry.example.com/comfyui:cu128"},
            "fleets": [
                {"name": "spot", "type": "Spot", "max": 20, "pricePerHour": "0.90"},
                {"name": "on-demand", "type": "OnDemand", "max": 4, "pricePerHour": "3.60"},
            ],
            "classes": [
                {"name": "immediate", "slaSeconds": 30, "fleets": ["on-demand"]},
                {"name": "standard", "slaSeconds": 300, "fleets": ["spot", "on-demand"], "default": true},
                {"name": "relaxed", "slaSeconds": 600, "fleets": ["spot"]},
            ],
            "output": {"bucket": "pictures", "publicURL": "https://cdn.example.com"},
        },
    });
    merge(&mut pool, change);
    serde_json::from_value(pool).unwrap()
}

pub(crate) fn pool() -> WorkerPool {
    pool_with(json!({}))
}

/// JSON merge patch (RFC 7386): null removes. An object over a list of named objects changes those that it names.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                match value {
                    Value::Null => drop(into.remove(&key)),
                    value => merge(into.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (Value::Array(into), Value::Object(change)) => {
            for (name, change) in change {
                let at = into.iter().position(|item| item["name"] == *name).unwrap();
                match change {
                    Value::Null => drop(into.remove(at)),
                    change => merge(&mut into[at], change),
                }
            }
        }
        (into, change) => *into = change,
    }
}

/// The record of [`job_with`].
pub(crate) fn record_with(change: Value) -> JobRecord {
    index::record(&job_with(change))
}

pub(crate) fn record() -> JobRecord {
    record_with(json!({}))
}

/// Of a job that `studio/sd15` accepted when it was created, with 300 s to do it.
pub(crate) fn accepted_status() -> Value {
    json!({"pool": pool_of("sd15"), "class": "standard", "acceptedTime": CREATED, "slaSeconds": 300})
}

/// `status.pool` of a job of a pool in `studio`.
pub(crate) fn pool_of(name: &str) -> Value {
    json!({"namespace": "studio", "name": name})
}

/// The record of a job with [`accepted_status`].
pub(crate) fn accepted_record() -> JobRecord {
    record_with(json!({"status": accepted_status()}))
}
