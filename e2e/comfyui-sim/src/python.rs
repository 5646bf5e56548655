//! Python's conversions, whose results and messages appear in ComfyUI's answers.
use serde_json::Value;

use crate::python_json;

/// `int(value)`.
pub(crate) fn int(value: &Value) -> Result<i128, String> {
    match python_json::not_finite(value) {
        Some(float) if float.is_nan() => return Err(nan_as_int()),
        Some(_) => return Err("cannot convert float infinity to integer".to_owned()),
        None => {}
    }
    match value {
        Value::Number(number) => Ok(number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().map(truncated))
            .unwrap_or_default()),
        Value::Bool(value) => Ok(i128::from(*value)),
        Value::String(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("invalid literal for int() with base 10: {}", repr(value))),
        other => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            type_name(other)
        )),
    }
}

/// A count as a float.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn float_of(count: usize) -> f64 {
    count as f64
}

/// Whether Python considers the value true.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Python's message for the conversion of NaN to an integer.
pub(crate) fn nan_as_int() -> String {
    "cannot convert float NaN to integer".to_owned()
}

#[allow(clippy::cast_possible_truncation, reason = "dropping the fraction is what is asked for")]
fn truncated(value: f64) -> i128 {
    value as i128
}

/// `float(value)`.
pub(crate) fn float(value: &Value) -> Result<f64, String> {
    if let Some(float) = python_json::not_finite(value) {
        return Ok(float);
    }
    match value {
        Value::Number(number) => Ok(number.as_f64().unwrap_or_default()),
        Value::Bool(value) => Ok(f64::from(u8::from(*value))),
        Value::String(text) => {
            text.trim().parse().map_err(|_| format!("could not convert string to float: {}", repr(value)))
        }
        other => {
            Err(format!("float() argument must be a string or a real number, not '{}'", type_name(other)))
        }
    }
}

/// `str(value)`.
pub(crate) fn str(value: &Value) -> String {
    match value {
        Value::String(text) if python_json::not_finite(value).is_none() => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> String {
    if let Some(float) = python_json::not_finite(value) {
        return float_str(float);
    }
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64() {
            // Python's integers have any size; the JSON reader here makes a float of those beyond 64 bits.
            Some(float) if number.is_f64() && float.abs() >= 9e15 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => format!("'{}'", text.replace('\'', "\\'")),
        Value::Array(values) => format!("[{}]", values.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("'{name}': {}", repr(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `str(float)`: a whole float keeps its `.0`.
pub(crate) fn float_str(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.fract() == 0.0 && value.abs() < 1e16 { format!("{value:.1}") } else { value.to_string() }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}
