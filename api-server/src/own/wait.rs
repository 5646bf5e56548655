//! `Prefer: wait=n` (RFC 7240): an answer waits for the job's end, within limits.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use tokio::time::timeout;

use crate::{app::App, cache::Job, follow::Follower};

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

/// The job at its end, or as it is when the time is over; `None`: it was deleted meanwhile.
pub(crate) async fn until_final(app: &App, job: &Arc<Job>, at_most: Duration) -> Option<Arc<Job>> {
    let mut follower = Follower::states_only(app, Arc::clone(job));
    match timeout(at_most, follower.until_final()).await {
        Ok(ended) => ended,
        Err(_) => Some(follower.now().job),
    }
}
