//! `/health`: an endpoint's jobs and workers. Clients wait three seconds for it, so all of it is at hand.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use crds::FleetStatus;
use serde_json::{Value, json};

use super::{endpoint::Endpoint, error::Refusal, view};
use crate::app::App;

/// The tenant's jobs and the pool's workers.
pub(crate) async fn health(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let endpoint = Endpoint::of(&app, &headers, &endpoint)?;
    let jobs = endpoint.jobs(&app, |_| true);
    let count = |states: &[&str]| jobs.iter().filter(|job| states.contains(&view::state(job))).count();
    let retried: u32 = jobs.iter().filter_map(|job| job.status.retries).sum();
    let fleets = endpoint.pool.status.as_ref().map(|status| &*status.fleets).unwrap_or_default();
    let workers = |count: fn(&FleetStatus) -> u32| fleets.iter().map(count).sum::<u32>();
    Ok(Json(json!({
        "jobs": {
            "completed": count(&["COMPLETED"]),
            "failed": count(&["FAILED", "TIMED_OUT"]),
            "inProgress": count(&["IN_PROGRESS"]),
            "inQueue": count(&["IN_QUEUE"]),
            "retried": retried,
        },
        "workers": {
            "idle": workers(|fleet| fleet.idle),
            "running": workers(|fleet| fleet.busy),
            "initializing": workers(|fleet| fleet.starting),
        },
    })))
}
