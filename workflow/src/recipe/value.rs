//! A value as its input's type has it.

use crds::{Decimal, RecipeInput, RecipeInputType};
use serde_json::{Number, Value};

use crate::{near::nearest, shown};

/// The longest text where the recipe says nothing else, characters.
const MAX_LENGTH: u32 = 10_000;

/// The value as it goes into the graph, or what is allowed.
pub(super) fn convert(input: &RecipeInput, value: &Value, files: &[&str]) -> Result<Value, String> {
    let not = || format!("is {}; give {}", shown(&value.to_string()), allowed(input, files));
    match input.kind {
        RecipeInputType::String => {
            let text = value.as_str().ok_or_else(not)?;
            let length = text.chars().count();
            let most = input.max_length.unwrap_or(MAX_LENGTH);
            if length > usize::try_from(most).unwrap_or(usize::MAX) {
                return Err(format!("has {length} characters; at most {most} are allowed"));
            }
            Ok(value.clone())
        }
        RecipeInputType::Integer => {
            let whole = integer(value).ok_or_else(not)?;
            #[allow(clippy::cast_precision_loss)] // bounds are far below 2^53
            within(input, whole as f64).then(|| whole.into()).ok_or_else(not)
        }
        RecipeInputType::Number => {
            let number = number(value).filter(|number| within(input, *number)).ok_or_else(not)?;
            Number::from_f64(number).map(Value::Number).ok_or_else(not)
        }
        RecipeInputType::Boolean => value.as_bool().map(Value::Bool).ok_or_else(not),
        RecipeInputType::Enum => one_of(value, input.choices.iter().map(String::as_str))
            .ok_or_else(not)
            .map_err(near(value, &input.choices)),
        RecipeInputType::Image => one_of(value, files.iter().copied()).ok_or_else(not),
        RecipeInputType::Seed => seed(value).map(Value::from).ok_or_else(not),
        RecipeInputType::Unknown => {
            Err("is of a type that this operator does not know; a newer one does".into())
        }
    }
}

/// What an input takes, in words.
pub(super) fn allowed(input: &RecipeInput, files: &[&str]) -> String {
    let bounds = |kind: &str| match (&input.minimum, &input.maximum) {
        (Some(min), Some(max)) => format!("{kind} from {min} to {max}"),
        (Some(min), None) => format!("{kind} of {min} or more"),
        (None, Some(max)) => format!("{kind} of {max} or less"),
        (None, None) => kind.to_owned(),
    };
    match input.kind {
        RecipeInputType::String => "a text".into(),
        RecipeInputType::Integer => bounds("a whole number"),
        RecipeInputType::Number => bounds("a number or a decimal text"),
        RecipeInputType::Boolean => "true or false".into(),
        RecipeInputType::Enum => format!("one of {}", input.choices.join(", ")),
        RecipeInputType::Image if files.is_empty() => {
            "the name of an entry of spec.inputs; the job has none".into()
        }
        RecipeInputType::Image => format!("the name of an entry of spec.inputs: {}", files.join(", ")),
        RecipeInputType::Seed => {
            "a whole number from 0 to 18446744073709551615, above 9223372036854775807 as a text".into()
        }
        RecipeInputType::Unknown => "nothing that this operator knows".into(),
    }
}

fn near(value: &Value, choices: &[String]) -> impl FnOnce(String) -> String {
    let near = value.as_str().map(|given| nearest(given, choices.iter().map(String::as_str), 1));
    move |why| match near.unwrap_or_default().first() {
        Some(near) => format!("{why}; did you mean {near:?}?"),
        None => why,
    }
}

fn one_of<'a>(value: &Value, mut names: impl Iterator<Item = &'a str>) -> Option<Value> {
    let given = value.as_str()?;
    names.any(|name| name == given).then(|| value.clone())
}

fn within(input: &RecipeInput, number: f64) -> bool {
    let least = input.minimum.map_or(f64::NEG_INFINITY, Decimal::to_f64);
    let most = input.maximum.map_or(f64::INFINITY, Decimal::to_f64);
    (least..=most).contains(&number)
}

/// A whole number, as a number or a decimal text.
fn integer(value: &Value) -> Option<i64> {
    /// Below 2^53, where each whole float stands for itself.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
            #[allow(clippy::cast_possible_truncation)] // whole and below 2^53
            let whole = float as i64;
            Some(whole)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number, as a number or a decimal text.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A number above 2^63 - 1 is not the one that was meant: the API server has rounded it.
fn seed(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            let kept = number.as_i64().and_then(|seed| u64::try_from(seed).ok());
            kept.or_else(|| integer(value).and_then(|seed| u64::try_from(seed).ok()))
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
