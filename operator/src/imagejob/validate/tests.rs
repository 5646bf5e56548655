use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::fixtures::{job, job_with, pool, pool_with};

fn references() -> References {
    References {
        pool_key: Some(PoolKey::new("studio", "sd15")),
        pool: Some(Arc::new(pool())),
        allowed: true,
        workflow: WorkflowSource::Inline,
        image_seconds: 4.0,
    }
}

fn with_pool(change: Value) -> References {
    References { pool: Some(Arc::new(pool_with(change))), ..references() }
}

fn config_map(text: &str) -> References {
    let at = "ConfigMap studio/flows, key a.json".to_owned();
    References { workflow: WorkflowSource::Text { at, text: text.to_owned() }, ..references() }
}

/// A job with a workflow in place of a prompt.
fn workflow(workflow: &Value) -> ImageJob {
    job_with(json!({"spec": {"textToImage": null, "workflow": workflow}}))
}

fn from_config_map() -> ImageJob {
    workflow(&json!({"configMapRef": {"name": "flows", "key": "a.json"}}))
}

fn with_inputs(inputs: &Value) -> ImageJob {
    let graph = json!({
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn"}},
        "7": {"class_type": "VAEDecode", "inputs": "none"},
        "8": {"class_type": "Note"},
    });
    workflow(&json!({"graph": graph, "inputs": inputs}))
}

fn accepted(job: &ImageJob, references: &References) -> Accepted {
    validate(job, references).unwrap()
}

fn task_of(accepted: &Accepted) -> TaskSpec {
    serde_json::from_slice(&accepted.job.payload).unwrap()
}

#[test]
fn what_is_wrong_is_said_with_a_reason_and_what_to_do() {
    use JobReason::{
        ClassNotFound, ConfigMapInvalid, ConfigMapNotFound, PoolNotAllowed, PoolNotFound, Rejected,
        WorkflowInvalid,
    };
    use Outlook::{Final, MayPass};
    let nowhere = References { pool: None, ..references() };
    let unnamed = References { pool_key: None, pool: None, ..references() };
    let strangers = References { allowed: false, ..references() };
    let classless = with_pool(json!({"spec": {"classes": [
        {"name": "standard", "slaSeconds": 300, "capacity": "Spot"}]}}));
    let message = "ConfigMap studio/flows does not exist (yet)".to_owned();
    let unmade = References { workflow: WorkflowSource::Missing { message }, ..references() };
    let huge = json!({"1": {"class_type": "Note", "inputs": {"text": "x".repeat(MAX_WORKFLOW_BYTES)}}});
    let table = [
        (job(), nowhere, PoolNotFound, MayPass, "WorkerPool studio/sd15 does not exist (yet)"),
        (
            job(),
            unnamed,
            PoolNotFound,
            MayPass,
            "spec.poolRef names no pool, and namespace studio has no WorkerPool with default: true",
        ),
        (
            job(),
            strangers,
            PoolNotAllowed,
            Final,
            "WorkerPool studio/sd15 does not let namespace studio use it (spec.allowedNamespaces)",
        ),
        (
            job_with(json!({"spec": {"class": "urgent"}})),
            references(),
            ClassNotFound,
            Final,
            "WorkerPool studio/sd15 has no class \"urgent\"; it has: immediate, standard, relaxed",
        ),
        (
            job(),
            classless,
            ClassNotFound,
            Final,
            "spec.class is not set and WorkerPool studio/sd15 has no default class; it has: standard",
        ),
        (
            job_with(json!({"spec": {"textToImage": null}})),
            references(),
            Rejected,
            Final,
            "give exactly one of textToImage or workflow",
        ),
        (
            from_config_map(),
            unmade,
            ConfigMapNotFound,
            MayPass,
            "ConfigMap studio/flows does not exist (yet)",
        ),
        (
            from_config_map(),
            config_map("{"),
            ConfigMapInvalid,
            Final,
            "ConfigMap studio/flows, key a.json: not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            from_config_map(),
            config_map("[]"),
            ConfigMapInvalid,
            Final,
            "ConfigMap studio/flows, key a.json: not a JSON object of node id → node",
        ),
        (
            from_config_map(),
            config_map("{}"),
            ConfigMapInvalid,
            Final,
            "ConfigMap studio/flows, key a.json: it has no nodes",
        ),
        (
            from_config_map(),
            config_map(r#"{"nodes": [], "links": []}"#),
            ConfigMapInvalid,
            Final,
            "ConfigMap studio/flows, key a.json: node \"nodes\" has no class_type; save the workflow in ComfyUI's API format",
        ),
        (
            workflow(&json!({})),
            references(),
            WorkflowInvalid,
            Final,
            "give exactly one of graph or configMapRef",
        ),
        (
            with_inputs(&json!({"text": "x"})),
            references(),
            WorkflowInvalid,
            Final,
            "spec.workflow.inputs[\"text\"]: write it as node.input, e.g. 6.text",
        ),
        (
            with_inputs(&json!({"99.text": "x"})),
            references(),
            WorkflowInvalid,
            Final,
            "spec.workflow.inputs[\"99.text\"]: the workflow has no such node",
        ),
        (
            with_inputs(&json!({"7.samples": "x"})),
            references(),
            WorkflowInvalid,
            Final,
            "spec.workflow.inputs[\"7.samples\"]: the node's inputs are not an object",
        ),
        (
            workflow(&json!({"graph": huge})),
            references(),
            WorkflowInvalid,
            Final,
            "the workflow has 1048677 bytes; at most 1048576 can be queued",
        ),
    ];
    for (job, references, reason, outlook, message) in table {
        let message = message.to_owned();
        assert_eq!(validate(&job, &references), Err(Problem { reason, message, outlook }));
    }
}

#[test]
fn a_plain_job_takes_the_pools_defaults() {
    let Accepted { pool, decided: Decided { seed, segments }, job } = accepted(&job(), &references());
    assert_eq!(pool, PoolKey::new("studio", "sd15"));
    assert!(seed.is_some());
    assert_eq!(segments, Some(1), "it takes 4 s");
    assert_eq!((job.tenant.as_str(), job.class.as_str()), ("studio", "standard"));
    assert_eq!((job.model.as_str(), job.units), ("v1-5.safetensors", 20.0));
    assert_eq!((job.sla, job.total, job.retries), (Duration::from_secs(300), 4, 2));
    assert_eq!((job.weight, job.max_running), (1.0, None));
    assert_eq!(job.arrival_ms, 1_767_225_600_000, "its creation, so a rebuild keeps its place");
    assert!(!job.suspended && !job.recheck);
}

#[test]
fn a_tenants_share_is_the_pools() {
    let tenants = json!([{"name": "acme", "weight": 4, "maxRunning": 8}]);
    let references = with_pool(json!({"spec": {"fairness": {"defaultWeight": 2, "tenants": tenants}}}));
    let share = |tenant: &str| {
        let job = accepted(&job_with(json!({"spec": {"tenant": tenant}})), &references).job;
        (job.weight, job.max_running)
    };
    assert_eq!(share("acme"), (4.0, Some(8)));
    assert_eq!(share("other"), (2.0, None));
}

#[test]
fn a_suspended_job_is_queued_without_being_claimed() {
    assert!(accepted(&job_with(json!({"spec": {"suspend": true}})), &references()).job.suspended);
}

#[test]
fn units_grow_with_steps_and_area() {
    for (width, height, steps, units) in
        [(512, 512, 20, 20.0), (1024, 1024, 20, 80.0), (512, 768, 30, 45.0), (64, 64, 1, 0.015_625)]
    {
        let job =
            job_with(json!({"spec": {"textToImage": {"width": width, "height": height, "steps": steps}}}));
        assert_eq!(accepted(&job, &references()).job.units, units);
        assert_eq!(size(&job), Some((units, "v1-5.safetensors".to_owned())), "as scaling learns it");
    }
}

#[test]
fn a_seed_is_kept_and_a_drawn_one_is_the_jobs_own_and_leaves_room_for_all_its_images() {
    let given = job_with(json!({"spec": {"textToImage": {"seed": 42}}}));
    assert_eq!(accepted(&given, &references()).decided.seed, Some(42));
    let uid =
        |n: u128| format!("{:08x}-{:04x}-4000-8000-{:012x}", n % 7919, n % 65_536, n * 0x1234_5678_9abc);
    let mut drawn = std::collections::HashSet::new();
    for n in 0..200 {
        let job = job_with(json!({"metadata": {"uid": uid(n)}}));
        let accepted = accepted(&job, &references());
        let seed = accepted.decided.seed.unwrap();
        assert_eq!(drawn_seed(&job), seed, "the same however often it is asked");
        assert!(seed + MAX_COUNT <= MAX_SEED, "{seed}");
        let queue::Work::TextToImage(task) = task_of(&accepted).work else { panic!("another kind of work") };
        assert_eq!(task.seed, seed, "what the worker is told");
        drawn.insert(seed);
    }
    assert_eq!(drawn.len(), 200, "jobs draw different seeds");
}

#[test]
fn workers_are_told_all_of_a_text_to_image() {
    let job = job_with(json!({"spec": {"timeoutSeconds": 60, "textToImage": {
        "negativePrompt": "blurry", "width": 512, "height": 768, "steps": 30, "cfgScale": 6.5,
        "sampler": "dpmpp_2m", "scheduler": "karras", "seed": 7}}}));
    let queue::TextToImage {
        model,
        prompt,
        negative_prompt,
        width,
        height,
        steps,
        cfg_scale,
        sampler,
        scheduler,
        seed,
        segments,
    } = match task_of(&accepted(&job, &references())) {
        TaskSpec { work: queue::Work::TextToImage(task), timeout_seconds: 60 } => task,
        other => panic!("{other:?}"),
    };
    assert_eq!((model.as_str(), prompt.as_str()), ("v1-5.safetensors", "a lighthouse at dusk"));
    assert_eq!((negative_prompt.as_str(), width, height, steps), ("blurry", 512, 768, 30));
    assert_eq!((cfg_scale, sampler.as_str(), scheduler.as_str(), seed), (6.5, "dpmpp_2m", "karras", 7));
    assert_eq!(segments, 1);
}

#[test]
fn segments_are_decided_once() {
    let slow = || References { image_seconds: 45.0, ..references() };
    let told = |job: &ImageJob, references: &References| {
        let accepted = accepted(job, references);
        let queue::Work::TextToImage(task) = task_of(&accepted).work else { panic!("another kind of work") };
        assert_eq!(accepted.decided.segments, Some(task.segments), "what the worker is told");
        task.segments
    };
    assert_eq!(told(&job(), &slow()), 4);
    let pool = pool_with(json!({"spec": {"segmentSeconds": 20}}));
    assert_eq!(told(&job(), &References { pool: Some(Arc::new(pool)), ..slow() }), 2, "as the pool says");
    assert_eq!(told(&job_with(json!({"spec": {"class": "immediate"}})), &slow()), 1, "it runs on demand");

    // The pool has learnt since, or was changed.
    let before = job_with(json!({"status": {"segments": 3}}));
    assert_eq!(told(&before, &slow()), 3);
    assert_eq!(told(&before, &references()), 3);
}

#[test]
fn a_workflows_inputs_are_set_and_its_checkpoint_is_its_model() {
    let job = with_inputs(&json!({"6.text": "a harbour", "8.new": 1, "4.ckpt_name": "turbo.safetensors"}));
    let accepted = accepted(&job, &references());
    assert_eq!((accepted.decided, accepted.job.units), (Decided::default(), WORKFLOW_UNITS));
    assert_eq!(accepted.job.model, "turbo.safetensors", "after the inputs are set");
    assert_eq!(size(&job), Some((WORKFLOW_UNITS, "turbo.safetensors".to_owned())));
    let queue::Work::Workflow { graph } = task_of(&accepted).work else { panic!("another kind of work") };
    assert_eq!(graph["6"]["inputs"]["text"], "a harbour");
    assert_eq!(graph["8"]["inputs"]["new"], 1, "a node without inputs gets some");
}

#[test]
fn a_workflow_may_lie_in_a_config_map() {
    let text = r#"{"1": {"class_type": "SaveImage", "inputs": {}}}"#;
    let accepted = accepted(&from_config_map(), &config_map(text));
    assert_eq!(accepted.job.model, "", "it loads none with the stock loader");
    assert_eq!(size(&from_config_map()), None, "only the ConfigMap knows");
    assert!(matches!(task_of(&accepted).work, queue::Work::Workflow { graph } if graph.contains_key("1")));
}
