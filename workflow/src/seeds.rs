//! Which inputs carry an image's seed, and counting them up.

use serde_json::Value;

use crate::{Graph, InputPath, class_of, inputs_of, link, set::find, shown};

/// From here on the API server's numbers are floats.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
/// Links are followed this far.
const MAX_LINKS: usize = 16;

/// An input that is counted up from image to image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SeedAt {
    /// Where it stands in the graph. It holds a number there.
    pub path: InputPath,
    /// The seed of the job's first image.
    pub first: u64,
}

/// What a job says of its seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeedRules<'a> {
    /// Inputs that are seeds though their names may not say so, each `node.input`.
    pub named: &'a [String],
    /// Only the named ones are counted up. Else those whose names say that they are seeds are as well.
    pub only_named: bool,
    /// Images of the job.
    pub count: u32,
    /// All images may be the same.
    pub same: bool,
}

/// A seed that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedProblem {
    /// A named one that the graph does not have.
    #[error("seedInputs[{path:?}]: {why}")]
    Named {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// One that is no seed.
    #[error("node {node} ({class}): {input} {why}")]
    Input {
        /// The node's id.
        node: String,
        /// Its class.
        class: String,
        /// The input's name.
        input: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no seed to count up.
    #[error(
        "no seed of the workflow can be counted up{linked}, so all {count} images would be the same: name the inputs \
         that are seeds in seedInputs, or say sameSeed: true, or count: 1"
    )]
    None {
        /// Images of the job.
        count: u32,
        /// What is linked to something else, in words.
        linked: String,
    },
}

/// Finds the seeds and makes each a whole number in its place, so that the images of a job can count it up.
///
/// A seed may be written as a number, a float without a fraction or a decimal text, or be linked to a node that only
/// holds a value. One below zero is left to the engine.
///
/// # Errors
///
/// If a seed is not a whole number, can't be counted up, or there is none though there are several images.
pub fn settle_seeds(graph: &mut Graph, rules: SeedRules<'_>) -> Result<Vec<SeedAt>, SeedProblem> {
    let mut seeds = named(graph, rules.named)?;
    let mut linked = None;
    if !rules.only_named {
        let (found, other) = found(graph, &seeds)?;
        seeds.extend(found);
        linked = other;
    }
    // With `same`, the last image has the first one's seed.
    let last = if rules.same { 0 } else { rules.count.saturating_sub(1) };
    for seed in &seeds {
        if seed.first.checked_add(u64::from(last)).is_none() {
            let why = format!("{} can't be counted up for {} images", seed.first, rules.count);
            return Err(problem(graph, &seed.path, why));
        }
    }
    if seeds.is_empty() && rules.count > 1 && !rules.same {
        return Err(SeedProblem::None { count: rules.count, linked: linked.unwrap_or_default() });
    }
    count_up(graph, &seeds, 0);
    Ok(seeds)
}

/// What to say of a seed in a graph that came as a part of an object of the API server, if it is not the one that was meant
/// any more: the API server rounds numbers above 2^63 - 1.
#[must_use]
pub fn rounded_seed(graph: &Graph) -> Option<String> {
    let rounded = |value: &Value| value.is_number() && value.as_f64() >= Some(TWO_TO_63);
    graph.iter().find_map(|(id, node)| {
        let inputs = node["inputs"].as_object()?;
        let (name, _) = inputs.iter().find(|(name, value)| name.ends_with("seed") && rounded(value))?;
        Some(format!(
            "node {} ({}): {} is above {} (2^63 - 1), and the API server has rounded it; write it in quotes, as seeds up \
             to {} may be",
            shown(id),
            shown(class_of(node)),
            shown(name),
            i64::MAX,
            u64::MAX
        ))
    })
}

/// Sets the seeds of the image with this index, counted from 0.
pub fn count_up(graph: &mut Graph, seeds: &[SeedAt], index: u32) {
    for SeedAt { path, first } in seeds {
        if let Ok(input) = find(graph, path) {
            *input = first.wrapping_add(u64::from(index)).into();
        }
    }
}

fn named(graph: &mut Graph, paths: &[String]) -> Result<Vec<SeedAt>, SeedProblem> {
    let mut seeds = Vec::new();
    for text in paths {
        let invalid = |why: String| SeedProblem::Named { path: text.clone(), why };
        let path: InputPath = text.parse().map_err(|error| invalid(format!("{error}")))?;
        let value = find(graph, &path).map_err(invalid)?.clone();
        match literal(graph, &value) {
            Literal::Value(literal, _) => match whole(literal).map_err(invalid)? {
                Seed::Whole(first) => seeds.push(SeedAt { path, first }),
                Seed::Negative => return Err(invalid(format!("is {literal}; give 0 or more"))),
            },
            Literal::Of(other) => {
                return Err(invalid(format!(
                    "is linked to node {}, whose value can't be counted up; name an input that is a number",
                    shown(other)
                )));
            }
        }
    }
    Ok(seeds)
}

/// The seeds by their names but for those that are named, and the last link that leads to none.
fn found(graph: &Graph, named: &[SeedAt]) -> Result<(Vec<SeedAt>, Option<String>), SeedProblem> {
    let is_named = |path: &InputPath| named.iter().any(|seed| seed.path == *path);
    let mut seeds = Vec::new();
    let mut linked = None;
    for (id, node) in graph {
        for (name, value) in inputs_of(node).filter(|(name, _)| is_seed(name)) {
            let path = InputPath::new(id, name);
            match literal(graph, value) {
                _ if is_named(&path) => {}
                // It stays linked, and its value is counted up there.
                Literal::Value(_, Some(holder)) if is_named(&InputPath::new(holder, "value")) => {}
                // A switch of a custom node (`random_seed: true`), or a word of how to draw one.
                Literal::Value(Value::Bool(_), _) => {}
                Literal::Value(Value::String(word), _) if !is_plain(name) && whole_text(word).is_none() => {}
                Literal::Value(literal, _) => match whole(literal) {
                    Ok(Seed::Whole(first)) => seeds.push(SeedAt { path, first }),
                    Ok(Seed::Negative) => {}
                    Err(why) => return Err(problem(graph, &path, why)),
                },
                Literal::Of(other) => {
                    let class = shown(class_of(node));
                    let (id, other) = (shown(id), shown(other));
                    linked = Some(format!(
                        " (node {id} ({class}): {name} is linked to node {other}, whose value can't be)"
                    ));
                }
            }
        }
    }
    Ok((seeds, linked))
}

/// A seed as it is given.
enum Seed {
    Whole(u64),
    /// Below zero: the engine says what it thinks of it.
    Negative,
}

/// What an input is in the end.
enum Literal<'a> {
    /// And the node that holds it, if it is another.
    Value(&'a Value, Option<&'a str>),
    /// The output of this node, which is worked out when the graph runs.
    Of(&'a str),
}

fn problem(graph: &Graph, path: &InputPath, why: String) -> SeedProblem {
    SeedProblem::Input {
        node: shown(&path.node),
        class: shown(graph.get(&path.node).map(class_of).unwrap_or_default()),
        input: shown(&path.input),
        why,
    }
}

/// Whether an input of this name carries a seed: `seed`, `noise_seed`, `wildcard_seed`.
pub(crate) fn is_seed(name: &str) -> bool {
    name.ends_with("seed") || name == "seed_num"
}

/// Whether it can't be anything else.
fn is_plain(name: &str) -> bool {
    matches!(name, "seed" | "noise_seed")
}

fn whole(value: &Value) -> Result<Seed, String> {
    /// 2^53: from here on a floating-point number may stand for its neighbours.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let not_whole = || format!("is {}, not a whole number", shown(&value.to_string()));
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(seed), _, _) => Ok(Seed::Whole(seed)),
            (None, Some(_), _) => Ok(Seed::Negative),
            (None, None, Some(float)) if float.abs() >= EXACT => Err(
                "is above 9223372036854775807 and was rounded on its way; give it as a decimal text, e.g. \
                 \"15555555555555555555\": as text, seeds up to 18446744073709551615 are exact"
                    .into(),
            ),
            (None, None, Some(float)) if float.fract() == 0.0 => {
                if float < 0.0 {
                    return Ok(Seed::Negative);
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                // whole, ≥ 0 and below 2^53
                let seed = float as u64;
                Ok(Seed::Whole(seed))
            }
            _ => Err(not_whole()),
        },
        Value::String(text) => whole_text(text).ok_or_else(not_whole),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(not_whole()),
    }
}

fn whole_text(text: &str) -> Option<Seed> {
    let text = text.trim();
    match (text.parse::<u64>(), text.parse::<i64>()) {
        (Ok(seed), _) => Some(Seed::Whole(seed)),
        (Err(_), Ok(_)) => Some(Seed::Negative),
        (Err(_), Err(_)) => None,
    }
}

/// The value of an input where it stands in the graph: there, or in a node that only holds a value.
pub(crate) fn literal_of<'a>(graph: &'a Graph, value: &'a Value) -> Option<&'a Value> {
    match literal(graph, value) {
        Literal::Value(value, _) => Some(value),
        Literal::Of(_) => None,
    }
}

/// Follows links to nodes that only hold a value (`PrimitiveInt` and its like).
fn literal<'a>(graph: &'a Graph, mut value: &'a Value) -> Literal<'a> {
    let mut at = None;
    for _ in 0..MAX_LINKS {
        let Some((id, _)) = link(value) else { return Literal::Value(value, at) };
        at = Some(id);
        let Some(node) = graph.get(id) else { break };
        let mut inputs = inputs_of(node);
        match (inputs.next(), inputs.next()) {
            // One that counts up by itself gives the link a new value for every image.
            (Some((name, _)), _) if is_seed(name) => break,
            (Some((name, held)), None) if name == "value" => value = held,
            _ => break,
        }
    }
    Literal::Of(at.unwrap_or_default())
}

#[cfg(test)]
mod tests;
