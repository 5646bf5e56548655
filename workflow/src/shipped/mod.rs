//! The recipes that ship, two for each family of models: what `TextToImage` and `ImageToImage` run.
//!
//! Each is an ImageRecipe in `workflow/recipes`, which a user can copy. LoRAs, another VAE, masks and ControlNets are put
//! into its graph as nodes of their own.

mod family;
mod insert;

use std::{collections::BTreeMap, sync::LazyLock};

use crds::{Decimal, Family, ImageRecipe, ImageToImage, Sampling, TextToImage};
pub use family::family_of;
use serde_json::{Map, Value};

use crate::{
    model::model,
    recipe::{JobFacts, RecipeProblem, Rendered, render},
};

/// Steps × width × height of one unit: the GPU time of one step at 512 × 512 pixels.
const UNIT_PIXELS: f64 = 512.0 * 512.0;

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../recipes/", $name, ".yaml")))),*]
    };
}

/// Name and text of each.
const TEXTS: [(&str, &str); 20] = recipes![
    "text-to-image-sd15",
    "text-to-image-sdxl",
    "text-to-image-sdxl-turbo",
    "text-to-image-sdxl-lightning",
    "text-to-image-sd35",
    "text-to-image-flux1-dev",
    "text-to-image-flux1-schnell",
    "text-to-image-flux2",
    "text-to-image-qwen-image",
    "text-to-image-z-image",
    "image-to-image-sd15",
    "image-to-image-sdxl",
    "image-to-image-sdxl-turbo",
    "image-to-image-sdxl-lightning",
    "image-to-image-sd35",
    "image-to-image-flux1-dev",
    "image-to-image-flux1-schnell",
    "image-to-image-flux2",
    "image-to-image-qwen-image",
    "image-to-image-z-image",
];

/// Read once. A test reads every one of them.
static READ: LazyLock<BTreeMap<&str, ImageRecipe>> = LazyLock::new(|| {
    TEXTS.iter().filter_map(|(name, text)| Some((*name, serde_yaml_ng::from_str(text).ok()?))).collect()
});

/// The recipes that ship: name and YAML.
pub fn shipped_recipes() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXTS.into_iter()
}

/// The recipe of TextToImage for a family, or none where the family is not known.
#[must_use]
pub fn text_to_image_recipe(family: Family) -> Option<&'static ImageRecipe> {
    shipped("text-to-image", family)
}

/// The recipe of ImageToImage for a family, or none where the family is not known.
#[must_use]
pub fn image_to_image_recipe(family: Family) -> Option<&'static ImageRecipe> {
    shipped("image-to-image", family)
}

fn shipped(kind: &str, family: Family) -> Option<&'static ImageRecipe> {
    READ.get(format!("{kind}-{}", family::slug(family)?).as_str())
}

/// The graph of `spec.work.textToImage` for a model of this family, with the defaults of the family. `defaults` are the
/// values of the recipe's inputs that count before those, where the user gave none. `job.drawn_seed` is used where nobody
/// gave a seed.
///
/// # Errors
///
/// If the family does not take what the user gave, or what `defaults` say.
pub fn text_to_image(
    asked: &TextToImage,
    family: Family,
    defaults: &BTreeMap<String, Value>,
    job: JobFacts<'_>,
) -> Result<Rendered, RecipeProblem> {
    let mut values = sampling(&asked.sampling, family)?;
    let sizes = [("width", asked.width), ("height", asked.height)];
    values.extend(sizes.into_iter().filter_map(|(name, size)| Some((name.to_owned(), size?.into()))));
    let mut made = run(text_to_image_recipe(family), values, defaults, job)?;
    made.units /= UNIT_PIXELS;
    insert::options(&mut made, &asked.sampling, None, family, job.files)?;
    made.model = model(&made.graph);
    Ok(made)
}

/// The graph of `spec.work.imageToImage`, as [`text_to_image`]. The images' sizes are not known yet: units are steps
/// at 1024 × 1024 pixels.
///
/// # Errors
///
/// If the family does not take what the user gave, or an image is no input of the job.
pub fn image_to_image(
    asked: &ImageToImage,
    family: Family,
    defaults: &BTreeMap<String, Value>,
    job: JobFacts<'_>,
) -> Result<Rendered, RecipeProblem> {
    const GUESSED_PIXELS: f64 = 1024.0 * 1024.0;
    let mut values = sampling(&asked.sampling, family)?;
    values.insert("image".into(), asked.image.clone().into());
    values.insert("strength".into(), decimal(asked.strength));
    let mut made = run(image_to_image_recipe(family), values, defaults, job)?;
    made.units *= GUESSED_PIXELS / UNIT_PIXELS;
    insert::options(&mut made, &asked.sampling, asked.mask.as_deref(), family, job.files)?;
    made.model = model(&made.graph);
    Ok(made)
}

fn run(
    recipe: Option<&ImageRecipe>,
    mut values: Map<String, Value>,
    defaults: &BTreeMap<String, Value>,
    job: JobFacts<'_>,
) -> Result<Rendered, RecipeProblem> {
    for (name, value) in defaults {
        values.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let recipe = recipe
        .ok_or_else(|| RecipeProblem::input("family", "this operator does not know it; a newer one does"))?;
    render(&recipe.spec, recipe.spec.graph.clone().unwrap_or_default(), &values, job)
}

/// What the user gave, as values of the recipe's inputs.
fn sampling(asked: &Sampling, family: Family) -> Result<Map<String, Value>, RecipeProblem> {
    let Sampling { model, prompt, negative_prompt, steps, cfg_scale, sampler, scheduler, seed, .. } = asked;
    let negative = (!negative_prompt.is_empty()).then(|| Value::from(negative_prompt.clone()));
    let all = [
        ("model", Some(model.clone().into())),
        ("prompt", Some(prompt.clone().into())),
        ("negativePrompt", negative),
        ("steps", steps.map(Value::from)),
        ("cfgScale", cfg_scale.map(decimal)),
        ("sampler", sampler.clone().map(Value::from)),
        ("scheduler", scheduler.clone().map(Value::from)),
        ("seed", seed.map(|seed| seed.to_string().into())),
    ];
    let given: Map<String, Value> =
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let takes = |name: &str| {
        text_to_image_recipe(family)
            .is_none_or(|recipe| recipe.spec.inputs.iter().any(|input| input.name == name))
    };
    match given.keys().find(|name| !takes(name)) {
        Some(name) => Err(RecipeProblem::input(
            name,
            format!("models of the family {} take none; leave it out", family.as_str()),
        )),
        None => Ok(given),
    }
}

fn decimal(number: Decimal) -> Value {
    number.to_string().into()
}

#[cfg(test)]
mod tests;
