use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Decimal, Family, rules, schema, seed};

use super::ConfigMapRef;

/// What a job makes: the type, and the field of the same name.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = rules::work_of_its_type())]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// TextToImage, ImageToImage, Workflow or Recipe. Give the field of this name, and no other.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::work_type")]
    pub kind: WorkType,

    /// Images from a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_to_image: Option<TextToImage>,

    /// Images from an image and a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_to_image: Option<ImageToImage>,

    /// Whatever a ComfyUI workflow makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,

    /// What an ImageRecipe of the job's namespace makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<RecipeUse>,
}

/// The kinds of work.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkType {
    /// Images from a text.
    TextToImage,
    /// Images from an image and a text.
    ImageToImage,
    /// A ComfyUI workflow.
    Workflow,
    /// An ImageRecipe.
    Recipe,
    /// A type that this program does not know: a newer API has it. Such a job waits.
    #[serde(other)]
    Unknown,
}

/// The settings that TextToImage and ImageToImage share. What is left out is as usual for the model's family, see
/// docs/models.md.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// The model's file name as the engine lists it, e.g. `v1-5-pruned.safetensors` or `flux1-dev.safetensors`.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,
    /// The model's family. It decides which graph is run. Default: the pool's spec.models, else as the file's name tells,
    /// else SD15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::family")]
    pub family: Option<Family>,
    /// What the image shows, up to 10000 characters.
    #[schemars(length(max = 10_000))]
    pub prompt: String,
    /// What the image does not show, up to 10000 characters. Families without classifier-free guidance do not take one.
    /// Default: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 10_000))]
    pub negative_prompt: String,
    /// Sampling steps, 1 to 1000. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub steps: Option<u32>,
    /// How closely the image follows the prompt, 0 to 100, e.g. "7.5": classifier-free guidance, or the distilled guidance
    /// of families that have that. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::decimal(0, 100))]
    pub cfg_scale: Option<Decimal>,
    /// The engine's sampler, e.g. `euler` or `dpmpp_2m`. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub sampler: Option<String>,
    /// The engine's noise schedule, e.g. `normal` or `karras`. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub scheduler: Option<String>,
    /// The seed of image 0, 0 to 18446744073709551615 (2^64 - 1); above 9223372036854775807 as a string, because the API
    /// server rounds larger numbers. Default: the operator draws one and keeps it in status.seed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seed")]
    #[schemars(schema_with = "schema::seed")]
    #[x_kube(validation = rules::seed())]
    pub seed: Option<u64>,
    /// LoRAs to apply, in this order; up to 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub loras: Vec<Lora>,
    /// The file name of a VAE to use instead of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub vae: Option<String>,
    /// ControlNets to apply, in this order; up to 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub control_nets: Vec<ControlNet>,
}

/// A LoRA.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Lora {
    /// Its file name as the engine lists it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// How much it counts, -2 to 2, e.g. "0.8". Default: 1.
    #[serde(default = "one")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::decimal(-2, 2))]
    pub weight: Decimal,
}

/// A ControlNet and the image that steers it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ControlNet {
    /// Its file name as the engine lists it.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,
    /// The name of an entry of spec.inputs: an image that is prepared as this ControlNet expects it, e.g. edges or a depth
    /// map.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub image: String,
    /// How much it counts, 0 to 10, e.g. "0.8". Default: 1.
    #[serde(default = "one")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::decimal(0, 10))]
    pub strength: Decimal,
}

/// Images from a text.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TextToImage {
    /// The model, the prompt and how to sample.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Width in pixels, a multiple of 8 from 64 to 4096. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 4096), extend("multipleOf" = 8))]
    pub width: Option<u32>,
    /// Height in pixels, a multiple of 8 from 64 to 4096. Default: the family's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 4096), extend("multipleOf" = 8))]
    pub height: Option<u32>,
}

/// Images from an image and a text.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageToImage {
    /// The model, the prompt and how to sample.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// The name of an entry of spec.inputs: the image to start from. The result is as large as it is, its sides rounded
    /// down to multiples of 8.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub image: String,
    /// The name of an entry of spec.inputs: a mask. White is painted anew, black stays. Default: all of the image is painted
    /// anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub mask: Option<String>,
    /// How far the result may leave the image, 0 (not at all) to 1 (all is new), e.g. "0.6". Default: 0.75.
    #[serde(default = "three_quarters")]
    #[schemars(schema_with = "schema::decimal")]
    #[x_kube(validation = rules::decimal(0, 1))]
    pub strength: Decimal,
}

/// A ComfyUI workflow: here, or in a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = rules::exactly_one_of("graph", "configMapRef"))]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    /// The workflow in ComfyUI's API format (in ComfyUI's menu: Workflow > Export (API)), a map of node ids to nodes with
    /// class_type and inputs; up to 500 nodes, and 1 MiB with the inputs below. `kubectl apply` keeps a second copy of the
    /// object and refuses more than 256 KiB: use `kubectl apply --server-side`. Give exactly one of graph or
    /// configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::graph")]
    pub graph: Option<Map<String, Value>>,

    /// A ConfigMap in the job's namespace that holds the workflow. Give exactly one of graph or configMapRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,

    /// Inputs of nodes to set to other values, each named node.input, e.g. `6.text`; up to 100. The node must have the
    /// input.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::node_inputs")]
    pub inputs: Map<String, Value>,

    /// The ids of the nodes whose files are kept, the most important first; up to 50. Default: all that save a file, by
    /// their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::node_ids")]
    pub outputs: Vec<String>,

    /// Inputs that take a seed though their names do not say so, each named node.input, e.g. `12.value`; up to 20. Image i
    /// uses their values + i. Inputs whose name ends in `seed` need not be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::seed_inputs")]
    pub seed_inputs: Vec<String>,
}

/// A job's use of an ImageRecipe.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecipeUse {
    /// The ImageRecipe's name, in the job's namespace.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The values of the recipe's inputs, by their names. An input of type Image takes the name of an entry of spec.inputs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::recipe_inputs")]
    pub inputs: Map<String, Value>,
}

/// What a job makes, by its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorkOf<'a> {
    /// `work.textToImage`.
    TextToImage(&'a TextToImage),
    /// `work.imageToImage`.
    ImageToImage(&'a ImageToImage),
    /// `work.workflow`.
    Workflow(&'a Workflow),
    /// `work.recipe`.
    Recipe(&'a RecipeUse),
}

/// Why a job's work can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWork {
    /// A newer API has this type.
    #[error("this operator does not know spec.work.type; a newer one does")]
    UnknownType,
    /// The API server refuses such a spec.
    #[error("spec.work has no field of the name that its type gives")]
    Missing,
}

impl Work {
    /// What the job makes.
    ///
    /// # Errors
    /// If the type is not known, or its field is not there.
    pub fn of_type(&self) -> Result<WorkOf<'_>, NoWork> {
        let found = match self.kind {
            WorkType::TextToImage => self.text_to_image.as_ref().map(WorkOf::TextToImage),
            WorkType::ImageToImage => self.image_to_image.as_ref().map(WorkOf::ImageToImage),
            WorkType::Workflow => self.workflow.as_ref().map(WorkOf::Workflow),
            WorkType::Recipe => self.recipe.as_ref().map(WorkOf::Recipe),
            WorkType::Unknown => return Err(NoWork::UnknownType),
        };
        found.ok_or(NoWork::Missing)
    }

    /// Images from a text.
    #[must_use]
    pub fn from_text(text_to_image: TextToImage) -> Self {
        Self { text_to_image: Some(text_to_image), ..Self::of(WorkType::TextToImage) }
    }

    /// A workflow.
    #[must_use]
    pub fn from_workflow(workflow: Workflow) -> Self {
        Self { workflow: Some(workflow), ..Self::of(WorkType::Workflow) }
    }

    const fn of(kind: WorkType) -> Self {
        Self { kind, text_to_image: None, image_to_image: None, workflow: None, recipe: None }
    }
}

const fn one() -> Decimal {
    Decimal::whole(1)
}
const fn three_quarters() -> Decimal {
    Decimal::from_thousandths(750)
}

/// A file's media type by its name in the API.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PNG: without loss.
    Png,
    /// WebP: small, with alpha.
    Webp,
    /// JPEG: small, without alpha.
    Jpeg,
    /// AVIF: smallest, and slow to write.
    Avif,
}

/// What becomes of the texts that the engine writes into files.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metadata {
    /// They are taken out.
    #[default]
    Strip,
    /// They stay: whoever has the file can read the prompt and the whole workflow. A picture that is converted has none.
    Keep,
}
