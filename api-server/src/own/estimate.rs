//! `/v1/estimate`: what a job would cost, and when it would be done.

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use bytes::Bytes;
use crds::{ImageJobSpec, Money, WorkerPool};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    jobs::order,
    pools::{seconds_per_image, wait_seconds},
    problem::Problem,
};
use crate::{
    app::App,
    cache::{PoolKey, Tenant},
    error::Error,
    http::Mount,
};

/// Looks at a job as `POST /v1/jobs` does, and creates nothing.
pub(crate) async fn estimate(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let estimated = async {
        let caller = app.caller(&headers)?;
        let order = order(&app, &caller, mount, &headers, body).await?;
        let spec = app.jobs.check(&caller, order).await?;
        let (key, pool) = pool_of(&app, &caller.tenant, &spec)?;
        Ok(of_job(&spec, &key, &pool))
    };
    estimated.await.map(Json).map_err(|error| app.problem(error))
}

fn pool_of(
    app: &App,
    tenant: &Tenant,
    spec: &ImageJobSpec,
) -> Result<(PoolKey, std::sync::Arc<WorkerPool>), Error> {
    let own = &tenant.spec.namespace;
    let asked =
        spec.pool_ref.as_ref().map(|pool| PoolKey::new(pool.namespace.as_ref().unwrap_or(own), &pool.name));
    let mut pools = tenant.pools(&app.cache.pools).into_iter();
    let found = pools.find(|(key, pool)| {
        asked.as_ref().map_or(pool.spec.default || tenant.spec.pools.len() == 1, |asked| asked == key)
    });
    let name = asked.map_or_else(|| "default".to_owned(), |asked| asked.name);
    found.ok_or(Error::NotFound { what: "pool", name })
}

/// From what the pool's images took so far, on average; `null` where nobody knows yet.
fn of_job(spec: &ImageJobSpec, key: &PoolKey, pool: &WorkerPool) -> Value {
    let class = match &spec.class {
        Some(name) => pool.spec.classes.iter().find(|class| class.name == *name),
        None => pool.spec.classes.iter().find(|class| class.default),
    };
    let fleet = class.and_then(|class| class.fleets.first());
    let fleet = fleet.and_then(|name| pool.spec.fleets.iter().find(|fleet| fleet.name == *name));
    let seconds = seconds_per_image(pool).map(|each| each * f64::from(spec.count));
    let price = fleet.map(|fleet| fleet.price_per_hour);
    let amount = seconds.zip(price).map(|(seconds, price)| price.per_hour_for(millis(seconds)));
    let workers: u32 =
        pool.status.iter().flat_map(|status| &status.fleets).map(|fleet| fleet.idle + fleet.busy).sum();
    let lasts =
        seconds.filter(|_| workers > 0).map(|seconds| millis(seconds / f64::from(workers.min(spec.count))));
    let done = wait_seconds(pool).zip(lasts).map(|(wait, lasts)| {
        Timestamp::now()
            + SignedDuration::from_secs(i64::try_from(wait).unwrap_or(i64::MAX >> 32))
            + SignedDuration::from_millis(i64::try_from(lasts).unwrap_or(i64::MAX >> 32))
    });
    json!({
        "pool": { "namespace": key.namespace, "name": key.name },
        "class": class.map(|class| class.name.as_str()),
        "images": spec.count,
        "gpuSeconds": seconds,
        "amount": amount.map(|amount: Money| amount.to_string()),
        "currency": pool.spec.currency,
        "waitSeconds": wait_seconds(pool),
        "completionTime": done.map(|done| done.to_string()),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
