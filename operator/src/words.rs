//! Words for people.

use std::time::Duration;

/// "1 image", "4 images".
pub(crate) fn images(n: impl Into<u64>) -> String {
    match n.into() {
        1 => "1 image".to_owned(),
        n => format!("{n} images"),
    }
}

/// "0 of 1 image", "3 of 4 images".
pub(crate) fn images_of(n: u32, total: u32) -> String {
    format!("{n} of {}", images(total))
}

/// "40 s", "12 min", "3 h".
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
