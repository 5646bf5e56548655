//! `Prefer: wait=n` (RFC 7240): an answer waits for the job's end, within limits.

use std::time::Duration;

use axum::http::HeaderMap;

/// Proxies give up on silent requests after a minute or so.
const LONGEST: Duration = Duration::from_secs(60);

/// For how long the request wants to wait; `None`: it does not say.
pub(crate) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    let seconds = preferences.find_map(|preference| preference.strip_prefix("wait="))?;
    let seconds = seconds.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}
