//! What a pool lets jobs ask for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Family, rules, schema};

/// What a job may ask of the pool. A job that asks for more waits and says so (LimitExceeded).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// False: the pool takes no jobs that bring a workflow of their own, only textToImage and imageToImage. Default: true.
    #[serde(default = "yes")]
    pub workflows: bool,
    /// Whether the pool takes jobs of type Recipe. An ImageRecipe stands in the job's namespace and has a workflow of its
    /// own, so whoever may create one there may have the pool run any workflow. Default: as `workflows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipes: Option<bool>,
    /// The model files that jobs may load, as the engine lists them; `*` stands for any text, e.g. `sdxl/*`; up to 200.
    /// Default: every model that the engine has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::model_patterns")]
    pub models: Vec<String>,
    /// How many images a job may ask for, 1 to 10000. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_count: Option<u32>,
    /// How many sampling steps an image may take, 1 to 1000. In workflows and recipes the largest `steps` of a node counts,
    /// if it is a number there or in a node that only holds one. Default: no limit of the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_steps: Option<u32>,
    /// How many pixels (width × height) an image may have, 4096 to 16777216 (4096 × 4096). In workflows and recipes the
    /// largest width × height of a node counts, or its megapixels, if they are numbers there or in nodes that only hold
    /// one; what is worked out while the graph runs, such as a picture scaled by a factor, is not seen, nor is how many
    /// pictures a batch or a video has. An imageToImage is as large as its image, which the worker holds to this limit
    /// before it is made (InputRefused). Default: no limit of the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 16_777_216))]
    pub max_pixels: Option<u64>,
    /// How many images of each tenant may be made at once, 1 to 100000; of tenants listed in `fairness.tenants` their own
    /// `maxRunning` counts. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_running_per_tenant: Option<u32>,
    /// Classes of nodes that no work may have, whether it comes with the job, with a recipe or with the operator: `*` stands
    /// for any text, e.g. `*Url*`, and case does not count. `@default` stands for the list that ships: classes that fetch
    /// from addresses, run programs or code, or read and write any path (workflow/src/deny.txt). `@api` stands for the
    /// engine's nodes that call paid services; `@default` has it. Up to 200; an empty list denies nothing. Default:
    /// `["@default"]`.
    #[serde(default = "deny_default")]
    #[schemars(schema_with = "schema::node_patterns")]
    pub deny_nodes: Vec<String>,
}

/// What jobs may have fetched as inputs. Workers fetch it, the engine does not.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InputSources {
    /// The hosts from which workers may fetch URLs: names such as `images.example.com`, or `*.example.com` for every host
    /// below a domain; up to 50. Default: none, so that no URL is fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hosts")]
    #[x_kube(validation = rules::hosts())]
    pub hosts: Vec<String>,
    /// The beginnings of keys in the pool's bucket that jobs may read, each ending in a slash. `{namespace}` and
    /// `{tenant}` stand for the job's own, e.g. `uploads/{tenant}/`; up to 50. Default: none, so that no object is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::prefixes")]
    #[x_kube(validation = rules::object_prefixes())]
    pub object_prefixes: Vec<String>,
    /// The size of one input at most, in bytes, 1 to 100663296 (96 MiB): ComfyUI takes no upload above 100 MiB. A worker
    /// holds two inputs at once in memory, beside the outputs: with more than 33554432 (32 MiB), give
    /// spec.worker.resources more memory. Default: 20971520 (20 MiB).
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1, max = 100_663_296))]
    pub max_bytes: u64,
}

/// A model file, and the family of models that it is of.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PoolModel {
    /// The file as the engine lists it, e.g. `sd_xl_base_1.0.safetensors`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The family, which decides the graph that textToImage and imageToImage get.
    #[schemars(schema_with = "schema::family")]
    pub family: Family,
    /// Values of inputs of the family's recipe, by the input's name, e.g. the file of a text encoder; up to 20. They count
    /// where a job does not give its own, and are held to the recipe's bounds and to `limits` as a job's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::model_inputs")]
    pub inputs: BTreeMap<String, Value>,
}

impl Limits {
    /// Whether the pool takes jobs of type Recipe.
    #[must_use]
    pub fn takes_recipes(&self) -> bool {
        self.recipes.unwrap_or(self.workflows)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workflows: true,
            recipes: None,
            models: vec![],
            max_count: None,
            max_steps: None,
            max_pixels: None,
            max_running_per_tenant: None,
            deny_nodes: deny_default(),
        }
    }
}

impl Default for InputSources {
    fn default() -> Self {
        Self { hosts: vec![], object_prefixes: vec![], max_bytes: default_max_bytes() }
    }
}

const fn yes() -> bool {
    true
}
fn deny_default() -> Vec<String> {
    vec!["@default".to_owned()]
}
const fn default_max_bytes() -> u64 {
    20 * 1024 * 1024
}
