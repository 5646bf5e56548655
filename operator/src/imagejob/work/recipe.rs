//! Work by an `ImageRecipe`. Pure.

use crds::{ImageRecipeSpec, RecipeInput, RecipeInputType, RecipeUse, conditions::JobReason};
use workflow::{JobFacts, RecipeProblem, check_paths};

use super::{GUESSED_UNIT_MS, Origin, Planned, Unread, definitions, inline, place, read, unseeded, used};
use crate::{
    imagejob::validate::{Problem, References, Source},
    index::JobRecord,
};

pub(super) fn recipe(
    record: &JobRecord,
    asked: &RecipeUse,
    references: &References,
    job: JobFacts<'_>,
) -> Result<Planned, Problem> {
    let recipe: &ImageRecipeSpec = match &references.recipe {
        Source::Found(recipe) => recipe,
        Source::Missing { message } => {
            return Err(Problem::waits(JobReason::RecipeNotFound, message.as_str()));
        }
        Source::Inline => {
            let at = format!("ImageRecipe {}/{} does not exist (yet)", record.namespace, asked.name);
            return Err(Problem::waits(JobReason::RecipeNotFound, at));
        }
    };
    let wrong =
        |why: String| Problem::waits(JobReason::RecipeInvalid, format!("ImageRecipe {}: {why}", asked.name));
    let graph = match &recipe.graph {
        Some(graph) => inline(graph).map_err(wrong)?,
        None => read(&references.workflow).map_err(|unread| match unread {
            Unread::Missing(why) => wrong(why),
            Unread::Invalid(why) => {
                wrong(format!("{}: {why}", place(record, recipe.config_map_ref.as_ref())))
            }
            Unread::Nowhere => wrong("it has neither graph nor configMapRef".to_owned()),
        })?,
    };
    if let Some(input) = recipe.inputs.iter().find(|input| is_unknown(input, asked)) {
        let why = format!(
            "spec.work.recipe.inputs.{}: this operator does not know an input of this type; a newer one does",
            input.name
        );
        return Err(Problem::waits(JobReason::WorkTypeUnknown, why));
    }
    let mut rendered = workflow::render(recipe, graph, &asked.inputs, job).map_err(|error| match error {
        RecipeProblem::Recipe(why) => wrong(why),
        RecipeProblem::Input { .. } => {
            Problem::ends(JobReason::WorkflowInvalid, format!("spec.work.recipe.{error}"))
        }
        RecipeProblem::NoSeed { .. } => {
            Problem::ends(JobReason::WorkflowInvalid, format!("spec.work.recipe: {error}"))
        }
        RecipeProblem::Seeds(error) => unseeded("recipe", &error),
    })?;
    if let Some(out) = check_paths(&rendered.graph, definitions(references)).first() {
        return Err(wrong(out.to_string()));
    }
    // Files that the graph itself names.
    for (name, paths) in used(&rendered.graph, job.files, references) {
        match rendered.files.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.extend(paths.into_iter().filter(|path| !known.contains(path)).collect::<Vec<_>>());
            }
            None => rendered.files.push((name, paths)),
        }
    }
    let kind = format!("r:{}/{}:{}", record.namespace, asked.name, rendered.model);
    Ok(Planned {
        // A long name of a model would make the key longer than the queue keeps.
        work: if kind.len() > 200 { workflow::work(&rendered.graph) } else { kind },
        unit_ms: GUESSED_UNIT_MS.1 / rendered.units.max(1.0),
        origin: Origin::Recipe(asked.name.clone()),
        rendered,
    })
}

fn is_unknown(input: &RecipeInput, asked: &RecipeUse) -> bool {
    input.kind == RecipeInputType::Unknown && asked.inputs.contains_key(&input.name)
}
