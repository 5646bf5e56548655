//! `/v1/keys`: administrators create and revoke API keys.

use axum::{
    Json,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::{
    app::App,
    auth::{self, Rights},
    error::Error,
    http::body,
};

/// The key that is wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    tenant: String,
    name: Option<String>,
    #[serde(default)]
    read_only: bool,
}

/// All keys, without what they are.
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    auth::admin(&app.cache, &headers).map_err(|error| app.problem(error))?;
    let mut keys = app.cache.keys.all();
    keys.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let view = |(_, key): &(_, std::sync::Arc<auth::ApiKey>)| json!({ "name": key.name, "tenant": key.tenant, "rights": key.rights.as_str() });
    Ok(Json(json!({ "keys": keys.iter().map(view).collect::<Vec<_>>() })))
}

/// Creates a key of a tenant and shows it, once.
pub(crate) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let created = async {
        auth::admin(&app.cache, &headers)?;
        let Wanted { tenant, name, read_only } = body::json(body)?;
        if app.cache.tenants.get(&tenant).is_none() {
            return Err(Error::invalid("/tenant", format!("there is no ImageTenant {tenant:?}")));
        }
        let rights = if read_only { Rights::ReadOnly } else { Rights::Use };
        let (name, key) = app.keys.create(&tenant, rights, name.as_deref()).await?;
        Ok(json!({ "name": name, "tenant": tenant, "rights": rights.as_str(), "key": key }))
    };
    let created = created.await.map_err(|error| app.problem(error))?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Revokes a key.
pub(crate) async fn revoke(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let revoked = async {
        auth::admin(&app.cache, &headers)?;
        if !app.cache.keys.all().iter().any(|(_, key)| key.name == name) {
            return Err(Error::NotFound { what: "API key", name: name.clone() });
        }
        app.keys.revoke(&name).await
    };
    revoked.await.map_err(|error| app.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}
