//! Formats numbers and messages for people.
use std::{fmt, time::Duration};

use crate::Capacity;

/// "1 image", "20 images".
pub(crate) fn images(n: u64) -> String {
    if n == 1 { "1 image".into() } else { format!("{n} images") }
}

/// "1 image waits", "20 images wait".
pub(crate) fn wait(n: u64) -> String {
    format!("{} {}", images(n), if n == 1 { "waits" } else { "wait" })
}

/// "1 worker", "20 spot workers".
pub(crate) fn workers(n: u32, capacity: Option<Capacity>) -> String {
    let capacity = capacity.map_or_else(String::new, |capacity| format!("{capacity} "));
    format!("{n} {capacity}worker{}", if n == 1 { "" } else { "s" })
}

/// The message of somebody else, to be appended to a sentence.
pub(crate) fn quoted(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!(": {words}"))
}

/// A duration for people: `45s`, `4m10s`, `2h05m`.
pub(crate) struct Span(Duration);

impl Span {
    pub(crate) fn seconds(seconds: f64) -> Self {
        Self(Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        match s {
            0..60 => write!(f, "{s}s"),
            60..3600 => write!(f, "{}m{:02}s", s / 60, s % 60),
            _ => write!(f, "{}h{:02}m", s / 3600, s / 60 % 60),
        }
    }
}
