//! From what a user wrote and what it refers to, to a job the queue can take. Pure.

use std::time::Duration;

use crds::{
    ClassSpec, ImageJob, TextToImage, Work, WorkerPool, Workflow,
    conditions::{JobReason, cut},
};
use kube::ResourceExt as _;
use queue::{Job, JobUid, TaskSpec};
use serde_json::{Map, Value};

use super::{
    observe::{References, WorkflowSource},
    segments,
};
use crate::context::PoolKey;

/// A workflow's JSON, as it would be queued, may be so large. An image task carries it once.
const MAX_WORKFLOW_BYTES: usize = 1024 * 1024;
/// 2^53 − 1: the largest integer every JSON reader keeps exactly.
const MAX_SEED: u64 = (1 << 53) - 1;
/// We can't tell what is in a workflow: one image of it is one unit.
const WORKFLOW_UNITS: f64 = 1.0;
/// GPU time of one unit, ms, until the queue has learnt it: of a picture, and of a workflow.
const GUESSED_UNIT_MS: (f64, f64) = (100.0, 20_000.0);
/// The largest `spec.count`; image i uses seed + i, and all of them must stay exact.
const MAX_COUNT: u64 = 10_000;

/// A job that can be queued.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) pool: PoolKey,
    pub(crate) decided: Decided,
    pub(crate) job: Job,
}

/// What is decided once for a job with textToImage, and kept in its status: else the same job, queued again, would
/// make other pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Decided {
    /// Seed of image 0.
    pub(crate) seed: Option<u64>,
    /// In how many segments each image is made.
    pub(crate) segments: Option<u32>,
}

/// Why a job can't be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: JobReason,
    pub(crate) message: String,
    pub(crate) outlook: Outlook,
}

/// Whether a problem may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Something it refers to may yet appear.
    MayPass,
    /// It will never work.
    Final,
}

impl Problem {
    pub(crate) fn waiting(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), outlook: Outlook::MayPass }
    }

    pub(crate) fn fatal(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), outlook: Outlook::Final }
    }
}

/// The job as the queue takes it, or why it can't.
pub(crate) fn validate(job: &ImageJob, references: &References) -> Result<Accepted, Problem> {
    let References { pool_key, pool, allowed, workflow, image_seconds } = references;
    let (Some(key), Some(pool)) = (pool_key, pool) else {
        return Err(no_pool(job, pool_key.as_ref()));
    };
    if !allowed {
        return Err(Problem::fatal(
            JobReason::PoolNotAllowed,
            format!(
                "WorkerPool {key} does not let namespace {} use it (spec.allowedNamespaces)",
                namespace(job)
            ),
        ));
    }
    let class = class(job, key, pool)?;
    let segments = |picture: &TextToImage| {
        segments::segments(picture, class.capacity, *image_seconds, pool.spec.segment_seconds)
    };
    let (task, units, model, decided) = work(job, workflow, segments)?;
    let payload = serde_json::to_vec(&task).map_err(|error| {
        Problem::fatal(JobReason::WorkflowInvalid, format!("the work is not JSON: {error}"))
    })?;
    if payload.len() > MAX_WORKFLOW_BYTES {
        return Err(Problem::fatal(
            JobReason::WorkflowInvalid,
            format!("the workflow has {} bytes; at most {MAX_WORKFLOW_BYTES} can be queued", payload.len()),
        ));
    }
    let (kind, unit_ms) = match task.work {
        queue::Work::TextToImage(_) => ("textToImage", GUESSED_UNIT_MS.0),
        queue::Work::Workflow { .. } => ("workflow", GUESSED_UNIT_MS.1),
    };
    let tenant = tenant(job);
    let share = pool.spec.fairness.tenants.iter().find(|share| share.name == tenant);
    let weight = share.map_or(pool.spec.fairness.default_weight, |share| share.weight);
    Ok(Accepted {
        pool: key.clone(),
        decided,
        job: Job {
            uid: uid(job),
            weight: f64::from(weight),
            max_running: share.and_then(|share| share.max_running),
            tenant,
            class: class.name.clone(),
            work: format!("{kind} {model}"),
            unit_ms,
            model,
            arrival_ms: created_ms(job),
            sla: Duration::from_secs(u64::from(class.sla_seconds)),
            units,
            total: job.spec.count,
            retries: job.spec.retries,
            max_failed_images: None,
            listing: false,
            recheck: false,
            suspended: job.spec.suspend,
            payload: payload.into(),
        },
    })
}

fn no_pool(job: &ImageJob, key: Option<&PoolKey>) -> Problem {
    let message = match key {
        Some(key) => format!("WorkerPool {key} does not exist (yet)"),
        None => format!(
            "spec.poolRef names no pool, and namespace {} has no WorkerPool with default: true",
            namespace(job)
        ),
    };
    Problem::waiting(JobReason::PoolNotFound, message)
}

fn class<'a>(job: &ImageJob, key: &PoolKey, pool: &'a WorkerPool) -> Result<&'a ClassSpec, Problem> {
    let classes = &pool.spec.classes;
    let found = match &job.spec.class {
        Some(name) => classes.iter().find(|class| class.name == *name),
        None => classes.iter().find(|class| class.default),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        let names = names.join(", ");
        let message = match &job.spec.class {
            Some(name) => format!("WorkerPool {key} has no class {name:?}; it has: {names}"),
            None => {
                format!("spec.class is not set and WorkerPool {key} has no default class; it has: {names}")
            }
        };
        Problem::fatal(JobReason::ClassNotFound, message)
    })
}

/// What to do, its size in units, the model it needs, and what was decided for it.
fn work(
    job: &ImageJob,
    source: &WorkflowSource,
    segments: impl Fn(&TextToImage) -> u32,
) -> Result<(TaskSpec, f64, String, Decided), Problem> {
    let timeout_seconds = job.spec.timeout_seconds;
    let work = job.spec.work().map_err(|error| Problem::fatal(JobReason::Rejected, error.to_string()))?;
    match work {
        Work::TextToImage(text_to_image) => {
            let seed = text_to_image.seed.unwrap_or_else(|| drawn_seed(job));
            let before = job.status.as_ref().and_then(|status| status.segments);
            let segments = before.unwrap_or_else(|| segments(text_to_image));
            let work = queue::Work::TextToImage(task(text_to_image, seed, segments));
            let decided = Decided { seed: Some(seed), segments: Some(segments) };
            let task = TaskSpec { work, timeout_seconds };
            Ok((task, units(text_to_image), text_to_image.model.clone(), decided))
        }
        Work::Workflow(workflow) => {
            let mut graph = graph(workflow, source)?;
            set_inputs(&mut graph, &workflow.inputs)?;
            let model = checkpoint(&graph).unwrap_or_default();
            Ok((
                TaskSpec { work: queue::Work::Workflow { graph }, timeout_seconds },
                WORKFLOW_UNITS,
                model,
                Decided::default(),
            ))
        }
    }
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

/// Steps × width × height / 512²: what the time of an image grows with.
pub(crate) fn units(t: &TextToImage) -> f64 {
    f64::from(t.steps) * f64::from(t.width) * f64::from(t.height) / (512.0 * 512.0)
}

/// Drawn from the job's uid, which is random: the same job has the same seed, however often it is asked.
fn drawn_seed(job: &ImageJob) -> u64 {
    let uid = job.uid().unwrap_or_default();
    let digits: String = uid.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).unwrap_or_default();
    let range = u128::from(MAX_SEED - MAX_COUNT);
    u64::try_from(number % range).unwrap_or_default()
}

fn graph(workflow: &Workflow, source: &WorkflowSource) -> Result<Map<String, Value>, Problem> {
    if let Some(graph) = &workflow.graph {
        return Ok(graph.clone());
    }
    match source {
        WorkflowSource::Text { at, text } => {
            let invalid = |why: String| Problem::fatal(JobReason::ConfigMapInvalid, format!("{at}: {why}"));
            let value: Value = serde_json::from_str(text)
                .map_err(|error| invalid(format!("not JSON: {}", cut(&error.to_string(), 200))))?;
            let Value::Object(graph) = value else {
                return Err(invalid("not a JSON object of node id → node".into()));
            };
            match graph.iter().find(|(_, node)| !node.get("class_type").is_some_and(Value::is_string)) {
                Some((id, _)) => Err(invalid(format!(
                    "node {:?} has no class_type; save the workflow in ComfyUI's API format",
                    cut(id, 60)
                ))),
                None if graph.is_empty() => Err(invalid("it has no nodes".into())),
                None => Ok(graph),
            }
        }
        WorkflowSource::Missing { message } => {
            Err(Problem::waiting(JobReason::ConfigMapNotFound, message.clone()))
        }
        WorkflowSource::Inline => {
            Err(Problem::fatal(JobReason::WorkflowInvalid, "give exactly one of graph or configMapRef"))
        }
    }
}

fn set_inputs(graph: &mut Map<String, Value>, inputs: &Map<String, Value>) -> Result<(), Problem> {
    for (path, value) in inputs {
        let invalid = |why: &str| {
            Err(Problem::fatal(JobReason::WorkflowInvalid, format!("spec.workflow.inputs[{path:?}]: {why}")))
        };
        let Some((node, input)) = path.split_once('.') else {
            return invalid("write it as node.input, e.g. 6.text");
        };
        let Some(Value::Object(node)) = graph.get_mut(node) else {
            return invalid("the workflow has no such node");
        };
        let inputs = node.entry("inputs").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inputs) = inputs else {
            return invalid("the node's inputs are not an object");
        };
        inputs.insert(input.to_owned(), value.clone());
    }
    Ok(())
}

/// Units of work in one image of a job and the model it needs, as the queue was told; `None` where a ConfigMap
/// says.
pub(crate) fn size(job: &ImageJob) -> Option<(f64, String)> {
    match job.spec.work().ok()? {
        Work::TextToImage(text_to_image) => Some((units(text_to_image), text_to_image.model.clone())),
        Work::Workflow(workflow) => {
            let mut graph = workflow.graph.clone()?;
            set_inputs(&mut graph, &workflow.inputs).ok()?;
            Some((WORKFLOW_UNITS, checkpoint(&graph).unwrap_or_default()))
        }
    }
}

/// The checkpoint a workflow loads, if it loads one with the stock loader.
fn checkpoint(graph: &Map<String, Value>) -> Option<String> {
    let loader = graph.values().find(|node| node["class_type"] == "CheckpointLoaderSimple")?;
    loader["inputs"]["ckpt_name"].as_str().map(str::to_owned)
}

pub(crate) fn uid(job: &ImageJob) -> JobUid {
    JobUid(job.uid().unwrap_or_default())
}

pub(crate) fn namespace(job: &ImageJob) -> &str {
    job.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn tenant(job: &ImageJob) -> String {
    job.spec.tenant.clone().unwrap_or_else(|| namespace(job).to_owned())
}

/// Milliseconds since the Unix epoch.
pub(crate) fn created_ms(job: &ImageJob) -> u64 {
    job.creation_timestamp().and_then(|t| u64::try_from(t.0.as_millisecond()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
