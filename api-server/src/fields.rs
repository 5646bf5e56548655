//! The fields of a request's body, read one after the other. A field may have several names, and numbers may be texts, as
//! clients differ in both.

use serde_json::{Map, Value};

use crate::error::Error;

/// The fields that nobody has read yet.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// `null` counts as left out.
    pub(crate) fn new(mut all: Map<String, Value>) -> Self {
        all.retain(|_, value| !value.is_null());
        Self(all)
    }

    /// Takes the field that has one of these names, with the name that the request has.
    ///
    /// # Errors
    /// [`Error::Invalid`] when two of the names are there with different values.
    pub(crate) fn take<'a>(&mut self, names: &[&'a str]) -> Result<Option<(&'a str, Value)>, Error> {
        let mut found: Option<(&str, Value)> = None;
        for name in names {
            let Some(value) = self.0.shift_remove(*name) else { continue };
            match &found {
                Some((first, other)) if !is_same(other, &value) => {
                    let detail = format!("it means the same as {first}, but has another value");
                    return Err(Error::invalid(format!("/{name}"), detail));
                }
                Some(_) => {}
                None => found = Some((name, value)),
            }
        }
        Ok(found)
    }

    /// Sets a field that is read later.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn text(&mut self, names: &[&str]) -> Result<Option<String>, Error> {
        match self.take(names)? {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((name, _)) => Err(Error::invalid(format!("/{name}"), "it must be a text")),
        }
    }

    /// A text that is not empty.
    pub(crate) fn filled_text(&mut self, names: &[&str]) -> Result<Option<String>, Error> {
        Ok(self.text(names)?.filter(|text| !text.trim().is_empty()))
    }

    pub(crate) fn number(&mut self, names: &[&str]) -> Result<Option<f64>, Error> {
        self.parsed(names, "it must be a number", |value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// A whole number; `20.0` is one too.
    pub(crate) fn whole(&mut self, names: &[&str]) -> Result<Option<u32>, Error> {
        self.parsed(names, "it must be a whole number, not below 0", |value| {
            let number = as_text(value)?;
            number.strip_suffix(".0").unwrap_or(&number).parse().ok()
        })
    }

    /// A seed; below 0 it is to be drawn.
    pub(crate) fn seed(&mut self, names: &[&str]) -> Result<Option<u64>, Error> {
        let seed = self.parsed(names, "it must be a whole number from -1 to 2^64 - 1", |value| {
            let number = as_text(value)?.parse::<i128>().ok()?;
            if number < 0 { Some(None) } else { u64::try_from(number).ok().map(Some) }
        })?;
        Ok(seed.flatten())
    }

    pub(crate) fn boolean(&mut self, names: &[&str]) -> Result<Option<bool>, Error> {
        self.parsed(names, "it must be true or false", |value| match value {
            Value::Bool(yes) => Some(*yes),
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        })
    }

    /// The names of what nobody has read.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn parsed<T>(
        &mut self,
        names: &[&str],
        must: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some((name, value)) = self.take(names)? else { return Ok(None) };
        // Forms send fields that were left empty.
        if value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        parse(&value).map(Some).ok_or_else(|| Error::invalid(format!("/{name}"), must))
    }
}

/// Clients differ in whether 7 is `7` or `7.0`.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => one == other,
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.trim().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(all: &Value) -> Fields {
        Fields::new(all.as_object().unwrap().clone())
    }

    #[test]
    fn numbers_may_be_texts() {
        let mut sent =
            fields(&json!({"a": "20", "b": 20.0, "c": "7.5", "d": "18446744073709551615", "e": -1,
            "f": "true", "g": "", "h": null}));
        assert_eq!((sent.whole(&["a"]), sent.whole(&["b"])), (Ok(Some(20)), Ok(Some(20))));
        assert_eq!(sent.number(&["c"]), Ok(Some(7.5)));
        assert_eq!((sent.seed(&["d"]), sent.seed(&["e"])), (Ok(Some(u64::MAX)), Ok(None)));
        assert_eq!(sent.boolean(&["f"]), Ok(Some(true)));
        assert_eq!((sent.whole(&["g"]), sent.text(&["h"])), (Ok(None), Ok(None)));
        assert_eq!(sent.names().count(), 0);
        let mut wrong = fields(&json!({"a": -1, "b": "x", "c": 1.5, "d": 1e30, "e": []}));
        assert!(
            wrong.whole(&["a"]).is_err() && wrong.number(&["b"]).is_err() && wrong.whole(&["c"]).is_err()
        );
        assert!(wrong.seed(&["d"]).is_err() && wrong.text(&["e"]).is_err());
    }

    #[test]
    fn two_names_of_one_field_have_the_same_value_or_are_refused() {
        assert_eq!(fields(&json!({"a": 7, "b": 7.0})).number(&["a", "b"]), Ok(Some(7.0)));
        let wrong = fields(&json!({"a": 7, "b": 8})).number(&["a", "b"]);
        assert_eq!(wrong, Err(Error::invalid("/b", "it means the same as a, but has another value")));
    }
}
