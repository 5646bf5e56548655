use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ConfigMapRef, Decimal, rules, schema};

/// A workflow with named, typed inputs.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "imagejob.dev",
    version = "v1alpha1",
    kind = "ImageRecipe",
    plural = "imagerecipes",
    shortname = "ir",
    category = "imaging",
    namespaced,
    derive = "PartialEq",
    validation = rules::recipe_name(),
    doc = "An ImageRecipe is a ComfyUI workflow with named, typed inputs. A job of the same namespace gives their values and need not know the workflow.",
    printcolumn(
        name = "Description",
        type_ = "string",
        json_path = ".spec.description",
        description = "What it makes."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = rules::exactly_one_of("graph", "configMapRef"))]
#[serde(rename_all = "camelCase")]
pub struct ImageRecipeSpec {
    /// What it makes, for people; up to 1024 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,

    /// The workflow in ComfyUI's API format, as in spec.work.workflow.graph of an ImageJob. Give exactly one of graph or
    /// configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::graph")]
    pub graph: Option<Map<String, Value>>,

    /// A ConfigMap in the recipe's namespace that holds the workflow. Give exactly one of graph or configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,

    /// The inputs that a job may or must give, up to 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub inputs: Vec<RecipeInput>,

    /// The ids of the nodes whose files are kept, the most important first; up to 50. Default: all that save a file, by
    /// their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::node_ids")]
    pub outputs: Vec<String>,

    /// The inputs of type Integer or Number by whose product the GPU time of one image grows, e.g. steps, width and height;
    /// up to 10. They have a default or are required. Default: every image takes about the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::input_names")]
    pub units_from: Vec<String>,

    /// The id of a KSampler node whose steps may be made in segments on spot machines, so that a machine that goes away
    /// costs a segment and not the image. Default: every image is made in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cut_at: Option<String>,
}

/// An input of a recipe.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = rules::choices_with_enum())]
#[serde(rename_all = "camelCase")]
pub struct RecipeInput {
    /// The name that jobs use, e.g. `prompt`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::input_name())]
    pub name: String,
    /// What it is, for people; up to 1024 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// String, Integer, Number, Boolean, Enum (one of choices), Image (the name of an entry of the job's spec.inputs) or
    /// Seed (image i uses the value + i).
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::recipe_input_type")]
    pub kind: RecipeInputType,
    /// The inputs of nodes that get the value, each named node.input, e.g. `6.text`; 1 to 20.
    #[schemars(schema_with = "schema::node_input_paths")]
    pub to: Vec<String>,
    /// The value of a job that does not give one. Default: the workflow's own value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_value")]
    pub default: Option<Value>,
    /// The least value, for Integer and Number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::any_decimal())]
    pub minimum: Option<Decimal>,
    /// The greatest value, for Integer and Number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::any_decimal())]
    pub maximum: Option<Decimal>,
    /// The longest text in characters, for String, 1 to 100000. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_length: Option<u32>,
    /// The values allowed, for Enum; 1 to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::choices")]
    pub choices: Vec<String>,
    /// True: a job must give a value. Default: false.
    #[serde(default)]
    pub required: bool,
}

/// The type of a recipe's input.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipeInputType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number, as a decimal string or a whole number.
    Number,
    /// True or false.
    Boolean,
    /// One of `choices`.
    Enum,
    /// The name of an entry of the job's `spec.inputs`.
    Image,
    /// A seed, 0 to 2^64 − 1.
    Seed,
    /// A type that this program does not know: a newer API has it. A job that gives it waits.
    #[serde(other)]
    Unknown,
}
