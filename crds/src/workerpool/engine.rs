use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{EnvVar, ResourceRequirements, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The container that makes images. It runs beside the gpu-worker container as a native sidecar.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// The engine's protocol. Default: ComfyUI.
    #[serde(default)]
    pub kind: EngineKind,
    /// The container image.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled: Always, IfNotPresent or Never. Default: the podTemplate's, else Kubernetes' own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pull_policy")]
    pub image_pull_policy: Option<String>,
    /// The TCP port that the engine listens on. Default: 8188.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// How long the engine may take to start and answer, in seconds, 1 to 3600; pulling the image is not included.
    /// Default: 600.
    #[serde(default = "default_startup_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub startup_seconds: u32,
    /// The container's entry point. Default: the podTemplate's, else the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::arguments")]
    pub command: Vec<String>,
    /// The container's arguments. Default: the podTemplate's, else the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::arguments")]
    pub args: Vec<String>,
    /// Environment variables, up to 100. They are added to those of the podTemplate; of one name, this one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env")]
    pub env: Vec<EnvVar>,
    /// The container's resources. Default: one NVIDIA GPU (limits: nvidia.com/gpu: 1). Resources that are given replace
    /// the default, so name the GPU among them.
    #[serde(default = "one_gpu")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: ResourceRequirements,
    /// Where the volumes of podTemplate are mounted, e.g. the models; up to 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::volume_mounts")]
    pub volume_mounts: Vec<VolumeMount>,
}

/// The protocol of an engine.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// ComfyUI's HTTP and WebSocket API.
    #[default]
    ComfyUI,
    /// An engine of a later version of the API. No worker is started in such a pool.
    #[schemars(skip)]
    #[serde(other)]
    Unknown,
}

/// The container that takes work from the queue, drives the engine and uploads.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// The container image. Default: the operator's WORKER_IMAGE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When the image is pulled: Always, IfNotPresent or Never. Default: the podTemplate's, else Kubernetes' own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pull_policy")]
    pub image_pull_policy: Option<String>,
    /// Environment variables, up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::env")]
    pub env: Vec<EnvVar>,
    /// The container's resources. Default: requests of 100m CPU and 128Mi memory, a limit of 512Mi memory.
    #[serde(default = "small")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: ResourceRequirements,
}

impl Default for Worker {
    fn default() -> Self {
        Self { image: None, image_pull_policy: None, env: vec![], resources: small() }
    }
}

const fn default_port() -> u16 {
    8188
}
const fn default_startup_seconds() -> u32 {
    600
}

fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> Option<BTreeMap<String, Quantity>> {
    Some(pairs.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect())
}

fn one_gpu() -> ResourceRequirements {
    ResourceRequirements { limits: quantities([("nvidia.com/gpu", "1")]), ..Default::default() }
}

fn small() -> ResourceRequirements {
    ResourceRequirements {
        requests: quantities([("cpu", "100m"), ("memory", "128Mi")]),
        limits: quantities([("memory", "512Mi")]),
        ..Default::default()
    }
}
