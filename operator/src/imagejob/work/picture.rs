//! Pictures of models whose family the operator has a recipe for. Pure.

use std::collections::BTreeMap;

use crds::{Family, ImageToImage, Sampling, TextToImage, WorkerPool, conditions::JobReason};
use serde::Serialize;
use serde_json::Value;
use workflow::{JobFacts, RecipeProblem, Rendered, SeedProblem};

use super::{GUESSED_UNIT_MS, Origin, Planned};
use crate::{
    imagejob::validate::Problem,
    index::{image_work, picture_work},
    workerpool::engines,
};

pub(super) fn text_to_image(
    asked: &TextToImage,
    pool: &WorkerPool,
    job: JobFacts<'_>,
) -> Result<Planned, Problem> {
    let family = family(&asked.sampling, pool)?;
    let defaults = model_inputs(pool, &asked.sampling.model, family, asked);
    let rendered = workflow::text_to_image(asked, family, &defaults, job)
        .map_err(|error| unfit("textToImage", &error, &asked.sampling.model, &defaults))?;
    Ok(planned(picture_work(&asked.sampling.model), rendered))
}

pub(super) fn image_to_image(
    asked: &ImageToImage,
    pool: &WorkerPool,
    job: JobFacts<'_>,
) -> Result<Planned, Problem> {
    let family = family(&asked.sampling, pool)?;
    let defaults = model_inputs(pool, &asked.sampling.model, family, asked);
    let rendered = workflow::image_to_image(asked, family, &defaults, job)
        .map_err(|error| unfit("imageToImage", &error, &asked.sampling.model, &defaults))?;
    Ok(planned(image_work(&asked.sampling.model), rendered))
}

fn planned(work: String, rendered: Rendered) -> Planned {
    Planned { rendered, work, unit_ms: GUESSED_UNIT_MS.0, origin: Origin::Shipped }
}

/// The job's word, else the pool's, else what the file's name tells, else Stable Diffusion 1.5.
fn family(asked: &Sampling, pool: &WorkerPool) -> Result<Family, Problem> {
    match asked.family.or_else(|| engines::family(pool, &asked.model)).unwrap_or(Family::SD15) {
        Family::Unknown => Err(Problem::waits(
            JobReason::WorkTypeUnknown,
            format!("this operator does not know the family of model {:?}; a newer one does", asked.model),
        )),
        family => Ok(family),
    }
}

/// Values of inputs of the family's recipe that the pool gives for a model, e.g. the file of its text encoder, and the job
/// does not.
fn model_inputs(
    pool: &WorkerPool,
    model: &str,
    family: Family,
    asked: &impl Serialize,
) -> BTreeMap<String, Value> {
    let listed = pool.spec.model(model).filter(|listed| listed.family == family);
    let given = serde_json::to_value(asked).unwrap_or_default();
    let values = listed.into_iter().flat_map(|listed| &listed.inputs);
    values
        .filter(|(name, _)| given.get(name).is_none())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What the job gave is the job's to mend, what the pool gave is the pool's.
fn unfit(field: &str, error: &RecipeProblem, model: &str, defaults: &BTreeMap<String, Value>) -> Problem {
    if let RecipeProblem::Input { name, why } = error
        && defaults.contains_key(name)
    {
        let why = format!("spec.models[{model}].inputs.{name} of the pool: {why}");
        return Problem::waits(JobReason::RecipeInvalid, why);
    }
    let message = match error {
        RecipeProblem::Seeds(SeedProblem::Input { why, .. }) => format!("seed {why}"),
        error => error.to_string(),
    };
    let message = message.strip_prefix("inputs.").unwrap_or(&message);
    Problem::ends(JobReason::WorkflowInvalid, format!("spec.work.{field}.{message}"))
}
