//! From what a user wrote and what it refers to, to a job the queue can take. Pure.

use std::{sync::Arc, time::Duration};

use crds::{
    ClassSpec, ImageJobSpec, JobOutput, Tenancy, TenantShare, TextToImage, Work, WorkerPool, Workflow,
    conditions::{JobReason, cut},
};
use jiff::Timestamp;
use queue::{Job, TaskSpec};
use serde_json::Value;

use super::{
    graph::{self, Graph},
    listing::MAX_IMAGES,
    segments,
};
use crate::index::{JobRecord, PoolKey, Terms, picture_work, units};

/// A workflow's JSON, as it would be queued, may be so large.
const MAX_WORKFLOW_BYTES: usize = 1024 * 1024;
/// 2^53 − 1: the largest integer every JSON reader keeps exactly.
const MAX_SEED: u64 = (1 << 53) - 1;
/// We can't tell what is in a workflow: one image of it is one unit.
const WORKFLOW_UNITS: f64 = 1.0;
/// GPU time of one unit, ms, until the queue has learned it: of a picture, and of a workflow.
const GUESSED_UNIT_MS: (f64, f64) = (100.0, 20_000.0);
/// The largest `spec.count`; image i uses seed + i, and all of them must stay exact.
const MAX_COUNT: u64 = 10_000;

/// What a job refers to.
#[derive(Debug, Clone)]
pub(crate) struct References {
    /// The pool that accepted it, else the one it names or the namespace's default one.
    pub(crate) pool_key: Option<PoolKey>,
    /// That pool, if it exists.
    pub(crate) pool: Option<Arc<WorkerPool>>,
    /// Whether the pool lets the job's namespace use it.
    pub(crate) allowed: bool,
    pub(crate) workflow: WorkflowSource,
    /// What one image of textToImage should take, by what the pool has learned; 0 for a workflow.
    pub(crate) image_seconds: f64,
}

/// Where a job's workflow is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkflowSource {
    /// In the job itself, or there is none.
    Inline,
    /// In a ConfigMap.
    Text {
        /// For messages: `ConfigMap studio/flows, key a.json`.
        at: String,
        text: String,
    },
    /// The ConfigMap or its key is not there.
    Missing { message: String },
}

/// A job that can be queued.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) job: Job,
    pub(crate) terms: Terms,
}

/// Why a job can't be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: JobReason,
    pub(crate) message: String,
    pub(crate) course: Course,
}

/// What a problem makes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits: something it refers to may yet appear or change.
    Waits,
    /// It ends: its own spec will never work.
    Ends,
}

impl Problem {
    pub(crate) fn waits(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), course: Course::Waits }
    }

    pub(crate) fn ends(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), course: Course::Ends }
    }
}

/// The job as the queue takes it, or why it can't. What it was accepted with before holds.
pub(crate) fn validate(
    record: &JobRecord,
    spec: &ImageJobSpec,
    references: &References,
    now: Timestamp,
) -> Result<Accepted, Problem> {
    let References { pool_key, pool, allowed, workflow, image_seconds } = references;
    let before = record.told.terms.as_deref();
    let (Some(key), Some(pool)) = (pool_key, pool) else {
        return Err(no_pool(record, pool_key.as_ref()));
    };
    if !allowed && before.is_none() {
        return Err(not_allowed(record, key));
    }
    let promise = match before {
        Some(terms) => Promise::kept(terms, pool),
        None => Promise::new(record, spec, key, pool)?,
    };
    let segments = |picture: &TextToImage| match before.and_then(|terms| terms.segments) {
        Some(segments) => segments,
        None => segments::segments(picture, promise.capacity, *image_seconds, pool.spec.segment_seconds),
    };
    let made = work(record, spec, workflow, segments)?;
    if let Some(accepted) = before.and_then(|terms| terms.digest.as_deref())
        && made.digest.as_deref() != Some(accepted)
    {
        return Err(changed());
    }
    let payload = payload(&made.task)?;
    let terms = Terms {
        pool: key.clone(),
        class: promise.class.as_str().into(),
        tenant: promise.tenant.as_str().into(),
        model: Some(made.model.as_str().into()),
        work: Some(made.work.as_str().into()),
        units: Some(made.units),
        accepted: before.map_or(now, |terms| terms.accepted),
        sla_seconds: promise.sla_seconds,
        weight: promise.weight,
        seed: made.seed,
        segments: made.segments,
        digest: made.digest.map(Into::into),
        output: before.and_then(|terms| terms.output.clone()).or_else(|| Some(Arc::new(output(pool)))),
    };
    let arrival = if before.is_some() { record.told.arrival().unwrap_or(now) } else { now };
    Ok(Accepted {
        job: Job {
            uid: record.uid.job(),
            weight: f64::from(promise.weight),
            max_running: promise.max_running,
            tenant: promise.tenant,
            class: promise.class,
            model: made.model,
            work: made.work,
            unit_ms: made.unit_ms,
            arrival_ms: millis(arrival),
            sla: Duration::from_secs(u64::from(promise.sla_seconds)),
            units: made.units,
            total: spec.count,
            retries: spec.retries,
            max_failed_images: spec.max_failed_images,
            listing: spec.count as usize > MAX_IMAGES,
            recheck: before.is_some(),
            suspended: spec.suspend,
            payload: payload.into(),
        },
        terms,
    })
}

/// What a job's class and tenant are promised.
struct Promise {
    class: String,
    tenant: String,
    sla_seconds: u32,
    weight: u32,
    max_running: Option<u32>,
    capacity: crds::ClassCapacity,
}

impl Promise {
    fn new(
        record: &JobRecord,
        spec: &ImageJobSpec,
        key: &PoolKey,
        pool: &WorkerPool,
    ) -> Result<Self, Problem> {
        let class = class(spec, key, pool)?;
        let tenant = tenant(record, key, pool)?;
        let share = share(pool, &tenant);
        Ok(Self {
            class: class.name.clone(),
            sla_seconds: class.sla_seconds,
            weight: share.map_or(pool.spec.fairness.default_weight, |share| share.weight),
            max_running: max_running(pool, &tenant),
            capacity: class.capacity(&pool.spec),
            tenant,
        })
    }

    /// How many images of a tenant run at once is the pool's to say at any time.
    fn kept(terms: &Terms, pool: &WorkerPool) -> Self {
        Self {
            class: terms.class.to_string(),
            tenant: terms.tenant.to_string(),
            sla_seconds: terms.sla_seconds,
            weight: terms.weight,
            max_running: max_running(pool, &terms.tenant),
            capacity: crds::ClassCapacity::Spot,
        }
    }
}

fn share<'a>(pool: &'a WorkerPool, tenant: &str) -> Option<&'a TenantShare> {
    pool.spec.fairness.tenants.iter().find(|share| share.name == tenant)
}

/// How many images of a tenant may be made at once.
fn max_running(pool: &WorkerPool, tenant: &str) -> Option<u32> {
    match share(pool, tenant) {
        Some(share) => share.max_running,
        None => pool.spec.limits.max_running_per_tenant,
    }
}

/// Whose job it is, if the pool lets the job say so.
fn tenant(record: &JobRecord, key: &PoolKey, pool: &WorkerPool) -> Result<String, Problem> {
    let tenant = record.tenant();
    match pool.spec.fairness.tenancy {
        Tenancy::Namespace if *tenant != record.namespace => Err(Problem::waits(
            JobReason::TenantNotAllowed,
            format!(
                "spec.tenant is {tenant:?}, and WorkerPool {key} takes the namespace, {}, for the tenant \
                 (spec.fairness.tenancy)",
                record.namespace
            ),
        )),
        Tenancy::Namespace | Tenancy::Field => Ok(tenant.to_string()),
    }
}

/// Where a pool's images go.
pub(crate) fn output(pool: &WorkerPool) -> JobOutput {
    let output = &pool.spec.output;
    JobOutput {
        endpoint: output.endpoint.clone(),
        bucket: output.bucket.clone(),
        key_prefix: output.key_prefix.clone(),
        public_url: output.public_url.clone(),
    }
}

fn changed() -> Problem {
    Problem::ends(
        JobReason::WorkflowChanged,
        "the ConfigMap holds another workflow than the one that was accepted, and the queue has lost that one; images \
         made so far stay",
    )
}

fn not_allowed(record: &JobRecord, key: &PoolKey) -> Problem {
    Problem::waits(
        JobReason::PoolNotAllowed,
        format!(
            "WorkerPool {key} does not let namespace {} use it (spec.allowedNamespaces)",
            record.namespace
        ),
    )
}

/// That the pool is not there.
pub(crate) fn no_pool(record: &JobRecord, key: Option<&PoolKey>) -> Problem {
    let message = match key {
        Some(key) => format!("WorkerPool {key} does not exist (yet)"),
        None => format!(
            "spec.poolRef names no pool, and namespace {} has no WorkerPool with default: true",
            record.namespace
        ),
    };
    Problem::waits(JobReason::PoolNotFound, message)
}

fn class<'a>(spec: &ImageJobSpec, key: &PoolKey, pool: &'a WorkerPool) -> Result<&'a ClassSpec, Problem> {
    let classes = &pool.spec.classes;
    let found = match &spec.class {
        Some(name) => classes.iter().find(|class| class.name == *name),
        None => classes.iter().find(|class| class.default),
    };
    found.ok_or_else(|| {
        let message = match &spec.class {
            Some(name) => no_class(name, key, pool),
            None => format!(
                "spec.class is not set and WorkerPool {key} has no default class; it has: {}",
                class_names(pool)
            ),
        };
        Problem::waits(JobReason::ClassNotFound, message)
    })
}

/// That a pool has no class of this name.
pub(crate) fn no_class(name: &str, key: &PoolKey, pool: &WorkerPool) -> String {
    format!("WorkerPool {key} has no class {name:?}; it has: {}", class_names(pool))
}

fn class_names(pool: &WorkerPool) -> String {
    let names: Vec<&str> = pool.spec.classes.iter().map(|class| class.name.as_str()).collect();
    names.join(", ")
}

/// What is to be made.
struct Made {
    task: TaskSpec,
    units: f64,
    /// What tells it from other work in how long a unit takes, and a guess of that.
    work: String,
    unit_ms: f64,
    model: String,
    seed: Option<u64>,
    segments: Option<u32>,
    digest: Option<String>,
}

fn work(
    record: &JobRecord,
    spec: &ImageJobSpec,
    source: &WorkflowSource,
    segments: impl Fn(&TextToImage) -> u32,
) -> Result<Made, Problem> {
    let timeout_seconds = spec.timeout_seconds;
    let work = spec.work().map_err(|error| Problem::ends(JobReason::Rejected, error.to_string()))?;
    match work {
        Work::TextToImage(picture) => {
            let kept = record.told.terms.as_ref().and_then(|terms| terms.seed);
            let seed = kept.or(picture.seed).unwrap_or_else(|| drawn_seed(record));
            let segments = segments(picture);
            Ok(Made {
                units: units(picture),
                work: picture_work(&picture.model),
                unit_ms: GUESSED_UNIT_MS.0,
                model: picture.model.clone(),
                task: TaskSpec {
                    work: queue::Work::TextToImage(task(picture, seed, segments)),
                    timeout_seconds,
                },
                seed: Some(seed),
                segments: Some(segments),
                digest: None,
            })
        }
        Work::Workflow(workflow) => {
            let mut graph = graph(workflow, source)?;
            let invalid = |why| Problem::ends(JobReason::WorkflowInvalid, why);
            graph::set_inputs(&mut graph, &workflow.inputs).map_err(invalid)?;
            graph::settle_seeds(&mut graph, spec.count).map_err(invalid)?;
            Ok(Made {
                units: WORKFLOW_UNITS,
                work: graph::work(&graph),
                unit_ms: GUESSED_UNIT_MS.1,
                model: graph::model(&graph),
                digest: Some(graph::digest(&graph)),
                task: TaskSpec { work: queue::Work::Workflow { graph }, timeout_seconds },
                seed: None,
                segments: None,
            })
        }
    }
}

fn payload(task: &TaskSpec) -> Result<Vec<u8>, Problem> {
    let invalid = |why: String| Problem::ends(JobReason::WorkflowInvalid, why);
    let payload =
        serde_json::to_vec(task).map_err(|error| invalid(format!("the work is not JSON: {error}")))?;
    if payload.len() > MAX_WORKFLOW_BYTES {
        let bytes = payload.len();
        return Err(invalid(format!(
            "the workflow has {bytes} bytes; at most {MAX_WORKFLOW_BYTES} can be queued"
        )));
    }
    Ok(payload)
}

fn task(text_to_image: &TextToImage, seed: u64, segments: u32) -> queue::TextToImage {
    let TextToImage {
        model,
        prompt,
        negative_prompt,
        width,
        height,
        steps,
        cfg_scale,
        sampler,
        scheduler,
        seed: _,
    } = text_to_image.clone();
    queue::TextToImage {
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
    }
}

/// Drawn from the job's uid, which is random: the same job has the same seed, however often it is asked.
fn drawn_seed(record: &JobRecord) -> u64 {
    let range = u128::from(MAX_SEED - MAX_COUNT);
    u64::try_from(record.uid.number() % range).unwrap_or_default()
}

fn graph(workflow: &Workflow, source: &WorkflowSource) -> Result<Graph, Problem> {
    if let Some(graph) = &workflow.graph {
        let invalid = |why| Problem::ends(JobReason::WorkflowInvalid, format!("spec.workflow.graph: {why}"));
        return graph::check(graph).map(|()| graph.clone()).map_err(invalid);
    }
    match source {
        WorkflowSource::Text { at, text } => {
            let invalid = |why: String| Problem::waits(JobReason::ConfigMapInvalid, format!("{at}: {why}"));
            let value: Value = serde_json::from_str(text)
                .map_err(|error| invalid(format!("not JSON: {}", cut(&error.to_string(), 200))))?;
            let Value::Object(graph) = value else {
                return Err(invalid("not a JSON object of node id → node".into()));
            };
            graph::check(&graph).map_err(invalid)?;
            Ok(graph)
        }
        WorkflowSource::Missing { message } => {
            Err(Problem::waits(JobReason::ConfigMapNotFound, message.clone()))
        }
        WorkflowSource::Inline => {
            Err(Problem::ends(JobReason::WorkflowInvalid, "give exactly one of graph or configMapRef"))
        }
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
