use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Labels;
use crate::{rules, schema};

/// What every worker Pod has besides. It is kept as it was written: a bad template is then an error in one pool's
/// conditions, and not an object that the operator cannot read.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels and annotations.
    #[serde(default, skip_serializing_if = "PodTemplateMetadata::is_empty")]
    pub metadata: PodTemplateMetadata,
    /// A PodSpec (see kubectl explain pod.spec). Containers named `engine` and `gpu-worker` add to those that the
    /// operator makes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::pod_spec")]
    pub spec: Map<String, Value>,
}

/// Labels and annotations of worker Pods.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplateMetadata {
    /// Labels, up to 20.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    #[x_kube(validation = rules::no_own_keys())]
    pub labels: Labels,
    /// Annotations, up to 20.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    #[x_kube(validation = rules::no_own_keys())]
    pub annotations: Labels,
}

/// Why the operator cannot use a template.
#[derive(Debug, thiserror::Error)]
pub enum PodTemplateError {
    /// A field has a value of another type.
    #[error("podTemplate.spec is not a PodSpec: {0}")]
    NotAPodSpec(#[from] serde_json::Error),
    /// A field that Pods do not have, most likely misspelt.
    #[error("podTemplate.spec.{0}: no such field; see kubectl explain pod.spec")]
    UnknownField(String),
}

impl PodTemplateMetadata {
    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

impl PodTemplate {
    /// As a typed template.
    ///
    /// # Errors
    /// If it is not one, field by field.
    pub fn parse(&self) -> Result<PodTemplateSpec, PodTemplateError> {
        let spec: PodSpec = serde_json::from_value(Value::Object(self.spec.clone()))?;
        let known = serde_json::to_value(&spec)?;
        if let Some(path) = first_unknown(&Value::Object(self.spec.clone()), &known, "") {
            return Err(PodTemplateError::UnknownField(path));
        }
        let PodTemplateMetadata { labels, annotations } = self.metadata.clone();
        let metadata =
            ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() };
        Ok(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
    }
}

/// The first field of `given` that did not survive the round trip through the typed `known`.
fn first_unknown(given: &Value, known: &Value, path: &str) -> Option<String> {
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            given.iter().find_map(|(key, value)| match known.get(key) {
                Some(known) => first_unknown(value, known, &under(key)),
                // Typed values leave out what is empty, so an empty field says nothing about its name.
                None if is_empty(value) => None,
                None => Some(under(key)),
            })
        }
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(i, (given, known))| first_unknown(given, known, &format!("{path}[{i}]"))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(spec: &str) -> PodTemplate {
        PodTemplate { spec: serde_json::from_str(spec).unwrap(), ..Default::default() }
    }

    #[test]
    fn a_template_needs_no_containers() {
        let parsed =
            template(r#"{"serviceAccountName": "models", "volumes": [{"name": "m", "emptyDir": {}}]}"#);
        let spec = parsed.parse().unwrap().spec.unwrap();
        assert_eq!(spec.service_account_name.as_deref(), Some("models"));
        assert!(spec.volumes.unwrap()[0].empty_dir.is_some());
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let error =
            template(r#"{"volumes": [{"name": "m", "emptydir": {}, "hostPth": {"path": "/"}}]}"#).parse();
        assert!(error.unwrap_err().to_string().contains("volumes[0].hostPth: no such field"));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let error = template(r#"{"tolerations": "all"}"#).parse().unwrap_err();
        assert!(error.to_string().starts_with("podTemplate.spec is not a PodSpec:"), "{error}");
    }
}
