//! The CustomResourceDefinitions as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{ImageJob, ImageRecipe, ImageTenant, WorkerPool};

/// The definitions of all kinds.
///
/// # Errors
/// If the types do not make a CustomResourceDefinition; a test fails first.
pub fn custom_resource_definitions() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [ImageJob::crd(), ImageRecipe::crd(), ImageTenant::crd(), WorkerPool::crd()]
        .into_iter()
        .map(tidied)
        .collect()
}

fn tidied(mut crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    crd.metadata.labels = Some([("app.kubernetes.io/part-of".to_owned(), "imagejob".to_owned())].into());
    let mut crd = serde_json::to_value(crd)?;
    if let Some(versions) = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy(schema);
            }
        }
    }
    serde_json::from_value(crd)
}

/// Removes what Kubernetes does not use:
/// - `nullable`: without it the API server drops a null and applies the default, so a null reaches neither CEL nor the
///   operator. Values that are kept as they are stay nullable, because null is a value there;
/// - unsigned formats, which the API server does not know and warns of. The limits stay;
/// - the line breaks of doc comments, which kubectl would print.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("type") || fields.contains_key("x-kubernetes-int-or-string") {
                fields.remove("nullable");
            }
            fields.remove("title");
            if fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                fields.remove("format");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
