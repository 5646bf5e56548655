//! `/v1/jobs/{id}/webhooks` and `/v1/webhook-secret`.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::problem::Problem;
use crate::app::App;

/// Who was told of a job, and how that went.
pub(crate) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let job = app.jobs.get(&caller.tenant, &id).await?;
        app.webhooks.of_job(&job).await
    };
    found.await.map(Json).map_err(|error| app.problem(error))
}

/// Has a message sent again.
pub(crate) async fn redeliver(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, message)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let ordered = async {
        let caller = app.caller(&headers)?;
        caller.may_write()?;
        let job = app.jobs.get(&caller.tenant, &id).await?;
        app.webhooks.redeliver(&job, &message).await
    };
    ordered.await.map_err(|error| app.problem(error))?;
    Ok(StatusCode::ACCEPTED)
}

/// A new secret that the tenant's webhooks are signed with, shown once. The last one signs too, until the next is made.
pub(crate) async fn rotate(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let made = async {
        let caller = app.caller(&headers)?;
        caller.may_write()?;
        app.webhooks.secrets.rotate(&caller.tenant.name).await
    };
    let secret = made.await.map_err(|error| app.problem(error))?;
    Ok((StatusCode::CREATED, Json(json!({ "secret": secret }))))
}
