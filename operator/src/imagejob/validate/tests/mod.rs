use crds::ImageJob;
use queue::TaskSpec;
use serde_json::{Value, json};

use super::*;
use crate::{
    fixtures::{accepted_record, at, job_with, pool, pool_of, pool_with},
    imagejob::decide,
    index::record,
};

mod engines;
mod inputs;
mod recipes;
mod work;
mod workflows;

fn references() -> References {
    References {
        pool_key: Some(PoolKey::new("studio", "sd15")),
        pool: Some(Arc::new(pool())),
        allowed: true,
        workflow: Source::Inline,
        recipe: Source::Inline,
        files: BTreeMap::new(),
        labels_carried: BTreeMap::new(),
        traceparent: None,
        known: None,
    }
}

fn with_pool(change: Value) -> References {
    References { pool: Some(Arc::new(pool_with(change))), ..references() }
}

fn job() -> ImageJob {
    job_with(json!({}))
}

/// A job that asks for more of its text to image.
fn from_text(more: &Value) -> ImageJob {
    job_with(json!({"spec": {"work": {"textToImage": more}}}))
}

/// A job of one image, with a workflow in place of a prompt.
fn workflow(workflow: &Value) -> ImageJob {
    let work = json!({"type": "Workflow", "textToImage": null, "workflow": workflow});
    job_with(json!({"spec": {"count": 1, "work": work}}))
}

fn config_map(text: &str) -> References {
    References { workflow: Source::Found(text.into()), ..references() }
}

fn unmade() -> Source<Vec<u8>> {
    Source::Missing { message: "ConfigMap studio/flows does not exist (yet)".to_owned() }
}

fn graph() -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 30, "model": ["4", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn"}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "barn"}},
    })
}

/// A workflow whose nodes are changed by a JSON merge.
fn with_graph(change: &Value, more: &Value) -> ImageJob {
    let mut asked = json!({"graph": graph()});
    json_patch::merge(&mut asked["graph"], change);
    json_patch::merge(&mut asked, more);
    workflow(&asked)
}

fn with_inputs(inputs: &Value) -> ImageJob {
    with_graph(&json!({}), &json!({"inputs": inputs}))
}

fn of_images(count: u32, mut job: ImageJob) -> ImageJob {
    job.spec.count = count;
    job
}

/// Each image takes so many seconds.
fn validated_at(job: &ImageJob, references: &References, seconds: f64) -> Result<Accepted, Problem> {
    validate(&record(job), &job.spec, references, |_, _| seconds, at(60))
}

fn validated(job: &ImageJob, references: &References) -> Result<Accepted, Problem> {
    validated_at(job, references, 4.0)
}

fn accepted(job: &ImageJob, references: &References) -> Accepted {
    validated(job, references).unwrap()
}

fn task_of(accepted: &Accepted) -> TaskSpec {
    serde_json::from_slice(&accepted.job.payload).unwrap()
}

/// A job is not accepted, and what it is told.
fn refused(job: &ImageJob, references: &References, reason: JobReason, course: Course, message: &str) {
    let message = message.to_owned();
    assert_eq!(validated(job, references), Err(Problem { reason, message, course }));
}

#[test]
fn what_a_job_waits_for_is_said_with_a_reason_and_what_to_do() {
    use JobReason::{ClassNotFound, DueTooSoon, PoolNotAllowed, PoolNotFound, TenantNotAllowed};
    let nowhere = References { pool: None, ..references() };
    let unnamed = References { pool_key: None, pool: None, ..references() };
    let strangers = References { allowed: false, ..references() };
    let classless = with_pool(json!({"spec": {"classes": [
        {"name": "standard", "slaSeconds": 300, "fleets": ["spot"]}]}}));
    let table = [
        (job(), nowhere, PoolNotFound, "WorkerPool studio/sd15 does not exist (yet)"),
        (
            job(),
            unnamed,
            PoolNotFound,
            "spec.poolRef names no pool, and namespace studio has no WorkerPool with default: true",
        ),
        (
            job(),
            strangers,
            PoolNotAllowed,
            "WorkerPool studio/sd15 does not let namespace studio use it (spec.allowedNamespaces)",
        ),
        (
            job_with(json!({"spec": {"class": "urgent"}})),
            references(),
            ClassNotFound,
            "WorkerPool studio/sd15 has no class \"urgent\"; it has: immediate, standard, relaxed",
        ),
        (
            job(),
            classless,
            ClassNotFound,
            "spec.class is not set and WorkerPool studio/sd15 has no default class; it has: standard",
        ),
        (
            job_with(json!({"spec": {"tenant": "acme"}})),
            references(),
            TenantNotAllowed,
            "spec.tenant is \"acme\", and WorkerPool studio/sd15 takes the namespace, studio, for the tenant \
             (spec.fairness.tenancy)",
        ),
        (
            job_with(json!({"spec": {"dueWithinSeconds": 299}})),
            references(),
            DueTooSoon,
            "spec.dueWithinSeconds is 299, and class standard promises 300 seconds; choose a more urgent class",
        ),
    ];
    for (job, references, reason, message) in table {
        refused(&job, &references, reason, Course::Waits, message);
    }
}

#[test]
fn a_plain_job_takes_the_pools_defaults() {
    let Accepted { terms, job } = accepted(&job(), &references());
    assert_eq!(terms.pool, PoolKey::new("studio", "sd15"));
    assert_eq!(terms.pool_uid.as_deref(), pool().metadata.uid.as_deref());
    assert!(terms.seed.is_some());
    assert_eq!(terms.segments, Some(1), "it takes 4 s");
    assert_eq!((job.tenant.as_str(), job.class.as_str()), ("studio", "standard"));
    assert_eq!((job.model.as_str(), job.work.as_str()), ("v1-5.safetensors", "t:v1-5.safetensors"));
    assert_eq!((job.units, job.unit_ms), (20.0, 100.0));
    assert_eq!((job.sla, job.total, job.retries), (Duration::from_secs(300), 4, 2));
    assert_eq!((job.weight, job.max_running), (1.0, None));
    assert_eq!((terms.accepted, job.arrival_ms), (at(60), millis(at(60))), "its due clock starts now");
    assert!(!job.suspended && !job.recheck && !job.listing);
}

#[test]
fn what_a_job_was_accepted_with_holds_whatever_becomes_of_its_pool() {
    let status = json!({"pool": pool_of("sd15"), "class": "bulk", "tenant": "acme", "acceptedTime": at(0),
                        "slaSeconds": 9000, "weight": 7, "seed": 5, "segments": 2, "suspendedSeconds": 40});
    let before = job_with(json!({"spec": {"dueWithinSeconds": 9}, "status": status}));
    let strict = with_pool(json!({"spec": {"limits": {"maxCount": 1}}}));
    let Accepted { terms, job } = accepted(&before, &References { allowed: false, ..strict });
    assert_eq!((job.class.as_str(), job.tenant.as_str(), job.weight), ("bulk", "acme", 7.0));
    assert_eq!((job.sla, job.arrival_ms), (Duration::from_secs(9000), millis(at(40))));
    assert_eq!((terms.seed, terms.segments, terms.accepted), (Some(5), Some(2), at(0)));
    assert!(job.recheck, "some of its images may exist");
    assert_eq!(decide::first(&accepted_record()), decide::First::Look);
}

#[test]
fn a_job_that_has_more_time_than_its_class_gives_is_promised_that() {
    for (spec, seconds) in [
        (json!({}), 300),
        (json!({"dueWithinSeconds": 300}), 300),
        (json!({"dueWithinSeconds": 9000}), 9000),
        (json!({"class": "immediate", "dueWithinSeconds": 299}), 299),
    ] {
        let Accepted { job, terms } = accepted(&job_with(json!({"spec": spec})), &references());
        assert_eq!((job.sla, terms.sla_seconds), (Duration::from_secs(seconds.into()), seconds), "{spec}");
    }
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
    let own = job_with(json!({"spec": {"tenant": "studio"}}));
    assert_eq!(accepted(&own, &references()).job.tenant, "studio");
    let by_field = with_pool(json!({"spec": {"fairness": {"tenancy": "Field"}}}));
    let foreign = job_with(json!({"spec": {"tenant": "acme"}}));
    assert_eq!(accepted(&foreign, &by_field).job.tenant, "acme");
}

#[test]
fn a_suspended_job_is_queued_without_being_claimed() {
    assert!(accepted(&job_with(json!({"spec": {"suspend": true}})), &references()).job.suspended);
}

#[test]
fn a_job_with_more_images_than_a_status_lists_gets_a_listing() {
    for (count, listing) in [(100, false), (101, true)] {
        let job = job_with(json!({"spec": {"count": count}}));
        assert_eq!(accepted(&job, &references()).job.listing, listing);
    }
}

#[test]
fn workers_are_told_the_form_of_the_files_and_the_labels_of_their_objects() {
    use queue::{Form, Format};
    let form = |output: Value| {
        let accepted = accepted(&job_with(json!({"spec": {"output": output}})), &references());
        task_of(&accepted).form
    };
    let table = [
        (json!({}), Form::default()),
        (json!({"metadata": "Strip"}), Form::default()),
        (json!({"metadata": "Keep"}), Form { keep_texts: true, ..Form::default() }),
        (json!({"format": "png"}), Form { format: Some(Format::Png), ..Form::default() }),
        (json!({"format": "jpeg"}), Form { format: Some(Format::Jpeg), ..Form::default() }),
        (json!({"format": "avif"}), Form { format: Some(Format::Avif), ..Form::default() }),
        (
            json!({"format": "webp", "quality": 80}),
            Form { format: Some(Format::Webp), quality: Some(80), keep_texts: false },
        ),
    ];
    for (output, want) in table {
        assert_eq!(form(output.clone()), want, "{output}");
    }
    let labels = BTreeMap::from([("team".to_owned(), "art".to_owned())]);
    let carried = References { labels_carried: labels.clone(), ..references() };
    assert_eq!(task_of(&accepted(&job(), &carried)).labels, labels);
    assert!(task_of(&accepted(&job(), &references())).labels.is_empty());
}
