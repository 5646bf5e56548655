//! Whether a job asks for no more than its pool lets it (`spec.limits`). Pure.

use crds::Limits;
use workflow::{Graph, ObjectInfo, denied, is_like};

/// What a job asks for, as far as pools limit it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// Whether it brings a graph of its own.
    pub(crate) is_workflow: bool,
    /// Whether it uses an ImageRecipe.
    pub(crate) is_recipe: bool,
    /// The model files that it loads.
    pub(crate) models: &'a [&'a str],
    /// Images.
    pub(crate) count: u32,
    /// Sampling steps of one image; `None`: not known.
    pub(crate) steps: Option<u32>,
    /// Width × height of one image; `None`: not known.
    pub(crate) pixels: Option<u64>,
}

/// What is too much, for people: what the job asks for, what the pool allows, and where that stands.
pub(crate) fn check(limits: &Limits, asked: &Asked<'_>) -> Result<(), String> {
    if asked.is_workflow && !limits.workflows {
        return Err("the pool takes no workflows (spec.limits.workflows)".to_owned());
    }
    if asked.is_recipe && !limits.takes_recipes() {
        return Err(match limits.recipes {
            Some(_) => "the pool takes no recipes (spec.limits.recipes)".to_owned(),
            None => "the pool takes no workflows, and a recipe has one (spec.limits.workflows; spec.limits.recipes: true \
                     lets recipes in)"
                .to_owned(),
        });
    }
    if let Some(model) = asked.models.iter().find(|model| !is_listed(&limits.models, model)) {
        let allowed = some_of(&limits.models);
        return Err(format!(
            "model {model:?} is not one that the pool allows: {allowed} (spec.limits.models)"
        ));
    }
    at_most("images", "maxCount", Some(asked.count), limits.max_count)?;
    at_most("steps", "maxSteps", asked.steps, limits.max_steps)?;
    at_most("pixels", "maxPixels", asked.pixels, limits.max_pixels)
}

/// The first node that the pool denies, for people. `known`: the engine's nodes, which say which of them are API nodes.
pub(crate) fn check_nodes(limits: &Limits, graph: &Graph, known: Option<&ObjectInfo>) -> Result<(), String> {
    match denied(graph, &limits.deny_nodes, known).first() {
        Some(denied) => Err(format!("{denied} (spec.limits.denyNodes)")),
        None => Ok(()),
    }
}

fn at_most<N: PartialOrd + std::fmt::Display + Copy>(
    what: &str,
    limit: &str,
    asked: Option<N>,
    most: Option<N>,
) -> Result<(), String> {
    match (asked, most) {
        (Some(asked), Some(most)) if asked > most => {
            Err(format!("{asked} {what}, and the pool allows at most {most} (spec.limits.{limit})"))
        }
        _ => Ok(()),
    }
}

/// An empty list allows every model.
fn is_listed(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_like(pattern, name))
}

/// A list for people, which need not be whole.
fn some_of(patterns: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = patterns.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if patterns.len() > SHOWN { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn limits(limits: Value) -> Limits {
        serde_json::from_value(limits).unwrap()
    }

    const LARGE: Asked<'_> = Asked {
        is_workflow: true,
        is_recipe: false,
        models: &["sdxl/base.safetensors", "lora.safetensors"],
        count: 10_000,
        steps: Some(1000),
        pixels: Some(16_777_216),
    };

    #[test]
    fn without_limits_everything_may_be_asked_for() {
        assert_eq!(check(&limits(json!({})), &LARGE), Ok(()));
    }

    #[test]
    fn what_is_too_much_is_said_with_what_is_allowed_and_where_that_stands() {
        for (given, says) in [
            (json!({"workflows": false}), "the pool takes no workflows (spec.limits.workflows)"),
            (
                json!({"models": ["sdxl/*", "vae"]}),
                "model \"lora.safetensors\" is not one that the pool allows: sdxl/*, vae (spec.limits.models)",
            ),
            (
                json!({"maxCount": 9999}),
                "10000 images, and the pool allows at most 9999 (spec.limits.maxCount)",
            ),
            (json!({"maxSteps": 50}), "1000 steps, and the pool allows at most 50 (spec.limits.maxSteps)"),
            (
                json!({"maxPixels": 1_048_576}),
                "16777216 pixels, and the pool allows at most 1048576 (spec.limits.maxPixels)",
            ),
        ] {
            assert_eq!(check(&limits(given), &LARGE), Err(says.to_owned()));
        }
    }

    #[test]
    fn what_is_just_allowed_or_not_known_passes() {
        let strict = limits(json!({"workflows": false, "models": ["sd15"], "maxCount": 4, "maxSteps": 20,
                                   "maxPixels": 262_144}));
        let most =
            Asked { models: &["sd15"], count: 4, steps: Some(20), pixels: Some(262_144), ..Asked::default() };
        assert_eq!(check(&strict, &most), Ok(()));
        assert_eq!(check(&strict, &Asked { steps: None, pixels: None, models: &[], ..most }), Ok(()));
    }

    #[test]
    fn a_pool_without_workflows_takes_recipes_only_if_it_says_so() {
        let asked = Asked { is_recipe: true, ..Asked::default() };
        let told = |given: Value| check(&limits(given), &asked);
        let no_workflows = "the pool takes no workflows, and a recipe has one (spec.limits.workflows; \
                            spec.limits.recipes: true lets recipes in)";
        for (given, want) in [
            (json!({}), Ok(())),
            (json!({"workflows": false}), Err(no_workflows.to_owned())),
            (json!({"workflows": false, "recipes": true}), Ok(())),
            (json!({"recipes": false}), Err("the pool takes no recipes (spec.limits.recipes)".to_owned())),
        ] {
            assert_eq!(told(given.clone()), want, "{given}");
        }
    }

    #[test]
    fn nodes_that_reach_out_are_denied_unless_the_pool_says_otherwise() {
        let graph = json!({"3": {"class_type": "KSampler"}, "7": {"class_type": "LoadImageFromUrl"}});
        let told = |given: Value| check_nodes(&limits(given), graph.as_object().unwrap(), None);
        let denied = |rule: &str| {
            Err(format!(
                "node 7: the pool does not run nodes of class \"LoadImageFromUrl\", by its rule {rule} \
                 (spec.limits.denyNodes)"
            ))
        };
        for (given, want) in [
            (json!({}), denied("\"*FromUrl*\" of @default")),
            (json!({"denyNodes": ["@default", "KSampler*x"]}), denied("\"*FromUrl*\" of @default")),
            (json!({"denyNodes": ["@api", "*url"]}), denied("\"*url\"")),
            (json!({"denyNodes": ["ShellNode"]}), Ok(())),
            (json!({"denyNodes": []}), Ok(())),
        ] {
            assert_eq!(told(given.clone()), want, "{given}");
        }
    }
}
