use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number with at most three decimals, exact. In the API it is a whole number or a decimal string such as `"7.5"`, so
/// that no reader rounds it; a float in JSON is read too, if it has no more decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Decimal {
    thousandths: i64,
}

/// Not a number with at most three decimals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a decimal with at most three places, e.g. \"7.5\"")]
pub struct DecimalError {
    text: String,
}

const THOUSAND: u64 = 1000;
const PLACES: usize = 3;
/// Sums of milliseconds stay well below.
const WHOLE_DIGITS: usize = 15;

impl Decimal {
    /// A whole number.
    #[must_use]
    pub const fn whole(number: i32) -> Self {
        Self { thousandths: number as i64 * 1000 }
    }

    /// A number of thousandths: of a number of milliseconds, the seconds.
    #[must_use]
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self { thousandths }
    }

    /// So many milliseconds, in seconds.
    #[must_use]
    pub fn seconds(milliseconds: u64) -> Self {
        Self { thousandths: i64::try_from(milliseconds).unwrap_or(i64::MAX) }
    }

    /// The number in thousandths.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.thousandths
    }

    /// The nearest float.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // 15 digits are exact
    pub fn to_f64(self) -> f64 {
        self.thousandths as f64 / 1000.0
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let error = || DecimalError { text: text.chars().take(40).collect() };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits =
            |s: &str, max: usize| (1..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole, WHOLE_DIGITS) || !are_digits(fraction, PLACES) {
            return Err(error());
        }
        let whole: i64 = whole.parse().map_err(|_| error())?;
        let fraction: i64 = format!("{fraction:0<PLACES$}").parse().map_err(|_| error())?;
        let thousandths = whole * 1000 + fraction;
        Ok(Self { thousandths: if negative { -thousandths } else { thousandths } })
    }
}

/// As short as it can be: `7`, `7.5`, `-0.125`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.thousandths < 0 { "-" } else { "" };
        let magnitude = self.thousandths.unsigned_abs();
        let fraction = format!("{:03}", magnitude % THOUSAND);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", magnitude / THOUSAND),
            places => write!(f, "{sign}{}.{places}", magnitude / THOUSAND),
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(serde_json::Number),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        // 7.0 and 7.50 are 7 and 7.5.
        let shortest = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b == b'0') => whole,
            Some(_) => text.trim_end_matches('0'),
            None => &text,
        };
        shortest.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn a_decimal_is_written_as_short_as_it_can_be_and_reads_back() {
        let table = [
            ("7", 7000, "7"),
            ("7.5", 7500, "7.5"),
            ("0.001", 1, "0.001"),
            ("-0.125", -125, "-0.125"),
            ("100.10", 100_100, "100.1"),
            ("0", 0, "0"),
        ];
        for (text, thousandths, shown) in table {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!((decimal.thousandths(), decimal.to_string().as_str()), (thousandths, shown));
            let json = serde_json::to_string(&decimal).unwrap();
            assert_eq!(serde_json::from_str::<Decimal>(&json).unwrap(), decimal);
        }
        for json in ["7.5", "7.50", "7", "7.0", "\"7.5\""] {
            assert_eq!(serde_json::from_str::<Decimal>(json).unwrap().thousandths() / 1000, 7, "{json}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for json in [
            "\"\"",
            "\"1.2345\"",
            "\"a\"",
            "\"1e3\"",
            "\".5\"",
            "\"5.\"",
            "\"--1\"",
            "0.00001",
            "true",
            "null",
        ] {
            assert!(serde_json::from_str::<Decimal>(json).is_err(), "{json}");
        }
    }
}
