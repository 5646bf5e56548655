//! A place in a list of jobs, as clients send it back to get the next part.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::cache::Place;

/// The cursor of a place.
pub(crate) fn cursor((second, name): &Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{second}.{name}"))
}

/// The place of a cursor; `None`: no list gave this one.
pub(crate) fn place_at(cursor: &str) -> Option<Place> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (second, name) = text.split_once('.')?;
    Some((second.parse().ok()?, name.to_owned()))
}
