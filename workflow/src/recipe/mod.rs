//! From a recipe and a job's values to a graph.

mod value;

use std::collections::BTreeMap;

use crds::{ImageRecipeSpec, RecipeInput, RecipeInputType};
use serde_json::{Map, Value};

use crate::{
    Graph, InputPath, SeedAt, SeedProblem, SeedRules, class_of, model::model, near::nearest,
    seeds::settle_seeds, set::find, shown,
};

/// What of a job is needed besides the values.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFacts<'a> {
    /// The names of the job's `spec.inputs`.
    pub files: &'a [&'a str],
    /// Images of the job.
    pub count: u32,
    /// The job's `sameSeed`.
    pub same_seed: bool,
    /// The seed of image 0 where a recipe has an input of type Seed and neither the job nor the recipe gives its value.
    pub drawn_seed: Option<u64>,
}

/// A recipe made ready for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The graph, with the values of image 0. Where a file of the job is loaded stands the name of the job's input.
    pub graph: Graph,
    /// What is counted up from image to image.
    pub seeds: Vec<SeedAt>,
    /// The job's inputs that are used, by name, and where their files' names go.
    pub files: Vec<(String, Vec<InputPath>)>,
    /// The nodes whose files are kept, the first counts; empty: all that save a file, by their numbers.
    pub outputs: Vec<String>,
    /// The `KSampler` whose steps may be made in segments.
    pub cut: Option<String>,
    /// How much work one image is: the product of the recipe's `unitsFrom`, 1 without any.
    pub units: f64,
    /// What a worker must have loaded, as [`model`] says.
    pub model: String,
}

/// Why a recipe can't be run as a job asks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecipeProblem {
    /// A value of the job. Only another job mends it.
    #[error("inputs.{name}: {why}")]
    Input {
        /// The input's name.
        name: String,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// The recipe itself. It may be mended, and the job goes on.
    #[error("the recipe is wrong: {0}")]
    Recipe(String),
    /// There is no seed to count up. The recipe lacks an input, or the job wants images that are all the same.
    #[error(
        "no seed of the recipe can be counted up{linked}, so all {count} images would be the same: give the recipe an \
         input of type Seed, or say sameSeed: true, or count: 1"
    )]
    NoSeed {
        /// Images of the job.
        count: u32,
        /// What is linked to something else, in words.
        linked: String,
    },
    /// A seed that can't be used.
    #[error(transparent)]
    Seeds(SeedProblem),
}

impl RecipeProblem {
    pub(crate) fn input(name: &str, why: impl Into<String>) -> Self {
        Self::Input { name: shown(name), why: why.into() }
    }
}

/// Whether an input takes the value, for whoever asks for values one by one. A file's name is not looked up.
///
/// # Errors
///
/// What is wrong with the value, as the end of a sentence.
pub fn check_input(input: &RecipeInput, value: &Value) -> Result<(), String> {
    value::convert(input, value, value.as_str().as_slice()).map(drop)
}

/// Puts a job's values into a recipe's graph. `graph` is the recipe's own, read from its spec or its ConfigMap.
///
/// # Errors
///
/// The first value that the recipe does not allow, or what is wrong with the recipe.
pub fn render(
    recipe: &ImageRecipeSpec,
    mut graph: Graph,
    values: &Map<String, Value>,
    job: JobFacts<'_>,
) -> Result<Rendered, RecipeProblem> {
    known_names(recipe, values)?;
    let mut files: BTreeMap<String, Vec<InputPath>> = BTreeMap::new();
    let mut seeds = Vec::new();
    let mut numbers = BTreeMap::new();
    for input in &recipe.inputs {
        let drawn = (input.kind == RecipeInputType::Seed)
            .then_some(job.drawn_seed)
            .flatten()
            .map(|seed| seed.to_string().into());
        let given = values.get(&input.name).filter(|value| !value.is_null());
        let Some(value) = given.or(input.default.as_ref()).or(drawn.as_ref()) else {
            if input.required {
                let why = format!("it is required: give {}", value::allowed(input, job.files));
                return Err(RecipeProblem::input(&input.name, why));
            }
            seeds.extend(seed_paths(input));
            places(&mut graph, input)?;
            continue;
        };
        let value = value::convert(input, value, job.files).map_err(|why| {
            if given.is_some() {
                RecipeProblem::input(&input.name, why)
            } else {
                wrong(input, &format!("default: {why}"))
            }
        })?;
        if let Some(number) = value.as_f64() {
            numbers.insert(input.name.as_str(), number);
        }
        let paths = places(&mut graph, input)?;
        for path in &paths {
            *find(&mut graph, path).map_err(|why| wrong(input, &why))? = value.clone();
        }
        if let (RecipeInputType::Image, Some(file)) = (input.kind, value.as_str()) {
            files.entry(file.to_owned()).or_default().extend(paths);
        }
        seeds.extend(seed_paths(input));
    }
    let rules =
        SeedRules { named: &seeds, only_named: !seeds.is_empty(), count: job.count, same: job.same_seed };
    let seeds = settle_seeds(&mut graph, rules).map_err(|problem| match problem {
        // A value of the job's is a seed by now: this is one of the graph itself.
        SeedProblem::Named { path, why } => {
            RecipeProblem::Recipe(format!("its input of type Seed to {:?}: {why}", shown(&path)))
        }
        SeedProblem::None { count, linked } => RecipeProblem::NoSeed { count, linked },
        problem => RecipeProblem::Seeds(problem),
    })?;
    check_nodes(recipe, &graph)?;
    let units = units(recipe, &numbers)?;
    Ok(Rendered {
        seeds,
        files: files.into_iter().collect(),
        outputs: recipe.outputs.clone(),
        cut: recipe.cut_at.clone(),
        units,
        model: model(&graph),
        graph,
    })
}

fn known_names(recipe: &ImageRecipeSpec, values: &Map<String, Value>) -> Result<(), RecipeProblem> {
    let names: Vec<&str> = recipe.inputs.iter().map(|input| input.name.as_str()).collect();
    let Some(unknown) = values.keys().find(|name| !names.contains(&name.as_str())) else { return Ok(()) };
    let near = nearest(unknown, names.iter().copied(), 1);
    let near = near.first().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(RecipeProblem::input(unknown, format!("the recipe has no such input; it has {has}{near}")))
}

fn wrong(input: &RecipeInput, why: &str) -> RecipeProblem {
    RecipeProblem::Recipe(format!("its input {:?}: {why}", shown(&input.name)))
}

fn seed_paths(input: &RecipeInput) -> impl Iterator<Item = String> {
    let is_seed = input.kind == RecipeInputType::Seed;
    input.to.iter().filter(move |_| is_seed).cloned()
}

/// Where an input's value goes; each place has to be there.
fn places(graph: &mut Graph, input: &RecipeInput) -> Result<Vec<InputPath>, RecipeProblem> {
    let paths = input.to.iter().map(|to| {
        let said = |why: String| wrong(input, &format!("to {:?}: {why}", shown(to)));
        let path: InputPath = to.parse().map_err(|error| said(format!("{error}")))?;
        find(graph, &path).map_err(said)?;
        Ok(path)
    });
    paths.collect()
}

fn check_nodes(recipe: &ImageRecipeSpec, graph: &Graph) -> Result<(), RecipeProblem> {
    if let Some(id) = recipe.outputs.iter().find(|id| !graph.contains_key(*id)) {
        return Err(RecipeProblem::Recipe(format!("its outputs: the workflow has no node {:?}", shown(id))));
    }
    let Some(cut) = &recipe.cut_at else { return Ok(()) };
    match graph.get(cut).map(class_of) {
        Some("KSampler") => Ok(()),
        Some(other) => Err(RecipeProblem::Recipe(format!(
            "its cutAt: node {} is a {}; only a KSampler can be cut",
            shown(cut),
            shown(other)
        ))),
        None => Err(RecipeProblem::Recipe(format!("its cutAt: the workflow has no node {:?}", shown(cut)))),
    }
}

fn units(recipe: &ImageRecipeSpec, numbers: &BTreeMap<&str, f64>) -> Result<f64, RecipeProblem> {
    let factors = recipe.units_from.iter().map(|name| {
        numbers.get(name.as_str()).copied().ok_or_else(|| {
            RecipeProblem::Recipe(format!(
                "its unitsFrom: {:?} is not an input of type Integer or Number with a value",
                shown(name)
            ))
        })
    });
    let product = factors.product::<Result<f64, _>>()?;
    Ok(if product.is_finite() { product.abs() } else { 1.0 })
}

#[cfg(test)]
mod tests;
