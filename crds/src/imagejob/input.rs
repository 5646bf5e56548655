use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ConfigMapRef;
use crate::rules;

/// A file that the job's work starts from. A worker fetches it; the engine never does.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The name by which the work refers to it. In a workflow, a node that loads a file takes this name for the file, e.g.
    /// `image: photo` of a LoadImage node.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// Where it comes from.
    pub from: InputSource,
    /// The SHA-256 of the file, 64 hexadecimal digits. A file with another one is refused. Default: any file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = rules::sha256())]
    pub sha256: Option<String>,
}

/// Where an input comes from: exactly one of these.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(validation = rules::one_source())]
#[serde(rename_all = "camelCase")]
pub struct InputSource {
    /// An https URL, on a host that the pool's spec.inputs.hosts allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = rules::https_url())]
    pub url: Option<String>,
    /// An object in the pool's bucket, under a prefix that the pool's spec.inputs.objectPrefixes allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<ObjectSource>,
    /// A key of a ConfigMap in the job's namespace, for small files; binaryData holds them. With the workflow, all such files
    /// of a job make up to 1 MiB in base64: 700 KiB of files or so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key: Option<ConfigMapRef>,
    /// A file that another job of the same namespace and pool made, and lists in its status: one of its first 100 images,
    /// once that job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSource>,
}

/// An object in the pool's bucket.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSource {
    /// The object's key.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
}

/// A file that another job made, as that job's status.results lists it once the job has ended.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobSource {
    /// The other job's name. This job waits until that one has ended and lists the file.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_subdomain())]
    pub name: String,
    /// The number of the image in the other job, from 0. A status lists the first 100 images; for others, name the object
    /// in `s3`. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_999))]
    pub index: u32,
    /// The number of the file among the image's outputs, from 0. A status lists the first 20. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 999))]
    pub output: u32,
}
