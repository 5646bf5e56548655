//! Assets in a graph: objects that stand where a node takes a file's name.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use workflow::Graph;

use super::{
    assets::{self, Found},
    graph,
    refusal::Refusal,
};
use crate::{app::App, auth::Caller, error::Error, http::Mount};

/// The type of such an object.
const ASSET: &str = "core/ASSET";
/// As many inputs as an ImageJob has.
const AT_MOST: usize = 20;
const NONE: &str = "there is no such asset";

/// The inputs of a job that its graph needs. The graph names them afterwards where it had assets.
///
/// # Errors
/// `missing_asset` of one that the tenant does not have.
pub(super) async fn settle(
    app: &App,
    caller: &Caller,
    mount: &Mount,
    graph: &mut Graph,
) -> Result<Vec<Value>, Refusal> {
    // The inputs by the assets' ids; none of an asset that there is not.
    let mut found = BTreeMap::new();
    for (.., value) in graph::fields(graph) {
        each_asset(value, &mut |asset| {
            found.extend(id_of(asset).map(|id| (id.to_owned(), None)));
        });
    }
    if found.len() > AT_MOST {
        let message =
            format!("workflow: it has {} assets, and a job starts from {AT_MOST} at most", found.len());
        return Err(Refusal::invalid_workflow(message));
    }
    let mut names = free_names(graph);
    for (id, input) in &mut found {
        *input = match assets::find(app, caller, mount, id).await {
            Ok(asset) => names.next().map(|name| input_of(&name, &asset)),
            Err(Error::NotFound { .. }) => None,
            Err(other) => return Err(Refusal::of_submission(other)),
        };
    }
    let name_of = |asset: &Value| found.get(id_of(asset)?)?.as_ref()?["name"].as_str();
    let missing = graph::fields(graph).filter(|(.., value)| {
        let mut is_missing = false;
        each_asset(value, &mut |asset| is_missing |= name_of(asset).is_none());
        is_missing
    });
    graph::refuse(missing.map(|(node, field, _)| (node, field)), "missing_asset", NONE)?;
    for node in graph.values_mut() {
        replace(node, &|asset| name_of(asset).map(str::to_owned));
    }
    Ok(found.into_values().flatten().collect())
}

/// Names that no text of the graph is: what it calls by a name of its own stays what it is.
fn free_names(graph: &Graph) -> impl Iterator<Item = String> + use<> {
    let names = (1..).map(|n| format!("asset-{n}"));
    let is_free =
        |name: &String| !graph::fields(graph).any(|(.., value)| graph::holds(value, &|value| value == name));
    names.filter(is_free).take(AT_MOST).collect::<Vec<_>>().into_iter()
}

fn input_of(name: &str, asset: &Found) -> Value {
    match asset {
        Found::Output(job, (index, n)) => {
            json!({ "name": name, "from": { "job": { "name": job.name, "index": index, "output": n } } })
        }
        Found::Upload(_, file) => file.input(name),
    }
}

fn is_asset(value: &Value) -> bool {
    value.get("__type").is_some_and(|kind| kind == ASSET)
}

fn id_of(asset: &Value) -> Option<&str> {
    asset["info"]["id"].as_str()
}

/// Calls `seen` with each asset in a value.
fn each_asset(value: &Value, seen: &mut impl FnMut(&Value)) {
    match value {
        asset if is_asset(asset) => seen(asset),
        Value::Array(items) => items.iter().for_each(|item| each_asset(item, seen)),
        Value::Object(fields) => fields.values().for_each(|field| each_asset(field, seen)),
        _ => {}
    }
}

/// Puts names in the place of assets.
fn replace(value: &mut Value, name_of: &impl Fn(&Value) -> Option<String>) {
    match value {
        asset if is_asset(asset) => {
            if let Some(name) = name_of(asset) {
                *asset = Value::String(name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, name_of)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, name_of)),
        _ => {}
    }
}
