//! Whether the engines of a pool take a graph, before any of them is asked. Pure.

use std::time::Duration;

use crds::conditions::JobReason;
use workflow::{Graph, Misfit, What, model_files};

use super::{validate::Problem, work::Origin};
use crate::{engines::Known, words};

/// More are not told.
const MAX_TOLD: usize = 3;

/// Whether at least one engine of the pool should take the graph.
pub(super) fn check(graph: &Graph, origin: &Origin, known: &Known) -> Result<(), Problem> {
    let Err(misfits) = workflow::check(graph, &known.definitions) else { return Ok(()) };
    let models = model_files(graph);
    let told: Vec<String> =
        misfits.iter().take(MAX_TOLD).map(|misfit| sentence(misfit, &models, origin)).collect();
    let more = misfits.len().saturating_sub(MAX_TOLD);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let told = format!("{}{more}", told.join("; "));
    Err(match course(&misfits, origin, known.age) {
        Course::Ends => Problem::ends(JobReason::WorkflowInvalid, told),
        Course::Recipe(name) => {
            Problem::waits(JobReason::RecipeInvalid, format!("ImageRecipe {name}: {told}"))
        }
        Course::Waits => {
            let whose = match known.age {
                None => "no worker of the pool takes this".to_owned(),
                Some(age) => format!(
                    "the pool has no workers, and the last one, {} ago, did not take this",
                    words::duration(age)
                ),
            };
            Problem::waits(JobReason::NotOnWorkers, format!("{whose}: {told}"))
        }
    })
}

enum Course<'a> {
    Ends,
    Recipe(&'a str),
    Waits,
}

/// What another engine may have is waited for.
fn course<'a>(misfits: &[Misfit], origin: &'a Origin, age: Option<Duration>) -> Course<'a> {
    let wrong = |misfit: &Misfit| match misfit.what {
        What::Cycle(_) | What::BadLink | What::NoSuchNode { .. } => true,
        What::UnknownClass { .. } | What::NotInList { .. } => false,
        _ => age.is_none(),
    };
    match origin {
        Origin::Job if misfits.iter().any(wrong) => Course::Ends,
        Origin::Recipe(name) if misfits.iter().any(wrong) => Course::Recipe(name),
        Origin::Job | Origin::Recipe(_) | Origin::Shipped => Course::Waits,
    }
}

/// Of a model that is missing its user need not know the node.
fn sentence(misfit: &Misfit, models: &[String], origin: &Origin) -> String {
    let What::NotInList { given, nearest, has, of } = &misfit.what else { return misfit.to_string() };
    let name: String = serde_json::from_str(given).unwrap_or_else(|_| given.clone());
    if *origin == Origin::Job || !models.contains(&name) {
        return misfit.to_string();
    }
    let kind = misfit.input.as_deref().unwrap_or_default().trim_end_matches("_name");
    let what = match kind {
        "ckpt" | "unet" => "model",
        "lora" => "LoRA",
        "vae" => "VAE",
        _ => "file",
    };
    let has = match has.as_slice() {
        [] => format!("; it has {of} others"),
        has => format!("; it has {}", has.join(", ")),
    };
    let nearest =
        if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(" or ")) };
    format!("it has no {what} {name:?}{has}{nearest}")
}
