//! Words for people.

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
