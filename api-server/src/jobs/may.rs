//! Whether a tenant may have a job made: the pool, the class, the models, the recipe. Pure.
//!
//! The pool's own limits are the operator's to check; what is refused here would let one tenant use what belongs to
//! another, or what its ImageTenant does not list.

use crds::{ImageJobSpec, PoolRef, Sampling, WorkOf};
use workflow::{model_files, set_inputs};

use crate::{
    cache::Tenant,
    error::{Error, Fault},
};

/// What speaks against the job.
pub(crate) fn check(tenant: &Tenant, spec: &ImageJobSpec) -> Result<(), Error> {
    let mut faults = vec![];
    let mut no = |pointer: &str, detail: String| faults.push(Fault::new(pointer, detail));
    if let Some(pool) = &spec.pool_ref
        && !may_use(tenant, pool)
    {
        no("/poolRef", format!("pool {:?} is not one that this tenant may use", pool.name));
    }
    match &spec.class {
        Some(class) if !tenant.may_have_class(class) => {
            no(
                "/class",
                format!("class {class:?} is not one of this tenant's: {}", tenant.spec.classes.join(", ")),
            );
        }
        _ => {}
    }
    if spec.tenant.is_some() {
        no("/tenant", "the API key says whose job it is; leave this out".to_owned());
    }
    let work = spec.work.of_type().map_err(|error| Error::invalid("/work", error.to_string()))?;
    let models = match work {
        WorkOf::TextToImage(text) => models_of(&text.sampling),
        WorkOf::ImageToImage(image) => models_of(&image.sampling),
        WorkOf::Workflow(_) if !tenant.spec.workflows => {
            no("/work/workflow", "this tenant's jobs bring no workflow of their own".to_owned());
            vec![]
        }
        WorkOf::Workflow(workflow) => {
            if workflow.config_map_ref.is_some() {
                no("/work/workflow/configMapRef", "send the workflow itself, in graph".to_owned());
            }
            let mut graph = workflow.graph.clone().unwrap_or_default();
            if let Err(problem) = set_inputs(&mut graph, &workflow.inputs) {
                no("/work/workflow/inputs", problem.to_string());
            }
            model_files(&graph)
        }
        WorkOf::Recipe(recipe) => {
            if !tenant.may_use_recipe(&recipe.name) {
                no(
                    "/work/recipe/name",
                    format!("recipe {:?} is not one that this tenant may use", recipe.name),
                );
            }
            vec![]
        }
    };
    for model in models.iter().filter(|model| !tenant.may_load(model)) {
        no("/work", format!("model {model:?} is not one that this tenant may use"));
    }
    for (i, input) in spec.inputs.iter().enumerate() {
        if input.from.config_map_key.is_some() {
            no(
                &format!("/inputs/{i}/from/configMapKey"),
                "a request cannot read ConfigMaps; upload the file".to_owned(),
            );
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// Whether a job may name the pool.
pub(crate) fn may_use(tenant: &Tenant, pool: &PoolRef) -> bool {
    let own = &tenant.spec.namespace;
    let namespace = pool.namespace.as_ref().unwrap_or(own);
    if tenant.spec.pools.is_empty() {
        return namespace == own;
    }
    let same = |allowed: &PoolRef| {
        allowed.name == pool.name && allowed.namespace.as_ref().unwrap_or(own) == namespace
    };
    tenant.spec.pools.iter().any(same)
}

fn models_of(sampling: &Sampling) -> Vec<String> {
    let loras = sampling.loras.iter().map(|lora| &lora.name);
    let nets = sampling.control_nets.iter().map(|net| &net.model);
    [&sampling.model].into_iter().chain(loras).chain(nets).chain(&sampling.vae).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenant(spec: &Value) -> Tenant {
        let mut whole = json!({"namespace": "studio"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Tenant { name: "acme".into(), spec: serde_json::from_value(whole).unwrap() }
    }

    fn job(change: &Value) -> ImageJobSpec {
        let text =
            json!({"model": "sdxl/base.safetensors", "prompt": "a cat", "vae": "sdxl/vae.safetensors"});
        let mut whole = json!({"work": {"type": "TextToImage", "textToImage": text}});
        whole.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn pointers(tenant: &Tenant, job: &ImageJobSpec) -> Vec<String> {
        match check(tenant, job) {
            Ok(()) => vec![],
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    fn workflow(workflow: &Value) -> Value {
        json!({"work": {"type": "Workflow", "workflow": workflow}})
    }

    #[test]
    fn a_tenant_without_lists_may_use_what_its_namespace_has() {
        let free = tenant(&json!({}));
        assert_eq!(check(&free, &job(&json!({"class": "standard", "poolRef": {"name": "sd15"}}))), Ok(()));
        let elsewhere = job(&json!({"poolRef": {"name": "sd15", "namespace": "shared"}}));
        assert_eq!(pointers(&free, &elsewhere), ["/poolRef"]);
    }

    #[test]
    fn a_tenant_with_lists_may_use_what_they_have() {
        let bound = tenant(&json!({
            "pools": [{"name": "sd15"}, {"name": "video", "namespace": "shared"}],
            "classes": ["relaxed"], "models": ["sdxl/*"], "recipes": ["portrait"], "workflows": false,
        }));
        for (change, refused) in [
            (json!({}), vec![]),
            (json!({"class": "relaxed", "poolRef": {"name": "sd15", "namespace": "studio"}}), vec![]),
            (json!({"poolRef": {"name": "video", "namespace": "shared"}}), vec![]),
            (json!({"poolRef": {"name": "video"}}), vec!["/poolRef"]),
            (json!({"class": "immediate", "tenant": "other"}), vec!["/class", "/tenant"]),
            (
                json!({"work": {"type": "TextToImage", "textToImage": {"model": "flux", "prompt": ""}}}),
                vec!["/work"],
            ),
            (json!({"work": {"type": "Recipe", "recipe": {"name": "portrait"}}}), vec![]),
            (json!({"work": {"type": "Recipe", "recipe": {"name": "other"}}}), vec!["/work/recipe/name"]),
            (workflow(&json!({"graph": {}})), vec!["/work/workflow"]),
        ] {
            assert_eq!(pointers(&bound, &job(&change)), refused, "{change}");
        }
    }

    #[test]
    fn a_workflows_models_count_with_its_inputs_set() {
        let bound = tenant(&json!({"models": ["sdxl/*"]}));
        let graph = json!({"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl/a.safetensors"}}});
        assert_eq!(pointers(&bound, &job(&workflow(&json!({"graph": graph})))), [""; 0]);
        let set = json!({"graph": graph, "inputs": {"4.ckpt_name": "flux.safetensors"}});
        assert_eq!(pointers(&bound, &job(&workflow(&set))), ["/work"]);
    }

    #[test]
    fn config_maps_of_the_namespace_are_not_for_requests() {
        let map = json!({"name": "a", "key": "b"});
        let input = json!([{"name": "photo", "from": {"configMapKey": map}}]);
        assert_eq!(
            pointers(&tenant(&json!({})), &job(&json!({"inputs": input}))),
            ["/inputs/0/from/configMapKey"]
        );
        let by_map = job(&workflow(&json!({"configMapRef": map})));
        assert_eq!(pointers(&tenant(&json!({})), &by_map), ["/work/workflow/configMapRef"]);
    }
}
