//! `/object_info`: the node classes of the pool's engines, with the models that the tenant may use.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use crds::WorkerPool;
use serde_json::{Map, Value, json, value::RawValue};
use workflow::{Graph, model_files};

use super::refusal::Refusal;
use crate::{
    app::App,
    auth::Caller,
    cache::{Tenant, pool_allows},
    definitions::{Engine, pool_of},
    http::Mount,
};

/// Classes that clients look for before anything else, without models: for pools whose engines are not known yet.
static USUAL: LazyLock<BTreeMap<String, Box<RawValue>>> =
    LazyLock::new(|| serde_json::from_str(include_str!("usual_nodes.json")).unwrap_or_default());

/// The node classes that a request is shown.
pub(super) struct Shown {
    tenant: Arc<Tenant>,
    pool: Option<Arc<WorkerPool>>,
    engine: Option<Arc<Engine>>,
}

impl Shown {
    pub(super) async fn to(app: &App, caller: &Caller, mount: &Mount) -> Result<Self, Refusal> {
        let found = pool_of(app, caller, mount)?;
        let engine = match &found {
            Some((key, pool)) => app.definitions.of_pool(app, key, pool).await?,
            None => None,
        };
        Ok(Self { tenant: Arc::clone(&caller.tenant), pool: found.map(|(_, pool)| pool), engine })
    }

    fn classes(&self) -> BTreeMap<&str, &RawValue> {
        let usual = USUAL.iter().map(|(class, definition)| (class.as_str(), &**definition));
        let known = self.engine.iter().flat_map(|engine| &engine.classes);
        usual.chain(known.map(|(class, definition)| (class.as_str(), &**definition))).collect()
    }

    /// The definition of a class.
    pub(super) fn class(&self, class: &str) -> Option<Cow<'_, RawValue>> {
        let definition = self.classes().get(class).copied()?;
        Some(self.filtered(class, definition))
    }

    fn filtered<'a>(&self, class: &str, definition: &'a RawValue) -> Cow<'a, RawValue> {
        let limits = self.pool.as_ref().map(|pool| &pool.spec.limits.models);
        if self.tenant.spec.models.is_empty() && limits.is_none_or(Vec::is_empty) {
            return Cow::Borrowed(definition);
        }
        let Ok(mut read) = serde_json::from_str::<Value>(definition.get()) else {
            return Cow::Borrowed(definition);
        };
        let may_use = |model: &str| {
            self.tenant.may_load(model) && self.pool.as_ref().is_none_or(|pool| pool_allows(pool, model))
        };
        filter_inputs(&mut read["input"], &|input, choice| {
            // The same question that is asked of a prompt.
            let node = json!({ "class_type": class, "inputs": { input: choice } });
            model_files(&Graph::from_iter([(String::new(), node)])).iter().all(|model| may_use(model))
        });
        serde_json::value::to_raw_value(&read).map_or(Cow::Borrowed(definition), Cow::Owned)
    }
}

/// Keeps of every list of choices what `keep` says of the input's name and the choice.
fn filter_inputs(inputs: &mut Value, keep: &impl Fn(&str, &Value) -> bool) {
    let sections = ["required", "optional"];
    let groups =
        inputs.as_object_mut().into_iter().flatten().filter(|(name, _)| sections.contains(&name.as_str()));
    for (name, input) in groups.filter_map(|(_, group)| group.as_object_mut()).flatten() {
        for list in ["/0", "/1/options"] {
            let Some(choices) = input.pointer_mut(list).and_then(Value::as_array_mut) else { continue };
            choices.retain(|choice| !choice.is_string() || keep(name, choice));
            // Choices that bring inputs of their own.
            for more in choices.iter_mut().filter_map(|choice| choice.get_mut("inputs")) {
                filter_inputs(more, keep);
            }
        }
    }
}

/// All node classes.
pub(super) async fn all(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let shown = Shown::to(&app, &caller, &mount).await?;
    let classes: BTreeMap<&str, Cow<'_, RawValue>> = shown
        .classes()
        .into_iter()
        .map(|(class, definition)| (class, shown.filtered(class, definition)))
        .collect();
    Ok(Json(classes).into_response())
}

/// One of them; nothing where there is no such class, as ComfyUI answers.
pub(super) async fn one(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(class): Path<String>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let shown = Shown::to(&app, &caller, &mount).await?;
    let found: BTreeMap<&str, Cow<'_, RawValue>> =
        shown.class(&class).into_iter().map(|definition| (class.as_str(), definition)).collect();
    Ok(Json(found).into_response())
}

/// The choices of an input, as the definition of its class lists them.
pub(super) fn choices(definition: &RawValue, input: &str) -> Vec<Value> {
    let read: Map<String, Value> = serde_json::from_str(definition.get()).unwrap_or_default();
    let Some(inputs) = read.get("input") else { return vec![] };
    let found = ["required", "optional"].iter().find_map(|group| inputs.get(group)?.get(input));
    let lists = found.into_iter().flat_map(|input| [input.pointer("/0"), input.pointer("/1/options")]);
    lists.flatten().find_map(Value::as_array).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_classes_are_there_without_models() {
        for (class, input) in
            [("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name"), ("VAELoader", "vae_name")]
        {
            assert_eq!(choices(&USUAL[class], input), Vec::<Value>::new(), "{class}");
            assert!(USUAL[class].get().contains(input));
        }
        assert!(choices(&USUAL["KSampler"], "sampler_name").contains(&json!("euler")));
    }

    #[test]
    fn lists_of_choices_are_filtered_wherever_they_stand() {
        let mut inputs = json!({
            "required": {"a": [["x", "y"], {}], "b": ["COMBO", {"options": ["x", "y", 7]}], "c": ["INT", {"min": 0}]},
            "optional": {"d": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"e": [["x"]]}}}]}]},
            "hidden": {"f": [["x"]]},
        });
        filter_inputs(&mut inputs, &|_, choice| choice != "x");
        assert_eq!(inputs["required"]["a"][0], json!(["y"]));
        assert_eq!(inputs["required"]["b"][1]["options"], json!(["y", 7]));
        let nested = &inputs["optional"]["d"][1]["options"][0];
        assert_eq!((&nested["key"], &nested["inputs"]["required"]["e"][0]), (&json!("k"), &json!([])));
    }
}
