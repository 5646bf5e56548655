//! Pictures of models whose family the operator has a recipe for. Pure.

use crds::{Family, ImageRecipe, ImageToImage, Sampling, TextToImage, WorkerPool, conditions::JobReason};
use workflow::{JobFacts, RecipeProblem, Rendered, SeedProblem, family_of};

use super::{GUESSED_UNIT_MS, Planned};
use crate::{
    imagejob::validate::Problem,
    index::{image_work, picture_work},
};

pub(super) fn text_to_image(
    asked: &TextToImage,
    pool: &WorkerPool,
    job: JobFacts<'_>,
) -> Result<Planned, Problem> {
    let family = family(&asked.sampling, pool)?;
    let mut rendered =
        workflow::text_to_image(asked, family, job).map_err(|error| unfit("textToImage", &error))?;
    model_inputs(&mut rendered, &asked.sampling, family, pool, workflow::text_to_image_recipe)?;
    Ok(Planned {
        work: picture_work(&asked.sampling.model),
        unit_ms: GUESSED_UNIT_MS.0,
        has_digest: false,
        is_workflow: false,
        black_is_wrong: true,
        rendered,
    })
}

pub(super) fn image_to_image(
    asked: &ImageToImage,
    pool: &WorkerPool,
    job: JobFacts<'_>,
) -> Result<Planned, Problem> {
    let family = family(&asked.sampling, pool)?;
    let mut rendered =
        workflow::image_to_image(asked, family, job).map_err(|error| unfit("imageToImage", &error))?;
    model_inputs(&mut rendered, &asked.sampling, family, pool, workflow::image_to_image_recipe)?;
    Ok(Planned {
        work: image_work(&asked.sampling.model),
        unit_ms: GUESSED_UNIT_MS.0,
        has_digest: false,
        is_workflow: false,
        black_is_wrong: true,
        rendered,
    })
}

/// The job's word, else the pool's, else what the file's name tells, else Stable Diffusion 1.5.
fn family(asked: &Sampling, pool: &WorkerPool) -> Result<Family, Problem> {
    let listed = pool.spec.models.iter().find(|model| model.name == asked.model).map(|model| model.family);
    match asked.family.or(listed).or_else(|| family_of(&asked.model)).unwrap_or(Family::SD15) {
        Family::Unknown => Err(Problem::waits(
            JobReason::WorkTypeUnknown,
            format!("this operator does not know the family of model {:?}; a newer one does", asked.model),
        )),
        family => Ok(family),
    }
}

/// What the pool says of a model, e.g. the file of its text encoder, and the job does not.
fn model_inputs(
    rendered: &mut Rendered,
    asked: &Sampling,
    family: Family,
    pool: &WorkerPool,
    recipe: fn(Family) -> Option<&'static ImageRecipe>,
) -> Result<(), Problem> {
    let model = &asked.model;
    let listed = pool.spec.models.iter().find(|listed| listed.name == *model && listed.family == family);
    let (Some(listed), Some(recipe)) = (listed, recipe(family)) else { return Ok(()) };
    let given = serde_json::to_value(asked).unwrap_or_default();
    for (name, value) in listed.inputs.iter().filter(|(name, _)| given.get(name).is_none()) {
        let Some(input) = recipe.spec.inputs.iter().find(|input| input.name == *name) else {
            let why =
                format!("spec.models[{model}].inputs of the pool: the family's recipe has no input {name:?}");
            return Err(Problem::waits(JobReason::RecipeInvalid, why));
        };
        for path in &input.to {
            let Some((node, input)) = path.split_once('.') else { continue };
            let node = rendered.graph.get_mut(node);
            if let Some(place) = node.and_then(|node| node["inputs"].get_mut(input)) {
                *place = value.clone();
            }
        }
    }
    rendered.model = workflow::model(&rendered.graph);
    Ok(())
}

fn unfit(field: &str, error: &RecipeProblem) -> Problem {
    let message = match error {
        RecipeProblem::Seeds(SeedProblem::Input { why, .. }) => format!("seed {why}"),
        error => error.to_string(),
    };
    let message = message.strip_prefix("inputs.").unwrap_or(&message);
    Problem::ends(JobReason::WorkflowInvalid, format!("spec.work.{field}.{message}"))
}
