//! `/v1/pools` and `/v1/recipes`: what a tenant may use.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use crds::{
    FleetStatus, ImageRecipe, PoolModelStatus, RecipeInput, RecipeInputType, WorkerPool,
    conditions::{ConditionType, find_condition},
};
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use crate::{
    app::App,
    cache::{PoolKey, Tenant, pool_allows},
    error::Error,
};

/// The pools that the tenant may use, the one of jobs that name none first.
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let caller = app.caller(&headers).map_err(|error| app.problem(error))?;
    let pools = caller.tenant.pools(&app.cache.pools);
    let pools: Vec<Value> = pools.iter().map(|(key, pool)| view(&caller.tenant, key, pool)).collect();
    Ok(Json(json!({ "pools": pools })))
}

fn view(tenant: &Tenant, key: &PoolKey, pool: &WorkerPool) -> Value {
    let status = pool.status.clone().unwrap_or_default();
    let ready = find_condition(&status.conditions, ConditionType::Ready);
    let classes = pool.spec.classes.iter().filter(|class| tenant.may_have_class(&class.name));
    let classes: Vec<Value> = classes
        .map(|class| json!({ "name": class.name, "default": class.default, "slaSeconds": class.sla_seconds }))
        .collect();
    let models: Vec<&PoolModelStatus> = status
        .models
        .iter()
        .filter(|model| tenant.may_load(&model.name) && pool_allows(pool, &model.name))
        .collect();
    let workers = |count: fn(&FleetStatus) -> u32| status.fleets.iter().map(count).sum::<u32>();
    let queue = status.queue.clone().unwrap_or_default();
    json!({
        "namespace": key.namespace,
        "name": key.name,
        "ready": ready.is_some_and(|ready| ready.status == "True"),
        "reason": ready.map(|ready| ready.reason.as_str()),
        "message": ready.map(|ready| ready.message.as_str()),
        "classes": classes,
        "models": models,
        "engine": status.engine.as_ref().and_then(|engine| engine.version.as_deref()),
        "queue": { "waiting": queue.waiting, "running": queue.running, "oldestSeconds": queue.oldest_seconds },
        "workers": {
            "starting": workers(|fleet| fleet.starting),
            "idle": workers(|fleet| fleet.idle),
            "busy": workers(|fleet| fleet.busy),
        },
        "secondsPerImage": seconds_per_image(pool),
        "waitSeconds": wait_seconds(pool),
        "currency": pool.spec.currency,
    })
}

/// The GPU time of an image in seconds, on average of all that the pool has made.
pub(super) fn seconds_per_image(pool: &WorkerPool) -> Option<f64> {
    const IN_THOUSANDTHS: f64 = 1000.0;
    let images = pool.status.as_ref()?.cost.as_ref()?.images;
    #[allow(clippy::cast_precision_loss, reason = "an average needs no 53 bits")]
    let average = |made: u64| images.gpu_seconds.thousandths() as f64 / IN_THOUSANDTHS / made as f64;
    (images.made > 0).then(|| (average(images.made) * IN_THOUSANDTHS).round() / IN_THOUSANDTHS)
}

/// How long a new image waits, in seconds, if it waits for all that wait now; `None`: there are no workers, or nobody knows
/// how long an image takes.
pub(crate) fn wait_seconds(pool: &WorkerPool) -> Option<u64> {
    let status = pool.status.as_ref()?;
    let waiting = status.queue.as_ref().map_or(0, |queue| queue.waiting);
    if waiting == 0 && status.fleets.iter().any(|fleet| fleet.idle > 0) {
        return Some(0);
    }
    let workers: u32 = status.fleets.iter().map(|fleet| fleet.idle + fleet.busy).sum();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let wait = |each: f64| ((waiting + 1) as f64 * each / f64::from(workers)).ceil() as u64;
    seconds_per_image(pool).filter(|_| workers > 0).map(wait)
}

/// The recipes that the tenant may use.
pub(crate) async fn recipes(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let recipes = app.jobs.recipes(&caller.tenant).await?;
        Ok(json!({ "recipes": recipes.iter().map(recipe).collect::<Vec<_>>() }))
    };
    found.await.map(Json).map_err(|error| app.problem(error))
}

/// One of them.
pub(crate) async fn one_recipe(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let recipes = app.jobs.recipes(&caller.tenant).await?;
        let found = recipes.iter().find(|recipe| recipe.name_any() == name);
        found.map(recipe).ok_or(Error::NotFound { what: "recipe", name })
    };
    found.await.map(Json).map_err(|error| app.problem(error))
}

fn recipe(recipe: &ImageRecipe) -> Value {
    json!({
        "name": recipe.name_any(),
        "description": recipe.spec.description,
        "inputs": schema(&recipe.spec.inputs),
    })
}

/// A recipe's inputs as a JSON Schema of the object that a job gives.
fn schema(inputs: &[RecipeInput]) -> Value {
    let properties: Map<String, Value> =
        inputs.iter().map(|input| (input.name.clone(), property(input))).collect();
    let required: Vec<&str> =
        inputs.iter().filter(|input| input.required).map(|input| input.name.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(input: &RecipeInput) -> Value {
    /// The usual limit of a text.
    const LONGEST: u32 = 10_000;
    let mut property = match input.kind {
        RecipeInputType::String => {
            json!({ "type": "string", "maxLength": input.max_length.unwrap_or(LONGEST) })
        }
        RecipeInputType::Integer => json!({ "type": "integer" }),
        RecipeInputType::Number => json!({ "type": ["number", "string"] }),
        RecipeInputType::Boolean => json!({ "type": "boolean" }),
        RecipeInputType::Enum => json!({ "enum": input.choices }),
        RecipeInputType::Image => {
            json!({ "type": "string", "format": "input", "description": "The name of an entry of the job's inputs." })
        }
        RecipeInputType::Seed => json!({ "type": ["integer", "string"], "minimum": 0, "maximum": u64::MAX }),
        RecipeInputType::Unknown => json!({}),
    };
    let number =
        |limit: &crds::Decimal| serde_json::from_str::<Value>(&limit.to_string()).unwrap_or_default();
    let more = [
        ("minimum", input.minimum.as_ref().map(number)),
        ("maximum", input.maximum.as_ref().map(number)),
        ("default", input.default.clone()),
        ("description", Some(&input.description).filter(|text| !text.is_empty()).map(|text| json!(text))),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            property[name] = value;
        }
    }
    property
}
