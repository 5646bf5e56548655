//! A form's fields as a recipe's inputs, and the values as jobs have them.

use crds::{RecipeInput, RecipeInputType};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::error::Fault;

/// What the names of fields begin with that are inputs of a recipe.
pub(crate) const PREFIX: &str = "input.";
/// A text that is likely to be longer than a line, by its longest length in characters.
const A_LINE: u32 = 200;

/// The field of an input. `given`: what somebody entered before; `faults`: what was wrong with it.
pub(crate) fn field(input: &RecipeInput, given: Option<&str>, faults: &[Fault]) -> Markup {
    let id = format!("{PREFIX}{}", input.name);
    let help = format!("{id}.help");
    let default = input.default.as_ref().map(plain).unwrap_or_default();
    let value = given.unwrap_or(&default);
    let fault = faults.iter().find(|fault| fault.pointer == pointer(&input.name));
    let described = (fault.is_some() || !input.description.is_empty()).then_some(&help);
    let invalid = fault.map(|_| "true");
    let number = |step: &str| {
        html! {
            input id=(id) name=(id) type="number" step=(step) min=[input.minimum] max=[input.maximum] value=(value)
                required[input.required] aria-describedby=[described] aria-invalid=[invalid];
        }
    };
    html! {
        div.field {
            @if input.kind == RecipeInputType::Boolean {
                label.check for=(id) {
                    input id=(id) name=(id) type="checkbox" value="true" checked[value == "true"] aria-describedby=[described];
                    (label(&input.name))
                }
            } @else {
                label for=(id) { (label(&input.name)) @if input.required { span.needed { " (required)" } } }
                @match input.kind {
                    RecipeInputType::Integer => (number("1")),
                    RecipeInputType::Number => (number("any")),
                    RecipeInputType::Seed => {
                        // Beyond 2^53 a number field would round.
                        input id=(id) name=(id) type="text" inputmode="numeric" pattern="[0-9]*" maxlength="20" value=(value)
                            placeholder="any" aria-describedby=[described] aria-invalid=[invalid];
                    }
                    RecipeInputType::Enum => {
                        select id=(id) name=(id) required[input.required] aria-describedby=[described] aria-invalid=[invalid] {
                            @if !input.required { option value="" { "as the recipe has it" } }
                            @for choice in &input.choices { option value=(choice) selected[choice == value] { (choice) } }
                        }
                    }
                    RecipeInputType::Image => {
                        input id=(id) name=(id) type="file" accept="image/*" required[input.required]
                            aria-describedby=[described] aria-invalid=[invalid];
                    }
                    RecipeInputType::String if is_long(input) => {
                        textarea id=(id) name=(id) rows="3" maxlength=[input.max_length] required[input.required]
                            aria-describedby=[described] aria-invalid=[invalid] { (value) }
                    }
                    _ => {
                        input id=(id) name=(id) type="text" maxlength=[input.max_length] value=(value) required[input.required]
                            aria-describedby=[described] aria-invalid=[invalid];
                    }
                }
            }
            @if described.is_some() {
                p.help id=(help) {
                    @if let Some(fault) = fault { strong.bad { (fault.detail) } " " }
                    (input.description)
                }
            }
        }
    }
}

fn is_long(input: &RecipeInput) -> bool {
    input.max_length.is_none_or(|most| most > A_LINE)
}

/// Where an input's value stands in what the form asks for.
pub(crate) fn pointer(name: &str) -> String {
    format!("/inputs/{name}")
}

/// An input's name as words: `negativePrompt` is "Negative prompt".
fn label(name: &str) -> String {
    let mut words = String::new();
    for (i, c) in name.chars().enumerate() {
        match c {
            '_' => words.push(' '),
            c if i == 0 => words.extend(c.to_uppercase()),
            c if c.is_uppercase() && words.ends_with(char::is_lowercase) => {
                words.push(' ');
                words.extend(c.to_lowercase());
            }
            c => words.push(c),
        }
    }
    words
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The value of an input as a job has it; `None`: the job gives none. A file is none of these.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn value(input: &RecipeInput, entered: Option<&str>) -> Result<Option<Value>, Fault> {
    let fault = |detail: &str| Fault::new(pointer(&input.name), detail);
    let is_text = input.kind == RecipeInputType::String;
    // Browsers send line ends as the network has them.
    let text = entered.unwrap_or_default().replace("\r\n", "\n");
    let text = if is_text { text.as_str() } else { text.trim() };
    if input.kind == RecipeInputType::Boolean {
        return Ok(Some(json!(text == "true")));
    }
    if text.is_empty() && !(is_text && input.default.is_some()) {
        return if input.required { Err(fault("a value is needed")) } else { Ok(None) };
    }
    let value = match input.kind {
        RecipeInputType::Integer => json!(text.parse::<i64>().map_err(|_| fault("give a whole number"))?),
        // Above 2^63 - 1 only a text keeps it as it is.
        RecipeInputType::Seed => match text.parse::<u64>() {
            Ok(seed) if i64::try_from(seed).is_ok() => json!(seed),
            _ => json!(text),
        },
        _ => json!(text),
    };
    workflow::check_input(input, &value).map_err(|why| fault(&format!("it {why}")))?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(fields: &Value) -> RecipeInput {
        let mut whole = json!({"name": "x", "to": ["1.x"]});
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_is_entered_becomes_a_value_of_the_inputs_type_or_a_fault() {
        for (fields, entered, wanted) in [
            (json!({"type": "String"}), Some("a\r\nb "), Ok(Some(json!("a\nb ")))),
            (json!({"type": "String"}), Some(""), Ok(None)),
            (json!({"type": "String", "default": "blurry"}), Some(""), Ok(Some(json!("")))),
            (json!({"type": "String", "required": true}), None, Err(())),
            (json!({"type": "String", "maxLength": 2}), Some("abc"), Err(())),
            (json!({"type": "Integer", "maximum": 50}), Some(" 50 "), Ok(Some(json!(50)))),
            (json!({"type": "Integer", "maximum": 50}), Some("51"), Err(())),
            (json!({"type": "Integer"}), Some("1.5"), Err(())),
            (json!({"type": "Number", "minimum": "0.5"}), Some("0.75"), Ok(Some(json!("0.75")))),
            (json!({"type": "Number"}), Some("x"), Err(())),
            (json!({"type": "Boolean"}), None, Ok(Some(json!(false)))),
            (json!({"type": "Boolean"}), Some("true"), Ok(Some(json!(true)))),
            (json!({"type": "Enum", "choices": ["ink"]}), Some("ink"), Ok(Some(json!("ink")))),
            (json!({"type": "Enum", "choices": ["ink"]}), Some("oil"), Err(())),
            (json!({"type": "Seed"}), Some("7"), Ok(Some(json!(7)))),
            (json!({"type": "Seed"}), Some("18446744073709551615"), Ok(Some(json!("18446744073709551615")))),
            (json!({"type": "Seed"}), Some("-1"), Err(())),
        ] {
            assert_eq!(value(&input(&fields), entered).map_err(drop), wanted, "{fields} {entered:?}");
        }
    }

    #[test]
    fn names_are_shown_as_words() {
        assert_eq!(label("negativePrompt"), "Negative prompt");
        assert_eq!(label("cfg_scale"), "Cfg scale");
    }
}
