use serde_json::json;

use super::*;
use crate::{
    fixtures::{accepted_record, at, job_with, pool, pool_with},
    imagejob::decide,
    index::record,
};
use crds::ImageJob;

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

fn job() -> ImageJob {
    job_with(json!({}))
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
        "8": {"class_type": "SaveImage", "inputs": {"filename_prefix": "barn"}},
    });
    workflow(&json!({"graph": graph, "inputs": inputs}))
}

fn validated(job: &ImageJob, references: &References) -> Result<Accepted, Problem> {
    validate(&record(job), &job.spec, references, at(60))
}

fn accepted(job: &ImageJob, references: &References) -> Accepted {
    validated(job, references).unwrap()
}

fn task_of(accepted: &Accepted) -> TaskSpec {
    serde_json::from_slice(&accepted.job.payload).unwrap()
}

#[test]
fn what_is_wrong_is_said_with_a_reason_and_what_to_do() {
    use Course::{Ends, Waits};
    use JobReason::{
        ClassNotFound, ConfigMapInvalid, ConfigMapNotFound, PoolNotAllowed, PoolNotFound, Rejected,
        WorkflowInvalid,
    };
    let nowhere = References { pool: None, ..references() };
    let unnamed = References { pool_key: None, pool: None, ..references() };
    let strangers = References { allowed: false, ..references() };
    let classless = with_pool(json!({"spec": {"classes": [
        {"name": "standard", "slaSeconds": 300, "fleets": ["spot"]}]}}));
    let message = "ConfigMap studio/flows does not exist (yet)".to_owned();
    let unmade = References { workflow: WorkflowSource::Missing { message }, ..references() };
    let huge = json!({"1": {"class_type": "Note", "inputs": {"text": "x".repeat(MAX_WORKFLOW_BYTES)}}});
    let table = [
        (job(), nowhere, PoolNotFound, Waits, "WorkerPool studio/sd15 does not exist (yet)"),
        (
            job(),
            unnamed,
            PoolNotFound,
            Waits,
            "spec.poolRef names no pool, and namespace studio has no WorkerPool with default: true",
        ),
        (
            job(),
            strangers,
            PoolNotAllowed,
            Waits,
            "WorkerPool studio/sd15 does not let namespace studio use it (spec.allowedNamespaces)",
        ),
        (
            job_with(json!({"spec": {"class": "urgent"}})),
            references(),
            ClassNotFound,
            Waits,
            "WorkerPool studio/sd15 has no class \"urgent\"; it has: immediate, standard, relaxed",
        ),
        (
            job(),
            classless,
            ClassNotFound,
            Waits,
            "spec.class is not set and WorkerPool studio/sd15 has no default class; it has: standard",
        ),
        (
            job_with(json!({"spec": {"textToImage": null}})),
            references(),
            Rejected,
            Ends,
            "give exactly one of textToImage or workflow",
        ),
        (from_config_map(), unmade, ConfigMapNotFound, Waits, "ConfigMap studio/flows does not exist (yet)"),
        (
            from_config_map(),
            config_map("{"),
            ConfigMapInvalid,
            Waits,
            "ConfigMap studio/flows, key a.json: not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            from_config_map(),
            config_map("[]"),
            ConfigMapInvalid,
            Waits,
            "ConfigMap studio/flows, key a.json: not a JSON object of node id → node",
        ),
        (
            from_config_map(),
            config_map("{}"),
            ConfigMapInvalid,
            Waits,
            "ConfigMap studio/flows, key a.json: it has no nodes",
        ),
        (
            from_config_map(),
            config_map(r#"{"nodes": [], "links": []}"#),
            ConfigMapInvalid,
            Waits,
            "ConfigMap studio/flows, key a.json: this is the editor's own format; save the workflow with Workflow > Export (API)",
        ),
        (
            workflow(&json!({})),
            references(),
            WorkflowInvalid,
            Ends,
            "give exactly one of graph or configMapRef",
        ),
        (
            with_inputs(&json!({"text": "x"})),
            references(),
            WorkflowInvalid,
            Ends,
            "spec.workflow.inputs[\"text\"]: write it as node.input, e.g. 6.text",
        ),
        (
            with_inputs(&json!({"99.text": "x"})),
            references(),
            WorkflowInvalid,
            Ends,
            "spec.workflow.inputs[\"99.text\"]: the workflow has no node \"99\"",
        ),
        (
            with_inputs(&json!({"6.prompt": "x"})),
            references(),
            WorkflowInvalid,
            Ends,
            "spec.workflow.inputs[\"6.prompt\"]: node 6 (CLIPTextEncode) has no input \"prompt\"; it has text",
        ),
        (
            workflow(&json!({"graph": {"nodes": [], "links": [], "version": 0.4}})),
            references(),
            WorkflowInvalid,
            Ends,
            "spec.workflow.graph: this is the editor's own format; save the workflow with Workflow > Export (API)",
        ),
        (
            workflow(&json!({"graph": huge})),
            references(),
            WorkflowInvalid,
            Ends,
            "the workflow has 1048677 bytes; at most 1048576 can be queued",
        ),
    ];
    for (job, references, reason, course, message) in table {
        let message = message.to_owned();
        assert_eq!(validated(&job, &references), Err(Problem { reason, message, course }));
    }
}

#[test]
fn a_plain_job_takes_the_pools_defaults() {
    let Accepted { terms, job } = accepted(&job(), &references());
    assert_eq!(terms.pool, PoolKey::new("studio", "sd15"));
    assert!(terms.seed.is_some());
    assert_eq!(terms.segments, Some(1), "it takes 4 s");
    assert_eq!((job.tenant.as_str(), job.class.as_str()), ("studio", "standard"));
    assert_eq!((job.model.as_str(), job.units), ("v1-5.safetensors", 20.0));
    assert_eq!((job.sla, job.total, job.retries), (Duration::from_secs(300), 4, 2));
    assert_eq!((job.weight, job.max_running), (1.0, None));
    assert_eq!((terms.accepted, job.arrival_ms), (at(60), millis(at(60))), "its due clock starts now");
    assert!(!job.suspended && !job.recheck && !job.listing);
}

#[test]
fn what_a_job_was_accepted_with_holds_whatever_becomes_of_its_pool() {
    let status = json!({"pool": "sd15", "class": "bulk", "tenant": "acme", "acceptedTime": at(0), "slaSeconds": 9000,
                        "weight": 7, "seed": 5, "segments": 2, "suspendedSeconds": 40});
    let before = job_with(json!({"status": status}));
    let Accepted { terms, job } = accepted(&before, &References { allowed: false, ..references() });
    assert_eq!((job.class.as_str(), job.tenant.as_str(), job.weight), ("bulk", "acme", 7.0));
    assert_eq!((job.sla, job.arrival_ms), (Duration::from_secs(9000), millis(at(40))));
    assert_eq!((terms.seed, terms.segments, terms.accepted), (Some(5), Some(2), at(0)));
    assert!(job.recheck, "some of its images may exist");
    assert_eq!(decide::first(&accepted_record()), decide::First::Look);
}

#[test]
fn a_job_makes_the_workflow_that_was_accepted_or_none() {
    let text = r#"{"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a stone bridge"}}}"#;
    let first = accepted(&from_config_map(), &config_map(text));
    let mut job = from_config_map();
    let status = json!({"pool": "sd15", "workflowDigest": first.terms.digest.unwrap()});
    job.status = serde_json::from_value(status).unwrap();
    assert!(validated(&job, &config_map(text)).is_ok());
    let pretty = text.replace(": ", ":   ");
    assert!(validated(&job, &config_map(&pretty)).is_ok(), "white space changes no workflow");
    let problem = validated(&job, &config_map(&text.replace("stone", "neon"))).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::WorkflowChanged, Course::Ends));
}

#[test]
fn a_tenants_share_is_the_pools() {
    let tenants = json!([{"name": "acme", "weight": 4, "maxRunning": 8}]);
    let references = with_pool(json!({"spec": {"fairness":
        {"tenancy": "Field", "defaultWeight": 2, "tenants": tenants}, "limits": {"maxRunningPerTenant": 3}}}));
    let share = |tenant: &str| {
        let job = accepted(&job_with(json!({"spec": {"tenant": tenant}})), &references).job;
        (job.weight, job.max_running)
    };
    assert_eq!(share("acme"), (4.0, Some(8)));
    assert_eq!(share("other"), (2.0, Some(3)));
}

#[test]
fn only_a_pool_that_says_so_takes_a_jobs_word_for_its_tenant() {
    let foreign = job_with(json!({"spec": {"tenant": "acme"}}));
    let problem = validated(&foreign, &references()).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::TenantNotAllowed, Course::Waits));
    assert_eq!(
        accepted(&job_with(json!({"spec": {"tenant": "studio"}})), &references()).job.tenant,
        "studio"
    );
    let by_field = with_pool(json!({"spec": {"fairness": {"tenancy": "Field"}}}));
    assert_eq!(accepted(&foreign, &by_field).job.tenant, "acme");
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
        assert_eq!(record(&job).units(), Some(units), "as scaling learns it");
    }
}

#[test]
fn a_seed_is_kept_and_a_drawn_one_is_the_jobs_own_and_leaves_room_for_all_its_images() {
    let given = job_with(json!({"spec": {"textToImage": {"seed": 42}}}));
    assert_eq!(accepted(&given, &references()).terms.seed, Some(42));
    let uid = |n: u128| {
        format!("{:08x}-{:04x}-4000-8000-{:012x}", n % 7919, n % 65_536, n * 0x1234_5678_9abc % (1 << 48))
    };
    let mut drawn = std::collections::HashSet::new();
    for n in 0..200 {
        let job = job_with(json!({"metadata": {"uid": uid(n)}}));
        let accepted = accepted(&job, &references());
        let seed = accepted.terms.seed.unwrap();
        assert_eq!(drawn_seed(&record(&job)), seed, "the same however often it is asked");
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
        assert_eq!(accepted.terms.segments, Some(task.segments), "what the worker is told");
        task.segments
    };
    assert_eq!(told(&job(), &slow()), 4);
    let pool = pool_with(json!({"spec": {"segmentSeconds": 20}}));
    assert_eq!(told(&job(), &References { pool: Some(Arc::new(pool)), ..slow() }), 2, "as the pool says");
    assert_eq!(told(&job_with(json!({"spec": {"class": "immediate"}})), &slow()), 1, "it runs on demand");

    // The pool has learned since, or was changed.
    let before = job_with(json!({"status": {"pool": "sd15", "segments": 3}}));
    assert_eq!(told(&before, &slow()), 3);
    assert_eq!(told(&before, &references()), 3);
}

#[test]
fn a_workflows_inputs_are_set_and_what_it_loads_is_its_model() {
    let job = with_inputs(&json!({"6.text": "a harbour", "4.ckpt_name": "turbo.safetensors"}));
    let accepted = accepted(&job, &references());
    assert_eq!((accepted.terms.seed, accepted.job.units), (None, WORKFLOW_UNITS));
    assert_eq!(accepted.job.model, "turbo.safetensors", "after the inputs are set");
    let queue::Work::Workflow { graph } = task_of(&accepted).work else { panic!("another kind of work") };
    assert_eq!(graph["6"]["inputs"]["text"], "a harbour");
}

#[test]
fn a_workflow_may_lie_in_a_config_map() {
    let text = r#"{"1": {"class_type": "SaveImage", "inputs": {}}}"#;
    let accepted = accepted(&from_config_map(), &config_map(text));
    assert_eq!(accepted.job.model, "", "it loads none");
    assert!(matches!(task_of(&accepted).work, queue::Work::Workflow { graph } if graph.contains_key("1")));
}

#[test]
fn a_job_with_more_images_than_a_status_lists_gets_a_listing() {
    for (count, listing) in [(100, false), (101, true)] {
        assert_eq!(
            accepted(&job_with(json!({"spec": {"count": count}})), &references()).job.listing,
            listing
        );
    }
}
