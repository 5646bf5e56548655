//! JSON as Python reads and writes it: with the bare words `NaN`, `Infinity` and `-Infinity`, which ComfyUI accepts and
//! sends, and which strict readers refuse.
//!
//! [`Value`] has no such numbers. Here they are strings that begin with a character that no client sends.
use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::{
    Value,
    ser::{Formatter, Serializer},
};

/// A character of Unicode's private use area.
const MARK: char = '\u{F8FF}';
const WORDS: [(&str, f64); 3] =
    [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

/// Reads JSON that may contain bare words.
pub(crate) fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(&marked(text)),
        Err(_) => Err(error),
    })
}

/// Writes JSON with bare words for the values that [`number`] made.
pub(crate) fn text(value: &Value) -> String {
    bare(value.to_string())
}

/// `json.dumps(value)`: with spaces after commas and colons, and all characters that are not ASCII escaped.
pub(crate) fn dumps(value: &Value) -> String {
    let mut written = Vec::new();
    let mut writer = Serializer::with_formatter(&mut written, Spaced);
    // Writing to memory does not fail, and a value has only keys of text.
    let _ = value.serialize(&mut writer);
    let mut text = String::new();
    for character in bare(String::from_utf8(written).unwrap_or_default()).chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn bare(mut text: String) -> String {
    if text.contains(MARK) {
        for (word, _) in WORDS {
            text = text.replace(&format!("\"{MARK}{word}\""), word);
        }
    }
    text
}

/// A float as a value, even if JSON has no number for it.
pub(crate) fn number(float: f64) -> Value {
    let is_float = |(_, value): &&(&str, f64)| value.to_bits() == float.to_bits();
    match WORDS.iter().find(is_float) {
        Some((word, _)) => Value::String(format!("{MARK}{word}")),
        None if float.is_nan() => number(f64::NAN),
        None => serde_json::json!(float),
    }
}

/// The float that a value stands for, if JSON has no number for it.
pub(crate) fn not_finite(value: &Value) -> Option<f64> {
    let word = value.as_str()?.strip_prefix(MARK)?;
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, float)| *float)
}

/// Whether a value contains a NaN.
pub(crate) fn has_nan(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_nan),
        Value::Object(fields) => fields.values().any(has_nan),
        value => not_finite(value).is_some_and(f64::is_nan),
    }
}

/// The text with its bare words as strings.
fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut in_string = false;
    while let Some(next) = rest.chars().next() {
        let word = WORDS.iter().find(|(word, _)| !in_string && rest.starts_with(word));
        let length = match (word, next) {
            (Some((word, _)), _) => {
                marked.push_str(&format!("\"{MARK}{word}\""));
                rest = &rest[word.len()..];
                continue;
            }
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, '"') => {
                in_string = !in_string;
                1
            }
            (None, other) => other.len_utf8(),
        };
        marked.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    marked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bare_words_survive_and_strings_stay() {
        let given = r#"{"a":NaN,"b":[-Infinity,Infinity],"c":"say \"NaN\"","d":1.5}"#;
        let value = parse(given.as_bytes()).unwrap();
        assert_eq!(text(&value), given);
        assert!(has_nan(&value));
        assert_eq!(value["c"], json!("say \"NaN\""));
        assert!(!has_nan(&value["c"]));
        assert_eq!(text(&number(-f64::NAN)), "NaN");
        assert_eq!(number(0.5), json!(0.5));
    }

    #[test]
    fn dumps_writes_as_python_does() {
        let value = json!({"a": [1, "ü", "😀"], "b": {"c": number(f64::NAN)}});
        assert_eq!(dumps(&value), r#"{"a": [1, "\u00fc", "\ud83d\ude00"], "b": {"c": NaN}}"#);
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in ["{", "nan", r#"{"a":Nan}"#, r#"{"a":NaNs}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
