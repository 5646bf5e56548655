//! From what a job asks for to what a worker runs. Pure.

mod picture;
mod recipe;

use crds::{
    ConfigMapRef, Format, ImageJobSpec, Metadata, NoWork, WorkOf, WorkerPool, Workflow, conditions::JobReason,
};
use queue::{Cut, InputSource, SeedAt, TaskInput, TaskSpec};
use serde_json::Value;
use workflow::{
    Graph, InputPath, JobFacts, ObjectInfo, Rendered, SeedProblem, SeedRules, check_paths, digest, files,
    model, most_pixels, most_steps, set_inputs, settle_seeds,
};

use super::{
    fit, inputs,
    limits::{self, Asked},
    segments,
    validate::{Problem, References, Source},
};
use crate::index::JobRecord;
use picture::{image_to_image, text_to_image};
use recipe::recipe;

/// A workflow's JSON, as it would be queued, may be so large.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// 2^53 − 1: the largest integer every JSON reader keeps exactly. Seeds that are drawn stay below.
const MAX_SEED: u64 = (1 << 53) - 1;
/// The largest `spec.count`; image i uses seed + i.
const MAX_COUNT: u64 = 10_000;
/// GPU time of one unit, ms, until the queue has learned it: of a picture, and of an image of a workflow.
const GUESSED_UNIT_MS: (f64, f64) = (100.0, 20_000.0);

/// What a worker runs, and what the queue has to know of it.
pub(super) struct Made {
    pub(super) payload: Vec<u8>,
    pub(super) units: f64,
    /// What tells it from other work in how long a unit takes, and a guess of that.
    pub(super) work: String,
    pub(super) unit_ms: f64,
    pub(super) model: String,
    /// Of image 0, where it is one seed.
    pub(super) seed: Option<u64>,
    pub(super) segments: Option<u32>,
    /// Of what may change behind the job's back: a workflow in a ConfigMap, a recipe.
    pub(super) digest: Option<String>,
}

/// A graph, and what is known of it by where it comes from.
struct Planned {
    rendered: Rendered,
    work: String,
    unit_ms: f64,
    origin: Origin,
}

/// Where a graph comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The job brings it.
    Job,
    /// An ImageRecipe of this name.
    Recipe(String),
    /// A recipe that ships: nothing changes it, and it makes pictures of something.
    Shipped,
}

/// What an earlier acceptance of the job settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// In how many segments its images are made.
    pub(super) segments: Option<u32>,
    /// Of image 0.
    pub(super) seed: Option<u64>,
    /// There was none: the pool's limits count.
    pub(super) is_new: bool,
}

/// `seconds`: what one image of a model and so many units should take.
pub(super) fn make(
    record: &JobRecord,
    spec: &ImageJobSpec,
    pool: &WorkerPool,
    references: &References,
    kept: Kept,
    capacity: crds::ClassCapacity,
    seconds: impl Fn(&str, f64) -> f64,
) -> Result<Made, Problem> {
    let names: Vec<&str> = spec.inputs.iter().map(|input| input.name.as_str()).collect();
    let job = JobFacts {
        files: &names,
        count: seeds_of(spec),
        same_seed: spec.same_seed,
        drawn_seed: Some(kept.seed.unwrap_or_else(|| drawn_seed(record))),
    };
    let planned = match spec.work.of_type().map_err(no_work)? {
        WorkOf::TextToImage(asked) => text_to_image(asked, pool, job)?,
        WorkOf::ImageToImage(asked) => image_to_image(asked, pool, job)?,
        WorkOf::Workflow(asked) => workflow(record, asked, spec, references)?,
        WorkOf::Recipe(asked) => recipe(record, asked, references, job)?,
    };
    let Planned { rendered, work, unit_ms, origin } = planned;
    let is_shipped = origin == Origin::Shipped;
    if kept.is_new {
        allowed(spec, pool, &rendered, &origin, definitions(references))?;
        references.known.iter().try_for_each(|known| fit::check(&rendered.graph, &origin, known))?;
    }
    let inputs = inputs::resolve(record, spec, pool, references, &rendered.files, kept.is_new)?;
    let cut = rendered.cut.as_deref().and_then(|id| {
        let (sampler, steps) = segments::can_be_cut(&rendered.graph, id)?;
        let image_seconds = seconds(&rendered.model, rendered.units);
        let segments = kept.segments.unwrap_or_else(|| {
            segments::segments(sampler, steps, capacity, image_seconds, pool.spec.segment_seconds)
        });
        Some(Cut { sampler: id.to_owned(), steps, segments })
    });
    let segments = cut.as_ref().map(|cut| cut.segments);
    let seeds: Vec<SeedAt> = rendered.seeds.iter().map(|seed| seed_at(seed, spec.same_seed)).collect();
    let digest = (!is_shipped).then(|| digest(&rendered.graph));
    let task = TaskSpec {
        inputs,
        outputs: rendered.outputs,
        form: form(spec),
        black_is_wrong: is_shipped,
        labels: references.labels_carried.clone(),
        traceparent: references.traceparent.map(|traceparent| traceparent.to_string()),
        timeout_seconds: spec.timeout_seconds,
        seeds,
        cut: cut.filter(|cut| cut.segments > 1),
        graph: rendered.graph,
    };
    Ok(Made {
        units: rendered.units,
        work,
        unit_ms,
        model: rendered.model,
        seed: one_seed(&task.seeds),
        segments,
        digest,
        payload: payload(&task)?,
    })
}

fn no_work(error: NoWork) -> Problem {
    match error {
        NoWork::UnknownType => Problem::waits(JobReason::WorkTypeUnknown, error.to_string()),
        NoWork::Missing => Problem::ends(JobReason::WorkflowInvalid, error.to_string()),
    }
}

fn workflow(
    record: &JobRecord,
    asked: &Workflow,
    spec: &ImageJobSpec,
    references: &References,
) -> Result<Planned, Problem> {
    let invalid = |why: String| Problem::ends(JobReason::WorkflowInvalid, why);
    let mut graph = match (&asked.graph, &references.workflow) {
        (Some(graph), _) => {
            inline(graph).map_err(|why| invalid(format!("spec.work.workflow.graph: {why}")))?
        }
        (None, source) => read(source).map_err(|unread| match unread {
            Unread::Missing(why) => Problem::waits(JobReason::ConfigMapNotFound, why),
            Unread::Invalid(why) => {
                let at = place(record, asked.config_map_ref.as_ref());
                Problem::waits(JobReason::ConfigMapInvalid, format!("{at}: {why}"))
            }
            Unread::Nowhere => invalid("give exactly one of graph or configMapRef".to_owned()),
        })?,
    };
    set_inputs(&mut graph, &asked.inputs).map_err(|error| invalid(format!("spec.work.workflow.{error}")))?;
    let rules = SeedRules {
        named: &asked.seed_inputs,
        only_named: false,
        count: seeds_of(spec),
        same: spec.same_seed,
    };
    let seeds = settle_seeds(&mut graph, rules).map_err(|error| unseeded("workflow", &error))?;
    if let Some(unknown) = asked.outputs.iter().find(|id| !graph.contains_key(*id)) {
        return Err(invalid(format!("spec.work.workflow.outputs: the workflow has no node {unknown:?}")));
    }
    if let Some(out) = check_paths(&graph, definitions(references)).first() {
        return Err(invalid(out.to_string()));
    }
    let names: Vec<&str> = spec.inputs.iter().map(|input| input.name.as_str()).collect();
    let rendered = Rendered {
        files: used(&graph, &names, references),
        seeds,
        outputs: asked.outputs.clone(),
        cut: None,
        units: 1.0,
        model: model(&graph),
        graph,
    };
    Ok(Planned {
        work: workflow::work(&rendered.graph),
        unit_ms: GUESSED_UNIT_MS.1,
        origin: Origin::Job,
        rendered,
    })
}

fn definitions(references: &References) -> Option<&ObjectInfo> {
    references.known.as_ref().map(|known| &*known.definitions)
}

/// The inputs of the job that nodes of a workflow load, and where.
fn used(graph: &Graph, names: &[&str], references: &References) -> Vec<(String, Vec<InputPath>)> {
    let mut used: Vec<(String, Vec<InputPath>)> = Vec::new();
    for file in
        files(graph, definitions(references)).into_iter().filter(|file| names.contains(&file.name.as_str()))
    {
        match used.iter_mut().find(|(name, _)| *name == file.name) {
            Some((_, paths)) => paths.push(file.path),
            None => used.push((file.name, vec![file.path])),
        }
    }
    used
}

/// Why a text gives no graph.
enum Unread {
    Missing(String),
    Invalid(String),
    /// Nothing is referred to.
    Nowhere,
}

/// A graph that is a part of a job or a recipe, or why it is none.
fn inline(graph: &Graph) -> Result<Graph, String> {
    let graph = workflow::graph_of(Value::Object(graph.clone())).map_err(|error| error.to_string())?;
    match workflow::rounded_seed(&graph) {
        None => Ok(graph),
        Some(why) => Err(why),
    }
}

fn read(source: &Source<Vec<u8>>) -> Result<Graph, Unread> {
    match source {
        Source::Found(text) => workflow::parse(text).map_err(|error| Unread::Invalid(error.to_string())),
        Source::Missing { message } => Err(Unread::Missing(message.clone())),
        Source::Inline => Err(Unread::Nowhere),
    }
}

/// Where a text is from, for people.
fn place(record: &JobRecord, reference: Option<&ConfigMapRef>) -> String {
    match reference {
        Some(ConfigMapRef { name, key }) => format!("ConfigMap {}/{name}, key {key}", record.namespace),
        None => "the ConfigMap".to_owned(),
    }
}

fn unseeded(field: &str, error: &SeedProblem) -> Problem {
    let message = match error {
        SeedProblem::Named { .. } => format!("spec.work.{field}.{error}"),
        SeedProblem::Input { .. } | SeedProblem::None { .. } => format!("spec.work.{field}: {error}"),
    };
    Problem::ends(JobReason::WorkflowInvalid, message)
}

/// How many seeds the job's images need.
fn seeds_of(spec: &ImageJobSpec) -> u32 {
    if spec.same_seed { 1 } else { spec.count }
}

/// Whether the pool lets the job ask for this. Only asked of a job that is not accepted yet.
fn allowed(
    spec: &ImageJobSpec,
    pool: &WorkerPool,
    rendered: &Rendered,
    origin: &Origin,
    known: Option<&ObjectInfo>,
) -> Result<(), Problem> {
    let too_much = |why: String| Problem::waits(JobReason::LimitExceeded, why);
    let limits = &pool.spec.limits;
    let models = workflow::model_files(&rendered.graph);
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    let (steps, pixels) = (most_steps(&rendered.graph), most_pixels(&rendered.graph));
    let steps = steps.map(|steps| u32::try_from(steps).unwrap_or(u32::MAX));
    let asked = Asked {
        is_workflow: *origin == Origin::Job,
        is_recipe: matches!(origin, Origin::Recipe(_)),
        models: &models,
        count: spec.count,
        steps,
        pixels,
    };
    limits::check(limits, &asked).map_err(too_much)?;
    limits::check_nodes(limits, &rendered.graph, known).map_err(too_much)
}

fn form(spec: &ImageJobSpec) -> queue::Form {
    let format = spec.output.format.map(|format| match format {
        Format::Png => queue::Format::Png,
        Format::Webp => queue::Format::Webp,
        Format::Jpeg => queue::Format::Jpeg,
        Format::Avif => queue::Format::Avif,
    });
    queue::Form { format, quality: spec.output.quality, keep_texts: spec.output.metadata == Metadata::Keep }
}

fn seed_at(seed: &workflow::SeedAt, same: bool) -> SeedAt {
    let workflow::SeedAt { path: InputPath { node, input }, first } = seed;
    SeedAt { node: node.clone(), input: input.clone(), first: *first, counts: !same }
}

fn one_seed(seeds: &[SeedAt]) -> Option<u64> {
    let first = seeds.first()?.first;
    seeds.iter().all(|seed| seed.first == first).then_some(first)
}

fn payload(task: &TaskSpec) -> Result<Vec<u8>, Problem> {
    let invalid = |why: String| Problem::ends(JobReason::WorkflowInvalid, why);
    let payload =
        serde_json::to_vec(task).map_err(|error| invalid(format!("the work is not JSON: {error}")))?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        let bytes = payload.len();
        let inline = |input: &TaskInput| matches!(input.source, InputSource::Inline { .. });
        let hint = match task.inputs.iter().any(inline) {
            true => ", files from ConfigMaps in base64; larger ones belong into the bucket (from.s3)",
            false => "",
        };
        return Err(invalid(format!(
            "the work has {bytes} bytes; at most {MAX_PAYLOAD_BYTES} can be queued{hint}"
        )));
    }
    Ok(payload)
}

/// Drawn from the job's uid, which is random: the same job has the same seed, however often it is asked.
fn drawn_seed(record: &JobRecord) -> u64 {
    let range = u128::from(MAX_SEED - MAX_COUNT);
    u64::try_from(record.uid.number() % range).unwrap_or_default()
}
