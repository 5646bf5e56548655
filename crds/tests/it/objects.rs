//! Objects to start from, and how to change one field of them.

use serde_json::{Value, json};

/// The least a job needs.
pub(crate) fn job() -> Value {
    json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "ImageJob",
        "metadata": {"name": "lighthouse"},
        "spec": {
            "work": {
                "type": "TextToImage",
                "textToImage": {"model": "v1-5-pruned.safetensors", "prompt": "a lighthouse at dusk"},
            },
        },
    })
}

/// The settings that textToImage and imageToImage share, with every field.
fn sampling() -> Value {
    json!({
        "model": "v1-5-pruned.safetensors",
        "family": "SD15",
        "prompt": "a lighthouse at dusk",
        "negativePrompt": "blurry",
        "steps": 20,
        "cfgScale": "7.5",
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 42,
        "loras": [{"name": "ink.safetensors", "weight": "0.8"}],
        "vae": "vae.safetensors",
        "controlNets": [{"model": "canny.safetensors", "image": "edges", "strength": "0.5"}],
    })
}

/// A job with every field that goes with textToImage.
pub(crate) fn full_job() -> Value {
    let mut text = sampling();
    (text["width"], text["height"]) = (json!(512), json!(768));
    let mut job = job();
    job["spec"] = json!({
        "poolRef": {"name": "sd15", "namespace": "shared"},
        "tenant": "acme",
        "class": "standard",
        "work": {"type": "TextToImage", "textToImage": text},
        "inputs": [
            {"name": "edges", "from": {"url": "https://pictures.example.com/a.png?b=c"}, "sha256": "0".repeat(64)},
            {"name": "object", "from": {"s3": {"key": "uploads/acme/a.png"}}},
            {"name": "small", "from": {"configMapKey": {"name": "pictures", "key": "a.png"}}},
            {"name": "made", "from": {"job": {"name": "portrait", "index": 1, "output": 2}}},
        ],
        "output": {"format": "webp", "quality": 80, "metadata": "Keep"},
        "count": 4,
        "sameSeed": true,
        "dueWithinSeconds": 3600,
        "timeoutSeconds": 300,
        "retries": 2,
        "maxFailedImages": 3,
        "ttlSecondsAfterFinished": 86400,
        "suspend": false,
        "cancel": false,
    });
    job
}

/// A job with every field of imageToImage.
pub(crate) fn image_job() -> Value {
    let mut image = sampling();
    (image["image"], image["mask"], image["strength"]) = (json!("photo"), json!("mask"), json!("0.6"));
    let mut job = job();
    job["spec"] = json!({"work": {"type": "ImageToImage", "imageToImage": image}});
    job
}

/// A job with a workflow given in it.
pub(crate) fn graph_job() -> Value {
    let mut job = job();
    job["spec"] = json!({
        "work": {
            "type": "Workflow",
            "workflow": {
                "graph": {
                    "3": {
                        "class_type": "KSampler",
                        "inputs": {"seed": 5, "cfg": 7.5, "model": ["4", 0], "note": null, "denoise": 1},
                        "_meta": {"title": "KSampler"},
                    },
                    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
                },
                "inputs": {"3.seed": 7, "3.note": null},
                "outputs": ["9"],
                "seedInputs": ["3.seed"],
            },
        },
    });
    job
}

/// A job with a workflow in a ConfigMap.
pub(crate) fn config_map_job() -> Value {
    let mut job = job();
    let workflow = json!({"configMapRef": {"name": "portrait", "key": "workflow.json"}});
    job["spec"] = json!({"work": {"type": "Workflow", "workflow": workflow}});
    job
}

/// A job that uses a recipe.
pub(crate) fn recipe_job() -> Value {
    let mut job = job();
    let inputs = json!({"prompt": "a lighthouse", "steps": 20});
    job["spec"] = json!({"work": {"type": "Recipe", "recipe": {"name": "portrait", "inputs": inputs}}});
    job
}

/// A recipe with every field, its workflow in it.
pub(crate) fn recipe() -> Value {
    json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "ImageRecipe",
        "metadata": {"name": "portrait"},
        "spec": {
            "description": "A portrait.",
            "graph": graph_job()["spec"]["work"]["workflow"]["graph"],
            "inputs": [
                {
                    "name": "steps",
                    "description": "Sampling steps.",
                    "type": "Integer",
                    "to": ["3.steps"],
                    "default": 20,
                    "minimum": 1,
                    "maximum": "50.5",
                    "maxLength": 1000,
                    "required": false,
                },
                {"name": "style", "type": "Enum", "to": ["3.style"], "choices": ["ink", "oil"]},
            ],
            "outputs": ["9"],
            "unitsFrom": ["steps"],
            "cutAt": "3",
        },
    })
}

/// A recipe whose workflow is in a ConfigMap.
pub(crate) fn config_map_recipe() -> Value {
    let mut recipe = recipe();
    recipe["spec"] = json!({"configMapRef": {"name": "portrait", "key": "workflow.json"}});
    recipe
}

/// A tenant with every field.
pub(crate) fn tenant() -> Value {
    json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "ImageTenant",
        "metadata": {"name": "acme"},
        "spec": {
            "namespace": "studio",
            "pools": [{"name": "sdxl"}, {"name": "video", "namespace": "shared"}],
            "classes": ["standard"],
            "models": ["sdxl/*"],
            "defaultModel": "sd_xl_base_1.0.safetensors",
            "modelAliases": [{"name": "dall-e-3", "model": "sd_xl_base_1.0.safetensors"}],
            "recipes": ["portrait"],
            "workflows": false,
            "intakes": [{
                "name": "orders",
                "sqs": {
                    "queueURL": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
                    "region": "eu-central-1",
                    "credentialsSecretRef": {"name": "aws"},
                },
                "poolRef": {"name": "video", "namespace": "shared"},
            }],
            "webhooks": [
                {"name": "shop", "url": "https://shop.example.com/hooks?a=b", "events": ["completed"]},
                {
                    "name": "queue",
                    "sqs": {
                        "queueURL": "https://sqs.eu-central-1.amazonaws.com/123456789012/done.fifo",
                        "region": "eu-central-1",
                        "credentialsSecretRef": {"name": "aws"},
                    },
                    "events": ["refused"],
                },
                {
                    "name": "topic",
                    "sns": {
                        "topicArn": "arn:aws:sns:eu-central-1:123456789012:done",
                        "endpoint": "http://sns.example.com:4566",
                        "credentialsSecretRef": {"name": "aws"},
                    },
                },
            ],
            "limits": {
                "requestsPerSecond": 10,
                "unfinishedJobs": 100,
                "imagesPerDay": 1000,
                "imagesPerMonth": 20000,
                "amountPerDay": "5.00",
                "amountPerMonth": "99.50",
            },
            "disabled": false,
        },
    })
}

/// The least a pool needs.
pub(crate) fn pool() -> Value {
    json!({
        "apiVersion": "imagejob.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "sd15"},
        "spec": {
            "engine": {"image": "registry.example.com/comfyui:cu128"},
            "fleets": [{"name": "spot", "type": "Spot", "max": 20, "pricePerHour": "0.90"}],
            "classes": [{"name": "standard", "slaSeconds": 300, "fleets": ["spot"]}],
            "output": {"bucket": "images", "publicURL": "https://cdn.example.com"},
        },
    })
}

/// A pool with every field.
pub(crate) fn full_pool() -> Value {
    let spot = json!({
        "name": "spot",
        "type": "Spot",
        "min": 0,
        "max": 10000,
        "pricePerHour": "0.90",
        "nodeSelector": {"karpenter.sh/capacity-type": "spot"},
        "tolerations": [{
            "key": "nvidia.com/gpu",
            "operator": "Equal",
            "value": "present",
            "effect": "NoExecute",
            "tolerationSeconds": 30,
        }],
        "zones": [{"name": "a", "pricePerHour": "0.80"}, {"name": "b"}],
        "speed": "1.5",
    });
    let on_demand = with(with(spot.clone(), "/name", &json!("on-demand")), "/type", &json!("OnDemand"));
    let resources = json!({"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}, "requests": {"cpu": "500m"}});
    let env = json!([
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": false}}},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
    ]);
    let mut pool = pool();
    pool["spec"] = json!({
        "default": true,
        "engine": {
            "kind": "ComfyUI",
            "image": "registry.example.com/comfyui:cu128",
            "imagePullPolicy": "IfNotPresent",
            "port": 8188,
            "startupSeconds": 600,
            "command": ["python3", "main.py"],
            "args": ["--listen"],
            "env": env,
            "resources": resources,
            "volumeMounts": [{"name": "models", "mountPath": "/models", "subPath": "sd", "readOnly": true}],
        },
        "worker": {
            "image": "registry.example.com/gpu-worker:1",
            "imagePullPolicy": "Always",
            "env": env,
            "resources": resources,
        },
        "podTemplate": {
            "metadata": {"labels": {"team": "studio"}, "annotations": {"example.com/owner": "studio"}},
            "spec": {"serviceAccountName": "models", "volumes": [{"name": "models", "emptyDir": {}}]},
        },
        "fleets": [spot, on_demand],
        "currency": "EUR",
        "classes": [
            {"name": "immediate", "slaSeconds": 30, "fleets": ["on-demand"], "default": false},
            {"name": "standard", "slaSeconds": 300, "fleets": ["spot", "on-demand"], "default": true},
        ],
        "fairness": {
            "tenancy": "Field",
            "defaultWeight": 1,
            "tenants": [{"name": "acme", "weight": 4, "maxRunning": 8}],
        },
        "limits": {
            "workflows": false,
            "recipes": true,
            "models": ["sdxl/*", "v1-5-pruned.safetensors"],
            "maxCount": 100,
            "maxSteps": 50,
            "maxPixels": 1_048_576,
            "maxRunningPerTenant": 100,
            "denyNodes": ["*Url*"],
        },
        "inputs": {
            "hosts": ["images.example.com", "*.example.org"],
            "objectPrefixes": ["uploads/{namespace}/{tenant}/"],
            "maxBytes": 10_000_000,
        },
        "models": [
            {"name": "flux1-dev.safetensors", "family": "FLUX1Dev", "inputs": {"clip": "t5xxl.safetensors", "shift": 3}},
            {"name": "v1-5-pruned.safetensors", "family": "SD15"},
        ],
        "allowedNamespaces": {
            "from": "Selector",
            "selector": {
                "matchLabels": {"images": "yes"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
            },
        },
        "scaling": {"idleSeconds": 60, "spotShortageSeconds": 75},
        "segmentSeconds": 10,
        "output": {
            "bucket": "images",
            "endpoint": "https://minio.example.com:9000",
            "region": "eu-central-1",
            "pathStyle": true,
            "keyPrefix": "generated/",
            "publicURL": "https://cdn.example.com/i",
            "credentialsSecretRef": {"name": "s3"},
        },
        "defaultTTLSecondsAfterFinished": 86400,
        "suspend": false,
    });
    pool
}

/// The object with the value at a JSON pointer, whose parents are made where they are missing; null takes it away.
pub(crate) fn with(mut object: Value, pointer: &str, value: &Value) -> Value {
    let (parents, name) = pointer.rsplit_once('/').unwrap();
    let mut at = &mut object;
    for parent in parents.split('/').skip(1) {
        at = match parent.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[parent],
        };
    }
    match (at, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(name)),
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value.clone(),
        (at, value) => at[name.replace("~1", "/")] = value.clone(),
    }
    object
}
