//! Points in time. They are always given by the caller: nothing in this crate reads a clock.
use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since the Unix epoch. It is shown as RFC 3339 in UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// A time later than any other.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point in time this many milliseconds after the Unix epoch.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The point in time this much later.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The point in time this much earlier, but not before the epoch.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        let (days, second) = (self.0 / 86_400_000, self.0 / 1000 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The year, month and day of a day number since the Unix epoch (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
const fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

/// Converts times of a remote clock, such as that of the queue's server, to the local clock. A plan compares times, so
/// all of them must be by one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    remote: Time,
    local: Time,
}

impl Clock {
    /// A conversion from the time that both clocks showed at the same moment.
    pub const fn new(remote: Time, local: Time) -> Self {
        Self { remote, local }
    }

    /// The time on the local clock at which the remote clock showed `time`.
    pub fn to_local(self, time: Time) -> Time {
        if time == Time::NEVER {
            return time;
        }
        if self.local >= self.remote {
            time.plus(self.local.since(self.remote))
        } else {
            time.minus(self.remote.since(self.local))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_as_rfc_3339() {
        let shown = |seconds: u64| Time::from_millis(seconds * 1000 + 999).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00Z");
        assert_eq!(shown(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(shown(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(shown(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(Time::NEVER.to_string(), "never");
    }

    #[test]
    fn times_of_another_clock_are_brought_to_ours() {
        let at = |s: u64| Time::from_millis(s * 1000);
        let behind = Clock::new(at(940), at(1000));
        assert_eq!(behind.to_local(at(900)), at(960));
        let ahead = Clock::new(at(1060), at(1000));
        assert_eq!(ahead.to_local(at(1060)), at(1000));
        assert_eq!(ahead.to_local(Time::NEVER), Time::NEVER);
    }
}
