//! A seed in JSON: a number as far as the API server keeps it exactly, a string of digits beyond.

use serde::{Deserialize, Deserializer, Serialize as _, Serializer, de::Error as _};

#[derive(Deserialize)]
#[serde(untagged)]
enum Seed {
    Number(u64),
    Text(String),
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
/// For `#[serde(with)]`.
///
/// # Errors
/// As the serializer says.
pub fn serialize<S: Serializer>(seed: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seed {
        Some(seed) if i64::try_from(*seed).is_err() => serializer.collect_str(seed),
        seed => seed.serialize(serializer),
    }
}

/// For `#[serde(with)]`.
///
/// # Errors
/// For what is neither a whole number nor digits.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<Seed>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Seed::Number(seed)) => Ok(Some(seed)),
        Some(Seed::Text(digits)) => digits.parse().map(Some).map_err(D::Error::custom),
    }
}
