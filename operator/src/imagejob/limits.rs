//! Whether a job asks for no more than its pool lets it (`spec.limits`). Pure.

use crds::Limits;

/// What a job asks for, as far as pools limit it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// Whether it brings a graph of its own.
    pub(crate) is_workflow: bool,
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

/// The first node class of a workflow that the pool denies, for people.
pub(crate) fn check_nodes<'a>(
    limits: &Limits,
    classes: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    for class in classes {
        if let Some(pattern) = limits.deny_nodes.iter().find(|pattern| matches(pattern, class)) {
            return Err(format!(
                "the pool denies nodes of class {class:?} (spec.limits.denyNodes: {pattern})"
            ));
        }
    }
    Ok(())
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
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}

/// A list for people, which need not be whole.
fn some_of(patterns: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = patterns.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if patterns.len() > SHOWN { format!("{shown}, …") } else { shown }
}

/// Whether a name is as a pattern says, in which `*` stands for any text. In a pattern with several, each part is looked
/// for from the end of the one before: the first place is as good as any later one.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    name.ends_with(last)
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
        models: &["sdxl/base.safetensors", "lora.safetensors"],
        count: 10_000,
        steps: Some(1000),
        pixels: Some(16_777_216),
    };

    #[test]
    fn without_limits_everything_may_be_asked_for() {
        assert_eq!(check(&limits(json!({})), &LARGE), Ok(()));
        assert_eq!(check_nodes(&limits(json!({})), ["LoadImageFromUrl"]), Ok(()));
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
            Asked { is_workflow: false, models: &["sd15"], count: 4, steps: Some(20), pixels: Some(262_144) };
        assert_eq!(check(&strict, &most), Ok(()));
        assert_eq!(check(&strict, &Asked { steps: None, pixels: None, models: &[], ..most }), Ok(()));
    }

    #[test]
    fn nodes_are_denied_by_class() {
        let limits = limits(json!({"denyNodes": ["*Url*", "ShellNode"]}));
        assert_eq!(check_nodes(&limits, ["KSampler", "SaveImage"]), Ok(()));
        assert_eq!(
            check_nodes(&limits, ["KSampler", "LoadImageFromUrl"]),
            Err("the pool denies nodes of class \"LoadImageFromUrl\" (spec.limits.denyNodes: *Url*)"
                .to_owned())
        );
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is) in [
            ("a.safetensors", "a.safetensors", true),
            ("a", "ab", false),
            ("*", "", true),
            ("sdxl/*", "sdxl/base", true),
            ("sdxl/*", "sd15/base", false),
            ("*.ckpt", "a.ckpt", true),
            ("*.ckpt", "a.ckpt.bak", false),
            ("*Url*", "LoadImageFromUrl", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("ü*", "üben", true),
            ("**", "any", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
