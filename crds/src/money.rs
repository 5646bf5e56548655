use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount of money, exact to a millionth. In the API it is a decimal string such as `"0.90"`, so floating point never
/// rounds it. The currency is in another field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money {
    micros: u64,
}

/// Not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an amount of money: give a decimal string from \"0\" to \"999999.999999\", e.g. \"0.90\""
)]
pub struct MoneyError {
    text: String,
}

const MICROS: u64 = 1_000_000;
const MAX_FRACTION_DIGITS: usize = 6;

impl Money {
    /// An amount in millionths.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// The amount in millionths.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.micros
    }

    /// The cost of `milliseconds` at this price per hour, rounded to the nearest millionth.
    #[must_use]
    pub fn per_hour_for(self, milliseconds: u64) -> Self {
        const HOUR_MS: u128 = 3_600_000;
        let exact = u128::from(self.micros) * u128::from(milliseconds);
        Self { micros: u64::try_from((exact + HOUR_MS / 2) / HOUR_MS).unwrap_or(u64::MAX) }
    }

    /// The sum, or the largest amount if the sum is larger.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }

    /// The difference, or 0 if `other` is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_sub(other.micros) }
    }

    /// By how many percent the amount is less than `other`, rounded; 0 if it is not less.
    #[must_use]
    pub fn percent_below(self, other: Self) -> u32 {
        let less = u128::from(other.minus(self).micros);
        let half = u128::from(other.micros / 2);
        let percent = (less * 100 + half).checked_div(u128::from(other.micros));
        percent.and_then(|percent| u32::try_from(percent).ok()).unwrap_or_default()
    }

    /// The amount `n` times, or the largest amount if that is larger.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self { micros: self.micros.saturating_mul(n) }
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let error = || MoneyError { text: text.to_owned() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |s: &str, max: usize| (1..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        // Nothing is dearer than a u64 of millionths; sums may well be larger than a price may be.
        if !digits(whole, 13) || !digits(fraction, MAX_FRACTION_DIGITS) {
            return Err(error());
        }
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let fraction: u64 = format!("{fraction:0<MAX_FRACTION_DIGITS$}").parse().map_err(|_| error())?;
        Ok(Self { micros: whole * MICROS + fraction })
    }
}

impl TryFrom<String> for Money {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

/// At least two decimals, as prices are read: `0.90`, `3.00`, `0.000125`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.micros % MICROS);
        let (cents, rest) = fraction.split_at(2);
        f.pad(&format!("{}.{cents}{}", self.micros / MICROS, rest.trim_end_matches('0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_decimals_exactly() {
        for (text, micros, shown) in [
            ("0", 0, "0.00"),
            ("0.90", 900_000, "0.90"),
            ("3.06", 3_060_000, "3.06"),
            ("12", 12_000_000, "12.00"),
            ("0.000125", 125, "0.000125"),
            ("999999.999999", 999_999_999_999, "999999.999999"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.micros(), money.to_string().as_str()), (micros, shown));
            assert_eq!(shown.parse(), Ok(money));
        }
    }

    #[test]
    fn refuses_what_is_no_decimal() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.1234567", " 1", "10000000000000000"] {
            assert!(text.parse::<Money>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn time_is_charged_to_the_nearest_millionth() {
        let hour = "0.90".parse::<Money>().unwrap();
        assert_eq!(hour.per_hour_for(3_600_000), hour);
        assert_eq!(hour.per_hour_for(1_000).micros(), 250);
        assert_eq!(hour.per_hour_for(0).micros(), 0);
        assert_eq!(Money::from_micros(1).per_hour_for(1_800_000).micros(), 1);
    }

    #[test]
    fn a_saving_is_told_in_whole_percent() {
        for (amount, other, percent) in [
            (3_617, 12_296, 71),
            (0, 5, 100),
            (5, 5, 0),
            (6, 5, 0),
            (0, 0, 0),
            (999, 1000, 0),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(
                Money::from_micros(amount).percent_below(Money::from_micros(other)),
                percent,
                "{amount} of {other}"
            );
        }
    }
}
