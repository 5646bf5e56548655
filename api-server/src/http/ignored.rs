//! Says which fields of a request have no effect.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const IGNORED: HeaderName = HeaderName::from_static("x-imagejob-ignored");
/// Names are the client's words: so many are told, and so long ones.
const MOST: usize = 32;
const LONGEST: usize = 64;

/// Names the fields in a header, if there are any.
pub(crate) fn tell_ignored<'a>(headers: &mut HeaderMap, names: impl IntoIterator<Item = &'a str>) {
    let fit = |name: &&str| {
        (1..=LONGEST).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    let names: Vec<&str> = names.into_iter().filter(fit).take(MOST).collect();
    if !names.is_empty() {
        headers.extend(HeaderValue::try_from(names.join(", ")).ok().map(|value| (IGNORED, value)));
    }
}
