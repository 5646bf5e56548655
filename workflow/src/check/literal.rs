//! What a single input takes.

use serde_json::{Number, Value};

use super::{NEAREST, What};
use crate::{
    model::is_model_file,
    near::nearest,
    nodes::{Class, Input, Kind},
};

/// Types of which no literal can be one: what they hold exists only while a graph runs.
const MADE: [&str; 14] = [
    "MODEL",
    "CLIP",
    "VAE",
    "CONDITIONING",
    "LATENT",
    "IMAGE",
    "MASK",
    "CONTROL_NET",
    "SAMPLER",
    "SIGMAS",
    "NOISE",
    "GUIDER",
    "AUDIO",
    "VIDEO",
];
/// Any value may be given for `choice` of this one, whose choices the editor keeps.
const FREE_CHOICE: &str = "choice";

/// The inputs that a node of this class has, given what its own choices bring: full name, whether it is required,
/// definition.
pub(super) fn declared<'a>(class: &'a Class, node: &Value) -> Vec<(String, bool, &'a Input)> {
    let mut all = Vec::new();
    expand(&class.inputs, "", node, &mut all);
    all
}

fn expand<'a>(inputs: &'a [Input], prefix: &str, node: &Value, all: &mut Vec<(String, bool, &'a Input)>) {
    for input in inputs {
        let name = format!("{prefix}{}", input.name);
        match &input.kind {
            // The engine looks at it only once it holds one of the choices.
            Kind::Dynamic(choices) => {
                let Some(given) = node["inputs"].get(&name) else { continue };
                if let Some((_, brought)) = choices.iter().find(|(key, _)| key == given) {
                    expand(brought, &format!("{name}."), node, all);
                }
                all.push((name, false, input));
            }
            Kind::Grow { names, min, each } => {
                let named = names.iter().enumerate();
                all.extend(named.map(|(at, each_name)| {
                    (format!("{name}.{each_name}"), at < *min && each.required && input.required, &**each)
                }));
            }
            Kind::Opaque => {}
            Kind::Type(_) | Kind::Choice(_) => all.push((name, input.required, input)),
        }
    }
}

/// Whether an output of this type may be linked to the input: one of the types has to be the same.
pub(super) fn takes(input: &Input, given: &str) -> bool {
    let is_any = |kinds: &str| kinds.split(',').any(|kind| matches!(kind.trim(), "*" | "COMFY_MATCHTYPE_V3"));
    let takes = match &input.kind {
        Kind::Type(takes) => &**takes,
        Kind::Choice(_) => "COMBO",
        Kind::Dynamic(_) | Kind::Grow { .. } | Kind::Opaque => return true,
    };
    is_any(given) || is_any(takes) || given.split(',').any(|a| takes.split(',').any(|b| a.trim() == b.trim()))
}

/// What an input takes, in words.
pub(super) fn kind_of(input: &Input) -> String {
    match &input.kind {
        Kind::Type(kind) => kind.to_string(),
        Kind::Choice(_) | Kind::Dynamic(_) => "one of a list".into(),
        Kind::Grow { .. } | Kind::Opaque => "several".into(),
    }
}

/// What is wrong with a literal. `any_value`: of a list, it need not be one.
pub(super) fn wrong(class: &Class, input: &Input, value: &Value, any_value: bool) -> Option<What> {
    let value = value.get("__value__").unwrap_or(value);
    match &input.kind {
        Kind::Type(kind) => match &**kind {
            "INT" => number(class, input, integer(value), value, "a whole number"),
            "FLOAT" => number(class, input, float(value), value, "a number"),
            made if !class.is_custom() && MADE.contains(&made) && !value.is_null() => Some(What::WrongType {
                given: value.to_string(),
                takes: format!("a link to a node that gives {made}"),
            }),
            _ => None,
        },
        Kind::Choice(choices) if any_value || &*input.name == FREE_CHOICE || choices.is_empty() => None,
        Kind::Choice(choices) => {
            let is_file = value.as_str().is_some_and(is_model_file);
            let has = choices.iter().any(|choice| is_same(choice, value));
            if has || class.is_custom() && !is_file { None } else { Some(not_in_list(value, choices)) }
        }
        Kind::Dynamic(choices) => {
            let has = class.is_custom() || choices.iter().any(|(key, _)| key == value);
            let keys: Vec<Value> = choices.iter().map(|(key, _)| key.clone()).collect();
            if has { None } else { Some(not_in_list(value, &keys)) }
        }
        Kind::Grow { .. } | Kind::Opaque => None,
    }
}

fn not_in_list(value: &Value, choices: &[Value]) -> What {
    /// Longer lists are not shown.
    const SHOWN: usize = 12;
    let names: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
    let nearest =
        value.as_str().map(|given| nearest(given, names.iter().copied(), NEAREST)).unwrap_or_default();
    let few = choices.len() <= SHOWN;
    let has = if few { choices.iter().map(Value::to_string).collect() } else { Vec::new() };
    What::NotInList { given: value.to_string(), nearest, has, of: choices.len() }
}

/// As Python compares: `1`, `1.0` and `True` are equal.
fn is_same(choice: &Value, value: &Value) -> bool {
    let as_number = |value: &Value| match value {
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        other => other.as_f64(),
    };
    choice == value || as_number(choice).zip(as_number(value)).is_some_and(|(a, b)| (a - b).abs() == 0.0)
}

fn number(class: &Class, input: &Input, given: Option<Num>, value: &Value, takes: &str) -> Option<What> {
    let Some(given) = given else {
        return Some(What::WrongType { given: value.to_string(), takes: takes.into() });
    };
    let below = input.min.as_ref().is_some_and(|min| given.is_below(&bound(min)));
    let above = input.max.as_ref().is_some_and(|max| bound(max).is_below(&given));
    // A custom node may take over the judgement of bounds.
    if class.is_custom() || !(below || above) {
        return None;
    }
    let text = |bound: &Option<Number>| bound.as_ref().map(Number::to_string);
    Some(What::OutOfRange { given: value.to_string(), min: text(&input.min), max: text(&input.max) })
}

/// A number as Python has it: whole ones without a bound.
enum Num {
    Whole(i128),
    Float(f64),
}

impl Num {
    /// NaN is neither below nor above anything.
    fn is_below(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a < b,
            #[allow(clippy::cast_precision_loss)] // far from any bound that counts
            (Self::Whole(a), Self::Float(b)) => (*a as f64) < *b,
            #[allow(clippy::cast_precision_loss)]
            (Self::Float(a), Self::Whole(b)) => *a < *b as f64,
            (Self::Float(a), Self::Float(b)) => a < b,
        }
    }
}

fn bound(number: &Number) -> Num {
    number.as_i128().map_or_else(|| Num::Float(number.as_f64().unwrap_or(f64::NAN)), Num::Whole)
}

/// `int(value)`.
fn integer(value: &Value) -> Option<Num> {
    match value {
        Value::Number(number) => match bound(number) {
            #[allow(clippy::cast_possible_truncation)] // as Python does; it saturates far above any bound
            Num::Float(float) => Some(Num::Whole(float as i128)),
            whole @ Num::Whole(_) => Some(whole),
        },
        Value::Bool(is) => Some(Num::Whole(i128::from(*is))),
        Value::String(text) => {
            let digits = text.trim().replace('_', "");
            digits
                .parse()
                .map(Num::Whole)
                .ok()
                .or_else(|| digits.parse().is_ok_and(is_huge).then_some(Num::Whole(i128::MAX)))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number beyond 128 bits, which Python reads as well.
fn is_huge(float: f64) -> bool {
    float > 1e38
}

/// `float(value)`: text may be `8.8e+11`, `nan` or `inf`.
fn float(value: &Value) -> Option<Num> {
    match value {
        Value::Number(number) => Some(bound(number)),
        Value::Bool(is) => Some(Num::Whole(i128::from(*is))),
        Value::String(text) => text.trim().replace('_', "").parse().map(Num::Float).ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
