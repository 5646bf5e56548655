//! JSON as Python writes it. ComfyUI answers with `json.dumps`, which writes what no other parser takes: bare `NaN`
//! and `Infinity` (a float input "nan", and every node that asks to be run anew by returning NaN), and halves of
//! UTF-16 pairs (file names that are not UTF-8).

use std::borrow::Cow;

/// The same text with `null` for each number that JSON does not know, and U+FFFD for each half of a pair.
pub(super) fn to_json(text: &str) -> Cow<'_, str> {
    let strange = ["NaN", "Infinity", "\\ud", "\\uD"];
    if !strange.iter().any(|token| text.contains(token)) {
        return Cow::Borrowed(text);
    }
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        let (outside, string) = rest.split_at(quote);
        push_outside(&mut json, outside);
        let end = end_of_string(string);
        let (string, after) = string.split_at(end);
        push_string(&mut json, string);
        rest = after;
    }
    push_outside(&mut json, rest);
    Cow::Owned(json)
}

/// What stands between strings.
fn push_outside(json: &mut String, text: &str) {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return json.push_str(text);
    }
    let null = text.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null");
    json.push_str(&null);
}

/// The length of the string that `text` begins with, quotes included; all of it if the string does not end.
fn end_of_string(text: &str) -> usize {
    let mut escaped = true; // the opening quote
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn push_string(json: &mut String, string: &str) {
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        json.push_str(before);
        let taken = match (code_unit(escape), code_unit(escape.get(6..).unwrap_or_default())) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                json.push('\u{FFFD}');
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            // A backslash and the character that it escapes.
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escape, after) = escape.split_at(taken);
        json.push_str(escape);
        rest = after;
    }
    json.push_str(rest);
}

/// Of `\uXXXX`.
fn code_unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    use super::to_json;

    #[test]
    fn what_only_python_reads_is_read_too() {
        let table = [
            (r#"{"a": NaN, "b": [-Infinity, Infinity, 1]}"#, json!({"a": null, "b": [null, null, 1]})),
            (r#"{"NaN": "NaN, -Infinity", "b": NaN}"#, json!({"NaN": "NaN, -Infinity", "b": null})),
            (r#"["a\"NaN", NaN, "\\", NaN]"#, json!(["a\"NaN", null, "\\", null])),
            (
                r#"["\ud83d\ude00", "a\udce9.png", "\ud800\ud800"]"#,
                json!(["😀", "a\u{FFFD}.png", "\u{FFFD}\u{FFFD}"]),
            ),
            (r#"["\\ud800", "\u00fc\ud800"]"#, json!(["\\ud800", "ü\u{FFFD}"])),
        ];
        for (text, value) in table {
            let json = to_json(text);
            assert_eq!(serde_json::from_str::<Value>(&json).expect(text), value, "{json}");
        }
    }

    #[test]
    fn what_ends_in_the_middle_is_no_reason_to_panic() {
        for text in ["\"NaN", "NaN\"\\", "\"\\ud8", "NaN\"\\u", "NaN\"ü\\ü", "\"\\ud800\\u"] {
            let _ = to_json(text);
        }
    }

    proptest! {
        #[test]
        fn json_stays_what_it_is(text in any::<String>(), more in any::<String>()) {
            let value = json!({"NaN": [text, more, "\\ud800", 1.5, null]});
            let json = value.to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&to_json(&json)).expect("JSON"), value);
        }

        #[test]
        fn no_text_is_a_reason_to_panic(text in "[NaInfity\"\\\\ud8-]{0,40}") {
            let _ = to_json(&text);
        }
    }
}
